"""The contract as an edge reads it: descriptors of all that is served, and the paths that the protos give to REST.

Taken from the generated modules, so that an installed package needs no file beside them. ``gen/descriptor`` is the same
for programs that are not written in Python.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from google.api import annotations_pb2, http_pb2
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import Descriptor, FileDescriptor, ServiceDescriptor
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from palaver.v1 import chat_service_pb2, model_service_pb2, openai_service_pb2, web_service_pb2

SERVED = (chat_service_pb2, model_service_pb2, openai_service_pb2, web_service_pb2)
"""Modules whose services are palaver's own."""
_VARIABLE = re.compile(r"\{[a-z0-9_.]+(?:=([^}]*))?\}")


@dataclass(frozen=True, slots=True)
class HttpRule:
    """One ``google.api.http`` option."""

    service: str
    method: str
    """The HTTP method."""
    pattern: str
    request: Descriptor
    """The message that path, query and body make together."""
    body: str
    """``*`` where the body is the whole message, a field's name where it is that field, empty where there is none."""

    @property
    def regex(self) -> str | None:
        """The pattern as a regular expression, or None where it has no variable and stands for itself."""
        if not _VARIABLE.search(self.pattern):
            return None
        plain = _VARIABLE.sub(lambda variable: variable[1] or "*", self.pattern)
        parts = re.split(r"(\*\*|\*)", plain)
        return "".join({"**": ".+", "*": "[^/]+"}.get(part) or re.escape(part) for part in parts)


def descriptor_set() -> bytes:
    """A serialized ``FileDescriptorSet``: every served file, what it imports, and the types of error details."""
    found: dict[str, FileDescriptor] = {}
    # Error details are imported by no file of ours, but an edge prints an error only if it knows what is in it.
    for module in (*SERVED, health_pb2, error_details_pb2):
        _add(module.DESCRIPTOR, found)
    files = descriptor_pb2.FileDescriptorSet()
    for file in found.values():
        file.CopyToProto(files.file.add())
    return files.SerializeToString(deterministic=True)


def services() -> Iterator[ServiceDescriptor]:
    """Every service that callers may know of: ours, health, reflection."""
    for module in (*SERVED, health_pb2, reflection_pb2):
        yield from module.DESCRIPTOR.services_by_name.values()


def http_rules() -> Iterator[HttpRule]:
    """Every path of the REST API."""
    for service in services():
        for method in service.methods:
            option: http_pb2.HttpRule = method.GetOptions().Extensions[annotations_pb2.http]
            for rule in (option, *option.additional_bindings):
                if kind := rule.WhichOneof("pattern"):
                    pattern = getattr(rule, kind)
                    yield HttpRule(service.full_name, kind.upper(), pattern, method.input_type, rule.body)


def _add(file: FileDescriptor, found: dict[str, FileDescriptor]) -> None:
    if file.name in found:
        return
    for dependency in file.dependencies:
        _add(dependency, found)
    found[file.name] = file

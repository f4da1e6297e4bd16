"""Which method of the contract a path of REST means: the ``google.api.http`` options that stand beside the methods.

The templates are those of google/api/http.proto. Of its grammar only what the contract has is understood: literal
segments, one variable at the end of a path that is ``**`` or a literal and ``**``, and a verb after a colon.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from google.api import annotations_pb2
from google.protobuf.descriptor import Descriptor, MethodDescriptor, ServiceDescriptor

from palaver.v1 import chat_service_pb2, model_service_pb2, openai_service_pb2, web_service_pb2

_VARIABLE = re.compile(r"\{(\w+)=((?:[\w-]+/)*)\*\*\}$")


@dataclass(frozen=True, slots=True)
class Route:
    """One method as REST reaches it."""

    request: Descriptor
    """The message that path, query and body make together."""
    body: str
    """``*`` where the body is the whole message, a field's name where it is that field, empty where there is none."""
    body_message: Descriptor | None
    """What the body is; None where there is none."""
    path_field: str
    """The field that is part of the path; empty where there is none."""


@dataclass(frozen=True, slots=True)
class Place:
    """A path, and the methods that are reached there."""

    pattern: re.Pattern[str]
    routes: Mapping[str, Route]
    """By HTTP method."""


def find(path: str) -> Place | None:
    """The place that a path, without its query, means; None where the contract has nothing there."""
    return next((place for place in PLACES if place.pattern.fullmatch(path)), None)


def _places(services: Sequence[ServiceDescriptor]) -> list[Place]:
    routes: dict[str, dict[str, Route]] = {}
    for service in services:
        for method in service.methods:
            http_method, template, route = _route(method)
            routes.setdefault(template, {})[http_method] = route
    return [Place(_pattern(template), found) for template, found in routes.items()]


def _route(method: MethodDescriptor) -> tuple[str, str, Route]:
    rule = method.GetOptions().Extensions[annotations_pb2.http]
    http_method = rule.WhichOneof("pattern")
    template: str = getattr(rule, http_method)
    variable = _VARIABLE.search(template)
    request = method.input_type
    body = request if rule.body == "*" else request.fields_by_name[rule.body].message_type if rule.body else None
    route = Route(request, rule.body, body, variable[1] if variable else "")
    return http_method.upper(), template, route


def _pattern(template: str) -> re.Pattern[str]:
    variable = _VARIABLE.search(template)
    if variable is None:
        return re.compile(re.escape(template))
    return re.compile(re.escape(template[: variable.start()] + variable[2]) + ".+")


PLACES = _places(
    [
        *chat_service_pb2.DESCRIPTOR.services_by_name.values(),
        *model_service_pb2.DESCRIPTOR.services_by_name.values(),
        *openai_service_pb2.DESCRIPTOR.services_by_name.values(),
        *web_service_pb2.DESCRIPTOR.services_by_name.values(),
    ]
)

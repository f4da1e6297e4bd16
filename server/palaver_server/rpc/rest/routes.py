"""Which method of the contract a request of REST means."""

from __future__ import annotations

import re
from dataclasses import dataclass

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from palaver_server.rpc.descriptor_set import HttpRule, http_rules

_VARIABLES = re.compile(r"\{([a-z0-9_.]+)")


@dataclass(frozen=True, slots=True)
class Route:
    """One method as REST reaches it."""

    http_method: str
    pattern: re.Pattern[str]
    """The path, without its query."""
    request: Descriptor
    """The message that path, query and body make together."""
    body: str
    """``*`` where the body is the whole message, a field's name where it is that field, empty where there is none."""
    body_message: Descriptor | None
    """What the body is; None where there is none."""
    query: tuple[FieldDescriptor, ...]
    """The fields that are in neither path nor body. The contract has plain values there and nothing repeated."""


def find(http_method: str, path: str) -> Route | None:
    """The method that a request means; None where the contract has none there."""
    return next(
        (route for route in _ROUTES if route.http_method == http_method and route.pattern.fullmatch(path)), None
    )


def _route(rule: HttpRule) -> Route:
    request, body = rule.request, rule.body
    elsewhere = {body, *_VARIABLES.findall(rule.pattern)}
    return Route(
        http_method=rule.method,
        pattern=re.compile(rule.regex or re.escape(rule.pattern)),
        request=request,
        body=body,
        body_message=request if body == "*" else request.fields_by_name[body].message_type if body else None,
        query=() if body == "*" else tuple(field for field in request.fields if field.name not in elsewhere),
    )


_ROUTES = [_route(rule) for rule in http_rules()]

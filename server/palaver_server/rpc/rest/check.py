"""Reads a request of REST as it came, and refuses what Envoy's transcoder would drop in silence or take by guess.

One error for a request: it tells of at most ``MAX_REPORTED`` fields, each by its path in the method's request message.
Where the body is one field of that message, the path begins with it, as in every other error: ``chat.options.top_p``.
"""

from __future__ import annotations

from itertools import islice

from palaver_server.core import strict_json
from palaver_server.core.errors import FieldViolation, PalaverError, Reason
from palaver_server.rpc.rest import document, query, routes
from palaver_server.rpc.rest.document import Fault

MAX_REPORTED = 16
"""Violations told of one request; more help nobody."""


def check_request(http_method: str, path: str, body: bytes) -> PalaverError | None:
    """Tell why a request cannot be served, or None where it can, or where it means no method of the contract.

    Of methods that read bodies themselves, such as OpenAI's, the query alone is looked at.

    Args:
        http_method: ``GET``, ``POST`` and so on, in capitals.
        path: As in the request line, with its query.
        body: All of it, as it came; empty where there was none.
    """
    bare_path, _, query_string = path.partition("?")
    route = routes.find(http_method, bare_path)
    if route is None:
        return None  # nothing of ours: the edge's routes refuse it
    try:
        return _refusal([*query.faults(query_string, route), *_body_faults(body, route)])
    except PalaverError as error:
        return error


def _body_faults(body: bytes, route: routes.Route) -> list[Fault]:
    if route.body_message is None or route.body_message.full_name == "google.api.HttpBody":
        return []  # the edge refuses a body where none belongs, and a method that takes it raw reads it itself
    parsed = _parsed(body, route)
    if not isinstance(parsed, dict):
        raise PalaverError(Reason.MALFORMED_REQUEST, "The body must be a JSON object.")
    prefix = () if route.body == "*" else (route.body,)
    return list(islice(document.faults(parsed, route.body_message, prefix), MAX_REPORTED))


def _parsed(body: bytes, route: routes.Route) -> object:
    try:
        return strict_json.parse(body)
    except PalaverError as error:
        if route.body == "*" or not error.violations:
            raise
        violations = [
            FieldViolation(f"{route.body}.{violation.field}", violation.description) for violation in error.violations
        ]
        raise PalaverError(error.reason, f"{route.body}.{error.message}", violations=violations) from None


def _refusal(faults: list[Fault]) -> PalaverError | None:
    if not faults:
        return None
    reason, first = faults[0]
    alike = [violation for its_reason, violation in faults if its_reason is reason]
    return PalaverError(reason, f"{first.field}: {first.description}", violations=alike[:MAX_REPORTED])

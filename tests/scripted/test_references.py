"""A tool's schema cannot make the server open what it names."""

from __future__ import annotations

import json
import socketserver
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from palaver_server.core.errors import PalaverError
from palaver_server.core.tools import Tool
from palaver_server.engine.json_schema import misfit
from palaver_server.engine.tool_judge import check_tools


class _Listener(socketserver.ThreadingTCPServer):
    daemon_threads = True
    visits = 0

    def process_request(self, request: object, client_address: object) -> None:
        type(self).visits += 1
        self.shutdown_request(request)  # type: ignore[arg-type]


@pytest.fixture
def listener() -> Iterator[_Listener]:
    with _Listener(("127.0.0.1", 0), socketserver.BaseRequestHandler) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        yield server
        server.shutdown()
        serving.join()


def test_no_address_in_a_schema_is_visited_and_no_file_is_read(listener: _Listener, tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text('{"type": "object"}')  # as a schema it would do
    for address in (f"http://127.0.0.1:{listener.server_address[1]}/schema", secret.as_uri()):
        tool = Tool("f", "", json.dumps({"type": "object", "properties": {"a": {"$ref": address}}, "$ref": address}))
        with pytest.raises(PalaverError) as refused:
            check_tools([tool], "chat.")
        assert refused.value.violations[0].field == "chat.tools[0].parameters_json_schema"
        assert refused.value.violations[0].description == "refers to what is not in it"
    assert listener.visits == 0


def test_references_within_a_schema_are_followed() -> None:
    schema = json.dumps({"$defs": {"city": {"type": "string"}}, "properties": {"city": {"$ref": "#/$defs/city"}}})
    check_tools([Tool("f", "", schema)], "")
    assert misfit({"city": "Oslo"}, schema) == ""
    assert "7 is not of type" in misfit({"city": 7}, schema)


def test_a_reference_that_leads_nowhere_is_told_where_it_is_met() -> None:
    schema = json.dumps({"properties": {"city": {"$ref": "#/$defs/city"}}})
    assert misfit({}, schema) == ""
    assert misfit({"city": "Oslo"}, schema) == "the schema refers to what is not in it"


def test_a_schema_that_multiplies_its_work_holds_nobody_up() -> None:
    levels = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 10} for n in range(9)} | {"d9": {}}
    schema = json.dumps({"$defs": levels, "properties": {"a": {"$ref": "#/$defs/d0"}}})
    check_tools([Tool("f", "", schema)], "")
    began = time.thread_time()
    assert misfit({"a": 1}, schema) == "takes too long to be compared with the schema"
    with pytest.raises(PalaverError, match="takes too long to be checked"):
        check_tools([Tool("f", "", json.dumps({"$defs": levels, "$ref": "#/$defs/d0"}))], "")
    assert time.thread_time() - began < 10, "it would be days"
    assert misfit({}, schema) == ""

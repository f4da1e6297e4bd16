"""Lines of two writers on one pipe, of which neither tears the other's."""

from __future__ import annotations

import json
import os
import threading

from palaver_server.edge.line_relay import LineRelay

LINES = 3000
PIECE_BYTES = 4096
"""As Envoy writes: in pieces that end anywhere."""


def test_lines_that_come_in_pieces_go_out_whole_beside_another_writer():
    reading, target = os.pipe()
    relay = LineRelay(target)
    program = os.dup(relay.write_end)
    relay.begin()
    text = "".join(json.dumps({"who": "program", "number": n, "pad": "x" * (n % 700)}) + "\n" for n in range(LINES))

    def write_pieces() -> None:
        data = text.encode()
        for begin in range(0, len(data), PIECE_BYTES):
            os.write(program, data[begin : begin + PIECE_BYTES])
        os.close(program)

    def write_lines() -> None:
        for number in range(LINES):
            os.write(target, (json.dumps({"who": "server", "number": number}) + "\n").encode())

    received = bytearray()

    def read() -> None:
        while data := os.read(reading, 65536):
            received.extend(data)

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=write) for write in (write_pieces, write_lines)]
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join(60)
    relay.finish(60)
    os.close(target)
    reader.join(60)
    os.close(reading)
    seen = [json.loads(line) for line in received.decode().splitlines()]  # a torn line is no JSON
    for who in ("program", "server"):
        assert [line["number"] for line in seen if line["who"] == who] == list(range(LINES))


def test_a_last_line_without_an_end_gets_one_and_a_reader_that_is_gone_stops_nobody():
    reading, target = os.pipe()
    relay = LineRelay(target)
    program = os.dup(relay.write_end)
    relay.begin()
    os.write(program, b"one\ntwo")
    os.close(program)
    relay.finish(60)
    assert os.read(reading, 100) == b"one\ntwo\n"
    os.close(reading)
    relay = LineRelay(target)
    program = os.dup(relay.write_end)
    relay.begin()
    os.write(program, b"three\n")
    relay.finish(60)
    os.close(program)
    os.close(target)

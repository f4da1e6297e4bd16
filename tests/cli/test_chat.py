"""``palaver chat`` and ``palaver count`` with one question, from arguments and through a pipe."""

from __future__ import annotations

import json
import re
import signal
import socket
from pathlib import Path

import pytest


def test_a_question_from_arguments_is_answered_with_the_bare_text(palaver, server) -> None:
    done = palaver("chat", "What", "is it?", PALAVER_ADDRESS=server.address)
    assert (done.returncode, done.stdout, done.stderr) == (0, "What is it?\n", "")


def test_a_question_through_a_pipe_keeps_its_lines(palaver, server) -> None:
    done = palaver("chat", input="one\n  two\n", PALAVER_ADDRESS=server.address)
    assert (done.returncode, done.stdout) == (0, "one\n  two\n")


def test_a_dash_stands_for_the_pipe(invoke, server) -> None:
    done = invoke("chat", "Read this:", "-", "Now sum up.", input="a\nb\n", PALAVER_ADDRESS=server.address)
    assert done.stdout == "Read this:\n\na\nb\n\nNow sum up.\n"


def test_the_pipe_is_left_alone_where_the_arguments_are_the_question(start, server) -> None:
    asking = start("chat", "hi", PALAVER_ADDRESS=server.address)  # its standard input stays open and empty
    assert asking.wait(20) == 0
    assert asking.stdout.read() == "hi\n"


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        (b"", "The question is empty."),
        (b" \n\n", "The question is empty."),
        (b"caf\xe9", "The question is no UTF-8 text (byte 3)."),
        (b"x" * (8 * 1024**2 + 1), "The question is longer than the 8 MiB that a request can have."),
    ],
)
def test_what_is_no_question_is_wrong_use(invoke, server, question: bytes, reason: str) -> None:
    done = invoke("chat", input=question, PALAVER_ADDRESS=server.address)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.endswith(f"Error: {reason}\n")


def test_options_reach_the_server(invoke, server) -> None:
    done = invoke("chat", "a b c d", "--max-output-tokens", "2", PALAVER_ADDRESS=server.address)
    assert (done.exit_code, done.stdout, done.stderr) == (0, "a b\n", "The answer was cut off at 2 tokens.\n")
    assert invoke("chat", "a b c d e", "--stop", "d", "--stop", "c", PALAVER_ADDRESS=server.address).stdout == "a b \n"


@pytest.mark.parametrize(
    ("option", "field"),
    [
        (("--temperature", "3"), "temperature"),
        (("--top-p", "-1"), "top_p"),
        (("--seed", "-5"), "seed"),
        (("--seed", "99999999999"), "seed"),
        (("--max-output-tokens", "0"), "max_output_tokens"),
        (("--stop", ""), "stop_sequences"),
        (("--model", "nobody"), "model"),
    ],
)
def test_a_value_out_of_range_is_wrong_use_and_names_its_field(invoke, server, option: tuple[str, str], field) -> None:
    done = invoke("chat", "hi", *option, PALAVER_ADDRESS=server.address)
    assert (done.exit_code, done.stdout) == (2, "")
    assert field in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_json_is_the_answer_of_the_contract(invoke, server) -> None:
    done = invoke("chat", "--json", "--system", "Be brief.", "naïve words", PALAVER_ADDRESS=server.address)
    answer = json.loads(done.stdout)
    assert answer["model"] == "scripted"
    assert answer["choices"][0]["message"]["content"] == [{"text": "naïve words"}]
    assert answer["choices"][0]["finish_reason"] == "FINISH_REASON_STOP"
    assert answer["usage"] == {"prompt_token_count": 12, "output_token_count": 2, "total_token_count": 14}
    assert set(answer["timings"]) >= {"time_to_first_token", "total_duration"}


def test_stats_go_to_standard_error(invoke, slow_server) -> None:
    done = invoke("chat", "--stats", "--max-output-tokens", "4", "hi", PALAVER_ADDRESS=slow_server.address)
    assert done.stdout == "The quick brown fox\n"
    cut, told = done.stderr.splitlines()
    assert cut == "The answer was cut off at 4 tokens."
    found = re.fullmatch(
        r"scripted: 5 prompt tokens, 4 output tokens, first after ([\d.]+) s, then ([\d.]+) tokens/s, "
        r"([\d.]+) s in all",
        told,
    )
    first, rate, total = map(float, found.groups())
    assert 0.2 <= first < total
    assert 1 < rate < 100  # a busy machine joins words
    assert total >= 0.35


def test_nobody_at_the_address_is_a_failure_that_says_what_to_do(invoke, tmp_path: Path) -> None:
    done = invoke("chat", "hi", PALAVER_ADDRESS=f"unix:{tmp_path}/none")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert "Is `palaver serve` running there?" in done.stderr


def test_a_timeout_ends_an_answer_that_hangs(invoke, serve) -> None:
    hanging = serve("--scripted-tokens", "9", "--scripted-hang-after", "1")
    done = invoke("chat", "--timeout", "0.5", "hi", PALAVER_ADDRESS=hanging.address)
    assert (done.exit_code, done.stdout) == (1, "The\n")
    assert "within" in done.stderr
    hanging.said("DEADLINE_EXCEEDED")


def test_a_failure_in_the_middle_is_told_after_what_has_come(invoke, failing_server) -> None:
    seen = len(failing_server.lines)
    done = invoke("chat", "hi", PALAVER_ADDRESS=failing_server.address)
    assert (done.exit_code, done.stdout) == (1, "The quick\n")
    assert done.stderr.startswith("Error: ")
    assert "[request " in done.stderr
    failing_server.said("/StreamChat", since=seen)
    assert len(failing_server.calls("StreamChat", since=seen)) == 1, (
        "an answer that was seen in part must not be asked for again"
    )


def test_a_loading_model_is_waited_for(palaver, start, serve) -> None:
    loading = serve("--scripted-load", "6", wait_for='"event": "listening"')
    refused = palaver("chat", "--no-wait", "hi", PALAVER_ADDRESS=loading.address)
    assert refused.returncode == 1
    assert "Leave out --no-wait" in refused.stderr
    waiting = start("chat", "hi", PALAVER_ADDRESS=loading.address)
    assert waiting.communicate(timeout=30) == ("hi\n", "Waiting for scripted: it is being loaded.\n")


def test_a_full_server_is_asked_again_when_it_says(start, serve) -> None:
    full = serve(
        *("--max-concurrent-requests", "1", "--max-queued-requests", "0"),
        *("--scripted-tokens", "12", "--scripted-interval", "0.1"),
    )
    first = start("chat", "hi", PALAVER_ADDRESS=full.address)
    assert first.stdout.read(3) == "The"
    second = start("chat", "hi", PALAVER_ADDRESS=full.address)
    assert "The server is full; trying again in" in second.stderr.readline()
    assert first.wait(30) == 0
    assert second.wait(30) == 0
    assert second.stdout.read().startswith("The quick")


def test_ctrl_c_ends_the_answer_on_the_server_too(start, slow_server) -> None:
    seen = len(slow_server.lines)
    asking = start("chat", "hi", PALAVER_ADDRESS=slow_server.address)
    assert asking.stdout.read(9) == "The quick"
    asking.send_signal(signal.SIGINT)
    assert asking.wait(20) == 130
    assert "Traceback" not in asking.stderr.read()
    slow_server.said("CANCELLED", since=seen)


def test_a_reader_who_has_enough_ends_the_answer_on_the_server_too(start, slow_server) -> None:
    seen = len(slow_server.lines)
    asking = start("chat", "hi", PALAVER_ADDRESS=slow_server.address)
    assert asking.stdout.read(3) == "The"
    asking.stdout.close()  # as `| head -c 3` does
    assert asking.wait(20) == 1
    assert asking.stderr.read() == ""
    slow_server.said("CANCELLED", since=seen)


def test_a_pipe_gets_every_character_and_a_terminal_none_that_would_rule_it(palaver, terminal, server) -> None:
    evil = "be\x1b[31mfore\x1b]0;title\x07 af\tter\r!\x9b2J"
    assert palaver("chat", input=evil, PALAVER_ADDRESS=server.address).stdout == f"{evil}\n"
    screen = terminal("chat", evil, PALAVER_ADDRESS=server.address)
    assert screen.end() == 0
    answer = screen.raw[screen.raw.rindex("be") :]
    assert answer.expandtabs().split() == ["be[31mfore]0;title", "af", "ter!2J"]


def test_a_key_never_travels_in_the_clear_nor_stands_in_an_error(invoke) -> None:
    with socket.create_server(("127.0.0.1", 0)):
        done = invoke("chat", "hi", "--address", "192.0.2.1:50051", PALAVER_API_KEY="pk-secret-1234")
    assert done.exit_code == 2
    assert "--allow-plaintext-key" in done.stderr
    assert "pk-secret" not in done.stderr
    broken = invoke("chat", "hi", PALAVER_API_KEY="pk-secret\n")
    assert broken.exit_code == 2
    assert "pk-secret" not in broken.stderr


def test_tls_protects_a_chat(invoke, tls_server, certificate: tuple[Path, Path]) -> None:
    variables = {"PALAVER_ADDRESS": tls_server.address, "PALAVER_API_KEY": "pk-any"}
    assert invoke("chat", "hi", PALAVER_CA=str(certificate[0]), **variables).stdout == "hi\n"
    assert invoke("chat", "hi", **variables).exit_code == 1


def test_a_conversation_needs_a_terminal_on_both_sides(terminal, palaver, server) -> None:
    screen = terminal("chat", "--json", PALAVER_ADDRESS=server.address)
    assert screen.end() == 2
    assert "A conversation needs a terminal" in screen.text


def test_count_prints_the_number_alone(invoke, server) -> None:
    done = invoke("count", "one two three", PALAVER_ADDRESS=server.address)
    assert (done.exit_code, done.stdout, done.stderr) == (0, "7\n", "")
    piped = invoke("count", "--json", "--system", "Be brief.", input="one two", PALAVER_ADDRESS=server.address)
    assert json.loads(piped.stdout) == {
        "model": "scripted",
        "prompt_token_count": 12,
        "context_length": 8192,
        "max_output_tokens": 8180,
    }


def test_count_fails_as_chat_does(invoke, server, tmp_path: Path) -> None:
    assert invoke("count", "--model", "nobody", "hi", PALAVER_ADDRESS=server.address).exit_code == 2
    assert invoke("count", "hi", PALAVER_ADDRESS=f"unix:{tmp_path}/none").exit_code == 1
    assert invoke("count", PALAVER_ADDRESS=server.address).exit_code == 2

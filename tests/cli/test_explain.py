"""``palaver explain``, as a person and a script meet it."""

from __future__ import annotations

import json


def test_the_prompt_goes_to_standard_output_and_what_is_known_beside_it(invoke, serve) -> None:
    server = serve("--allow-explain")
    done = invoke("explain", "one two three", PALAVER_ADDRESS=server.address)
    assert done.exit_code == 0, done.stderr
    assert done.stdout == "<|im_start|>user\none two three<|im_end|>\n\n"
    assert "prompt tokens     7 of 8192" in done.stderr
    whole = json.loads(invoke("explain", "--json", "one two", PALAVER_ADDRESS=server.address).stdout)
    assert (whole["model"], whole["prompt_token_count"]) == ("scripted", 6)


def test_a_server_that_does_not_open_it_says_which_setting_does(invoke, server) -> None:
    done = invoke("explain", "hi", PALAVER_ADDRESS=server.address)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "allow_explain" in done.stderr

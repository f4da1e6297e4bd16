"""``palaver count``: how many tokens a prompt has for the served model."""

from __future__ import annotations

import click
from google.protobuf.json_format import MessageToJson

from palaver_client import ChatOptions
from palaver_server.cli.calling import failures_told, key_options, model_option, new_client
from palaver_server.cli.connection import Where, connection_options
from palaver_server.cli.patience import Patience
from palaver_server.cli.piped import question_from


@click.command(
    epilog="\b\nExamples:\n  palaver count 'What is the capital of France?'\n  palaver count --json < prompt.txt",
)
@click.argument("text", nargs=-1)
@model_option("The model whose tokens are counted.  [default: the server's]")
@click.option("--system", metavar="TEXT", help="What sets the rules, before the text; it is counted too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: a palaver.v1.CountTokensResponse.")
@connection_options
@key_options
def count(
    *,
    text: tuple[str, ...],
    where: Where,
    api_key: str | None,
    allow_plaintext_key: bool,
    timeout: float,
    wait: bool,
    model: str | None,
    system: str | None,
    as_json: bool,
) -> None:
    """Count the tokens of a prompt, chat template included.

    TEXT is what the user would say; `-` in it, or nothing, stands for what comes through a pipe. Prints the number;
    with --json also how many tokens are left for an answer.
    """
    prompt = question_from(text, "text")
    if prompt is None:
        raise click.UsageError("Give a text, as an argument or through a pipe.")
    options: ChatOptions = {"model": model} if model else {}
    with (
        failures_told(where),
        new_client(where, api_key, allow_plaintext_key=allow_plaintext_key, timeout=timeout) as client,
    ):
        patience = Patience(client, is_willing=wait)
        counted = patience.call(lambda: client.count_tokens(prompt, system=system, **options))
    if as_json:
        click.echo(MessageToJson(counted, preserving_proto_field_name=True, ensure_ascii=False))
    else:
        click.echo(counted.prompt_token_count)

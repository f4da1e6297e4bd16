"""``palaver explain``: the prompt that the served model would be given, and how it would answer."""

from __future__ import annotations

import click
from google.protobuf.json_format import MessageToJson

from palaver.v1 import chat_service_pb2
from palaver_client import ChatOptions
from palaver_server.cli.calling import failures_told, key_options, model_option, new_client
from palaver_server.cli.connection import Where, connection_options
from palaver_server.cli.patience import Patience
from palaver_server.cli.piped import question_from


@click.command(
    epilog="\b\nExamples:\n  palaver explain 'What is the capital of France?'\n"
    "  palaver explain --json --system 'Be brief.' < prompt.txt",
)
@click.argument("text", nargs=-1)
@model_option("The model that would answer.  [default: the server's]")
@click.option("--system", metavar="TEXT", help="What sets the rules, before the text.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: a palaver.v1.ExplainChatResponse.")
@connection_options
@key_options
def explain(
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
    """Show the prompt that the model would be given, and how it would answer.

    TEXT is what the user would say; `-` in it, or nothing, stands for what comes through a pipe. Prints the rendered
    prompt, then, on standard error, what is known of the answer; --json prints everything, the tokens' ids too.

    The server must allow it: with --allow-explain where there are no keys, else by a key made with --methods
    ExplainChat.
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
        explained = patience.call(lambda: client.explain(prompt, system=system, **options))
    if as_json:
        click.echo(MessageToJson(explained, preserving_proto_field_name=True, ensure_ascii=False))
        return
    click.echo(explained.prompt_text)
    for name, value in _facts(explained):
        click.echo(f"{name:<18}{value}", err=True)


def _facts(explained: chat_service_pb2.ExplainChatResponse) -> list[tuple[str, str]]:
    options = MessageToJson(explained.effective_options, preserving_proto_field_name=True, indent=None)
    facts = [
        ("model", f"{explained.model} ({explained.system_fingerprint})"),
        ("prompt tokens", f"{explained.prompt_token_count} of {explained.context_length}"),
        ("output tokens", f"at most {explained.max_output_tokens}"),
        ("options", options),
        ("chat template", f"SHA-256 {explained.chat_template_sha256}" if explained.chat_template_sha256 else "none"),
        ("tool calls", explained.tool_call_parser or "not read"),
        ("reasoning", explained.reasoning_parser or "not read"),
    ]
    if explained.HasField("context_truncation"):
        left_out = explained.context_truncation
        facts.append(("left out", f"{left_out.dropped_message_count} messages, {left_out.dropped_token_count} tokens"))
    return facts

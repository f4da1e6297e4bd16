"""``palaver chat``: one question, or a conversation."""

from __future__ import annotations

import sys
from typing import Any

import click
from google.protobuf.json_format import MessageToJson

from palaver_client import Answer, Client, StreamOptions, errors
from palaver_server.cli.answer_view import AnswerView, Figures
from palaver_server.cli.calling import failures_told, key_options, model_option, new_client
from palaver_server.cli.connection import Where, connection_options
from palaver_server.cli.errors import WrongUseError
from palaver_server.cli.patience import Patience
from palaver_server.cli.piped import question_from


@click.command(
    epilog="\b\n"
    "Examples:\n"
    "  palaver chat 'What is the capital of France?'\n"
    "  git diff | palaver chat 'Write a commit message for this:' -\n"
    "  palaver chat        # a conversation; /help in it tells more",
)
@click.argument("question", nargs=-1)
@model_option("The model that answers.  [default: the server's]")
@click.option("--system", metavar="TEXT", help="What sets the rules, before the question.")
@click.option("--max-output-tokens", metavar="N", type=int, help="Most tokens of an answer.")
@click.option("--temperature", metavar="NUMBER", type=float, help="How random, 0 to 2.")
@click.option("--top-p", metavar="NUMBER", type=float, help="Nucleus sampling, 0 to 1.")
@click.option("--seed", metavar="N", type=int, help="Start of the random numbers, to get the same answer again.")
@click.option("--stop", metavar="TEXT", multiple=True, help="End the answer before this text. May be given often.")
@click.option("--stats", is_flag=True, help="Tell tokens, time to the first and tokens a second, on standard error.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole answer as JSON: a palaver.v1.ChatResponse.")
@click.option("--no-history", is_flag=True, help="Keep no history of what is typed in a conversation.")
@connection_options
@key_options
def chat(
    *,
    question: tuple[str, ...],
    where: Where,
    api_key: str | None,
    allow_plaintext_key: bool,
    timeout: float,
    wait: bool,
    system: str | None,
    stats: bool,
    as_json: bool,
    no_history: bool,
    **knobs: Any,
) -> None:
    """Ask one question, or hold a conversation.

    QUESTION is the question; `-` in it stands for what comes through a pipe. Without one the pipe is the question, and
    on a terminal a conversation begins. Ctrl-C ends an answer, on the server too.
    """
    asked = question_from(question, "question")
    options = _options(knobs)
    with (
        failures_told(where),
        new_client(where, api_key, allow_plaintext_key=allow_plaintext_key, timeout=timeout) as client,
    ):
        patience = Patience(client, is_willing=wait)
        if asked is not None:
            answer, figures = _answer(client, patience, asked, system, options, is_silent=as_json)
            _finish(answer, figures, stats=stats, as_json=as_json)
            return
        if as_json or not sys.stdout.isatty():
            raise WrongUseError("A conversation needs a terminal; give a question, as an argument or through a pipe.")
        from palaver_server.cli.dialogue import Dialogue  # noqa: PLC0415  # one question needs no line editor

        Dialogue(client, where, patience, system=system, options=options, stats=stats, has_history=not no_history).run()


def _options(knobs: dict[str, Any]) -> StreamOptions:
    given = {"stop_sequences" if name == "stop" else name: value for name, value in knobs.items()}
    options: StreamOptions = {}
    for name, value in given.items():
        if value not in (None, ()):
            options[name] = value  # type: ignore[literal-required]  # the names are those of the options above
    return options


def _answer(
    client: Client, patience: Patience, question: str, system: str | None, options: StreamOptions, *, is_silent: bool
) -> tuple[Answer, Figures]:
    view = AnswerView(is_silent=is_silent)
    while True:
        with client.stream(question, system=system, **options) as stream:
            try:
                return view.show(stream)
            except errors.PalaverClientError as error:
                if view.has_begun or not patience.outlasts(error):
                    raise


def _finish(answer: Answer, figures: Figures, *, stats: bool, as_json: bool) -> None:
    if as_json:
        click.echo(MessageToJson(answer.proto, preserving_proto_field_name=True, ensure_ascii=False))
    if answer.finish_reason == "length":
        click.echo(f"The answer was cut off at {answer.usage.output_token_count} tokens.", err=True)
    if stats:
        click.secho(f"{answer.model}: {figures}", dim=True, err=True)

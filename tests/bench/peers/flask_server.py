"""The baseline that tutorials begin with: Transformers' ``generate`` behind Flask, one answer at a time.

``python -m tests.bench.peers.flask_server MODEL`` prints its port, and speaks as much of OpenAI's protocol as a stream
of plain text needs. It runs in an environment of its own, with Flask.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from typing import Any

import flask
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, TextIteratorStreamer
from werkzeug.serving import make_server

app = flask.Flask(__name__)


class Model:
    """A model that writes one answer at a time, as ``generate`` is not made for several at once."""

    def __init__(self, folder: str) -> None:
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self._model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
        self._turn = threading.Lock()

    def answer(self, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The events of one answer."""
        prompt = self._tokenizer.apply_chat_template(
            body["messages"], add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        streamer = TextIteratorStreamer(self._tokenizer, skip_prompt=True, skip_special_tokens=True)
        wanted = {"max_new_tokens": body["max_tokens"], "do_sample": False, "streamer": streamer}
        if body.get("ignore_eos"):
            wanted["min_new_tokens"] = body["max_tokens"]
        written: list[Any] = []
        with self._turn:
            writer = threading.Thread(target=lambda: written.append(self._model.generate(**prompt, **wanted)))
            writer.start()
            for text in streamer:
                yield {"choices": [{"delta": {"content": text}}]}
            writer.join()
        prompt_tokens = prompt["input_ids"].shape[1]
        usage = {"prompt_tokens": prompt_tokens, "completion_tokens": written[0].shape[1] - prompt_tokens}
        yield {"choices": [], "usage": usage}


@app.post("/v1/chat/completions")
def chat() -> flask.Response:
    """Answer with server-sent events."""
    events = app.config["model"].answer(flask.request.get_json())
    lines = (f"data: {json.dumps(event)}\n\n" for event in events)
    return flask.Response(lines, mimetype="text/event-stream")


def main() -> None:
    """Serve until killed."""
    app.config["model"] = Model(sys.argv[1])
    server = make_server("127.0.0.1", 0, app, threaded=True)
    sys.stdout.write(f"Listening on port {server.port}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()

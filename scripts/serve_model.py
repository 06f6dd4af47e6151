"""Serve a local model on loopback in OpenAI's protocol, token ids and log-probs included, for trying out and for tests.

    python scripts/serve_model.py runs/dpo/model --port 8000
    swegym run demo -p litellm --set policy_options.model=openai/local \\
      --set policy_options.api_base=http://127.0.0.1:8000/v1 --set policy_options.token_ids=true

One request is one turn, sampled together with the others that are under way. For serious loads use vLLM or SGLang, or
the hf policy, which needs no server.
"""

from __future__ import annotations

import argparse
import json
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from swegym.errors import SwegymError
from swegym.policies.hf_engine import Engine, Request
from swegym.policies.hf_template import ChatTemplate
from swegym.policies.tool_calls import find_parser, format_of, message_of

RELOAD = "/update_weights_from_disk"  # as SGLang calls it


class ModelServer(ThreadingHTTPServer):
    """Answers POST /v1/chat/completions, GET /v1/models, and POST /update_weights_from_disk {"model_path": FOLDER}."""

    daemon_threads = True

    def __init__(self, folder: str, port: int = 0, *, max_tokens: int = 256, **options: Any) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.engine = Engine(folder, **options)
        self.form = format_of(self.engine.tokenizer.chat_template or "")
        self.template = ChatTemplate(self.engine.tokenizer, folder, takes_tools=self.form != "text")
        self.max_tokens = max_tokens

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def reload(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Go on with the weights of another folder, same architecture and tokenizer."""
        self.engine.reload(asked["model_path"])
        return {"success": True, "message": f"serving {self.engine.version}"}

    def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        messages, tools = asked["messages"], asked.get("tools") or []
        with self.engine.words:
            prompt = tuple(self.template.ids(self.template.render(messages, tools, reply=True)))
        most = min(asked.get("max_tokens") or self.max_tokens, self.engine.context - len(prompt))
        if most < 1:
            return failure(
                f"This model's maximum context length is {self.engine.context} tokens, and the messages have "
                f"{len(prompt)}.",
                "context_length_exceeded",
            )
        seed = asked["seed"] if asked.get("seed") is not None else random.SystemRandom().randrange(2**31)
        temperature = 1.0 if asked.get("temperature") is None else float(asked["temperature"])
        sampled = self.engine.sample(Request(prompt, seed, temperature, most))
        written = sampled.ids[:-1] if sampled.finish == "stop" else sampled.ids
        with self.engine.words:
            text = self.template.decode(written)
            pieces = [self.template.decode([token]) for token in sampled.ids]
        turn = sum(message["role"] == "assistant" for message in messages)
        message: dict[str, Any] = dict(message_of(text, find_parser(self.form), tools, turn=turn))
        finish = "tool_calls" if message.get("tool_calls") else sampled.finish
        choice: dict[str, Any] = {"index": 0, "message": message, "finish_reason": finish}
        if asked.get("logprobs"):
            content = [
                {"token": piece, "logprob": logprob, "bytes": None, "top_logprobs": []}
                for piece, logprob in zip(pieces, sampled.logprobs, strict=True)
            ]
            choice["logprobs"] = {"content": content}
        made: dict[str, Any] = {
            "id": f"chatcmpl-{seed}",
            "object": "chat.completion",
            "created": 0,
            "model": asked.get("model", ""),
            "choices": [choice],
            "usage": {
                "prompt_tokens": len(prompt),
                "completion_tokens": len(sampled.ids),
                "total_tokens": len(prompt) + len(sampled.ids),
            },
        }
        if asked.get("return_token_ids"):
            choice["token_ids"] = list(sampled.ids)
            made["prompt_token_ids"] = list(prompt)
        return made


class Handler(BaseHTTPRequestHandler):
    server: ModelServer

    def do_POST(self) -> None:
        try:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            made = self.server.reload(asked) if self.path == RELOAD else self.server.answer(asked)
        except (ValueError, KeyError, TypeError, SwegymError) as error:
            made = failure(f"{type(error).__name__}: {error}", "invalid_request_error")
        self.reply(400 if "error" in made else 200, made)

    def do_GET(self) -> None:
        self.reply(200, {"object": "list", "data": [{"id": "local", "object": "model"}]})

    def reply(self, status: int, made: dict[str, Any]) -> None:
        body = json.dumps(made).encode()
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except ConnectionError:
            pass  # the client has given up

    def log_message(self, format: str, *args: Any) -> None:
        pass


def failure(message: str, code: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "code": code}}


@contextmanager
def serving(folder: str, **options: Any) -> Iterator[ModelServer]:
    """A server on a free port for as long as the block lasts."""
    server = ModelServer(folder, **options)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        server.engine.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve a local model in OpenAI's protocol on loopback.")
    parser.add_argument("folder", help="as save_pretrained leaves it, with tokenizer and chat template")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--max-tokens", type=int, default=256, help="of a turn, where the request does not say")
    parser.add_argument("--device", default="auto")
    given = parser.parse_args()
    server = ModelServer(given.folder, given.port, max_tokens=given.max_tokens, device=given.device)
    print(f"serving {given.folder} at {server.address}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.engine.close()


if __name__ == "__main__":
    main()

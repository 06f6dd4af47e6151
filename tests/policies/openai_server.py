"""An OpenAI-compatible server on loopback that answers from a script and keeps what it was asked.

Each entry of the script answers one request: a message (dict), a status with its body (tuple), a number of seconds to
stay silent for, raw bytes for a body that is not JSON, an encoding with the bytes in it, or pieces of a body, each with
the seconds before it.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Entry = dict[str, Any] | tuple[int, dict[str, Any]] | float | bytes | tuple[str, bytes] | Iterator[tuple[float, bytes]]


class OpenAIServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, script: list[Entry]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script = list(script)
        self.requests: list[dict[str, Any]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(BaseHTTPRequestHandler):
    server: OpenAIServer

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append(asked)
        entry = self.server.script.pop(0) if self.server.script else (500, {"error": {"message": "script has ended"}})
        if isinstance(entry, float | int):
            time.sleep(entry)
            entry = {"role": "assistant", "content": "too late"}
        if isinstance(entry, Iterator):
            self.reply_in_pieces(entry)
        elif isinstance(entry, tuple) and isinstance(entry[0], str):
            self.reply(200, entry[1], encoding=entry[0])
        elif isinstance(entry, tuple):
            self.reply(entry[0], json.dumps(entry[1]).encode())
        elif isinstance(entry, bytes):
            self.reply(200, entry)
        else:
            made = completion(asked, entry)
            if asked.get("stream"):
                self.reply(200, as_stream(made), "text/event-stream")
            else:
                self.reply(200, json.dumps(made).encode())

    def reply_in_pieces(self, pieces: Iterator[tuple[float, bytes]]) -> None:
        with suppress(ConnectionError):
            self.send_response(200)
            self.end_headers()
            for seconds, piece in pieces:
                time.sleep(seconds)
                self.wfile.write(piece)

    def reply(self, status: int, body: bytes, kind: str = "application/json", encoding: str = "identity") -> None:
        try:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Encoding", encoding)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except ConnectionError:
            pass  # the client has given up, which is what a silent entry is for

    def log_message(self, format: str, *args: Any) -> None:
        pass


def completion(asked: dict[str, Any], message: dict[str, Any]) -> dict[str, Any]:
    """A response; what a message has under "_choice" and "_top" is added beside it and at the top."""
    message = dict(message)
    choice, top = message.pop("_choice", {}), message.pop("_top", {})
    return {
        **top,
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": asked.get("model", ""),
        "choices": [
            {
                "index": 0,
                "message": message,
                "finish_reason": "tool_calls" if message.get("tool_calls") else "stop",
                **choice,
            }
        ],
        "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
    }


def as_stream(made: dict[str, Any]) -> bytes:
    """A response as the events of a stream: all of the message at once, then why it ended, then what it cost."""
    frame = {key: made[key] for key in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
    choice = made["choices"][0]
    events = [
        frame | {"choices": [{"index": 0, "delta": choice["message"], "finish_reason": None}]},
        frame | {"choices": [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}]},
        frame | {"choices": [], "usage": made["usage"]},
    ]
    return b"".join(f"data: {json.dumps(event)}\n\n".encode() for event in events) + b"data: [DONE]\n\n"


def error(status: int, message: str, code: str | None = None) -> tuple[int, dict[str, Any]]:
    return status, {"error": {"message": message, "type": "error", "code": code}}


@contextmanager
def openai_server(*script: Entry) -> Iterator[OpenAIServer]:
    server = OpenAIServer(list(script))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

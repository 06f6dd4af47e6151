"""A model's server on loopback, OpenAI's chat completions, that answers what it is told to."""

import contextlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Script:
    """`answers` in order, the last one for ever.

    Each is a text, an HTTP status, seconds to sleep, {"refusal": ...}, or None for an answer without a choice.
    """

    def __init__(self, *answers) -> None:
        self.answers = list(answers)
        self.requests: list[dict] = []
        self.url = ""

    def next(self):
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@contextlib.contextmanager
def model_server(*answers):
    script = Script(*answers)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            script.requests.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            answer = script.next()
            if isinstance(answer, float):
                time.sleep(answer)
                answer = "late"
            if isinstance(answer, int):
                self._send(answer, {"error": {"message": "told to fail", "code": answer}})
                return
            message = (
                {"role": "assistant", "content": answer}
                if isinstance(answer, str)
                else {"content": None, **(answer or {})}
            )
            usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
            choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": "stop"}
            self._send(
                200,
                {
                    "id": "1",
                    "object": "chat.completion",
                    "created": 0,
                    "model": "m",
                    "choices": [] if answer is None else [choice],
                    "usage": usage,
                },
            )

        def _send(self, status: int, body: dict) -> None:
            data = json.dumps(body).encode()
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the client did not wait
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        def log_message(self, *arguments) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    script.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield script
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

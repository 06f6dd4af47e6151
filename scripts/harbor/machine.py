"""One machine of swegym, told what to do by lines of JSON: the other end of `environment.py`, in swegym's Python."""

import base64
import json
import sys

from swegym.sandbox import sandbox_factory
from swegym.tasks import load_task_set


def main() -> None:
    task = load_task_set("pypi").load(sys.argv[1])
    with sandbox_factory()(task.image) as machine:
        print("ready", flush=True)
        for line in sys.stdin:
            wanted = json.loads(line)
            done = machine.exec(
                ["/bin/bash", "-c", wanted["command"]],
                cwd=wanted.get("cwd") or task.image.workdir,
                env=wanted.get("env") or {},
                stdin=base64.b64decode(wanted.get("stdin") or ""),
                timeout=wanted.get("timeout") or 600.0,
            )
            streams = [base64.b64encode(stream).decode() for stream in (done.stdout, done.stderr)]
            print(json.dumps({"code": done.exit_code, "streams": streams}), flush=True)


if __name__ == "__main__":
    main()

"""A run to interrupt: `python sleeping_run.py OUT SECONDS`; its policy sleeps in a real machine. Prints "ready"."""

import sys
import threading
from pathlib import Path

from swegym.policies.messages import call, say, turns_taken
from swegym.rollout import RunConfig, collect


def policy(context):
    def act(messages, tools):
        turn = turns_taken(messages)
        if context.seed and turn == 0:
            threading.Timer(1.0, lambda: print("ready", flush=True)).start()
        return say("I wait.", call("bash", command=f"sleep {context.options['sleep']}"), turn=turn)

    return act


if __name__ == "__main__":
    collect(
        RunConfig(
            tasks="pypi",
            patterns=("sqlparse-0.5.1-0.5.2",),
            policy="sleeping_run:policy",
            policy_options={"sleep": sys.argv[2]},
            attempts=2,
            out=Path(sys.argv[1]),
        )
    )

"""A run to be killed: `python crash_run.py OUT TASKS`; prints "ready" once the first episode is on disk."""

import sys
from pathlib import Path

import toy_env

from swegym.rollout import collect

if __name__ == "__main__":
    config = toy_env.toy_config(
        Path(sys.argv[1]),
        attempts=2,
        guide="on-failure",
        teacher="toy_env:teacher",
        jobs=4,
        policy_options={"plan": "hint", "seconds": 0.002},
    )
    collect(
        config,
        on_event=lambda event: print("ready", flush=True) if event.kind == "attempt-finished" else None,
        make_env=lambda: toy_env.toy_env(int(sys.argv[2])),
    )

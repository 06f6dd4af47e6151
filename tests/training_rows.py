"""Rows to train on in tests: conversations with calls, tool output and turns of different lengths, and random ids."""

import json
from pathlib import Path

import numpy as np

from swegym.train.batch import Row

TOOLS = [{"type": "function", "function": {"name": "bash", "description": "", "parameters": {"type": "object"}}}]


def opening(task: int) -> list:
    return [
        {"role": "system", "content": "You fix bugs."},
        {"role": "user", "content": f"area() is wrong for shape {task}; it should be {task * task}."},
    ]


def said(text: str, command: str | None = None) -> dict:
    message = {"role": "assistant", "content": text}
    if command is not None:
        function = {"name": "bash", "arguments": json.dumps({"command": command})}
        message["tool_calls"] = [{"id": "c", "type": "function", "function": function}]
    return message


def answered(text: str) -> dict:
    return {"role": "tool", "tool_call_id": "c", "content": text}


def attempt(task: int, good: bool) -> list:
    """Two attempts at a task look at the same file first and then go different ways."""
    first = [said("I look first.", f"cat shape_{task}.py"), answered(f"def area(x):\n    return x * {task}\n")]
    if good:
        return [*first, said("It must be squared.", "sed -i s/2/x/ shape.py"), answered("ok"), said(f"Done {task}.")]
    return [*first, said(f"I guess {task} is fine" + " really" * (task % 4) + ".")]


def pair_lines(count: int) -> list[dict]:
    return [
        {
            "prompt": opening(task),
            "chosen": attempt(task, True),
            "rejected": attempt(task, False),
            "tools": json.dumps(TOOLS),
            "task": f"shape-{task}",
        }
        for task in range(count)
    ]


def write_lines(path: Path, lines: list[dict]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def random_rows(
    count: int, *, seed: int = 0, vocabulary: int = 1000, shortest: int = 6, longest: int = 40
) -> list[Row]:
    """Rows of random ids with trained stretches in between."""
    draw = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        length = int(draw.integers(shortest, longest))
        mask = draw.random(length) < 0.4
        mask[0], mask[-1] = False, True
        rows.append(Row(draw.integers(20, vocabulary, length).astype(np.int32), mask, f"row {number}"))
    return rows

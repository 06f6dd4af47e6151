"""Replays assistant messages from a file, whatever the environment answers; then submits.

The file is a JSON list of messages, or JSONL with one message a line; messages of other roles are skipped, and a
recorded trajectory (an object with `messages`) stands for its messages.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from swegym.config import Config, validate
from swegym.errors import InputError
from swegym.policies import PolicyContext
from swegym.policies.messages import call, say, turns_taken
from swegym.types import Message, Policy, ToolSchema


class Options(Config):
    file: Path
    """The script, JSON or JSONL."""


def policy(context: PolicyContext) -> Policy:
    script = read_script(validate(Options, context.options, "options of policy scripted").file)
    position = 0

    def act(messages: list[Message], tools: list[ToolSchema]) -> Message:
        nonlocal position
        if position == len(script):
            return say("The script has ended.", call("submit"), turn=turns_taken(messages))
        position += 1
        return script[position - 1]

    return act


def read_script(file: Path) -> list[Message]:
    """The assistant messages of a script file, in order and otherwise untouched."""
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError.at("options of policy scripted", "file", str(file), str(error), "Name a JSON file.") from None
    try:
        whole = json.loads(text)
        entries: list[tuple[str, Any]] = [("", entry) for entry in (whole if isinstance(whole, list) else [whole])]
    except json.JSONDecodeError as error:
        entries = []
        for number, line in enumerate(text.splitlines(), 1):
            try:
                entries += [(f":{number}", json.loads(line))] if line.strip() else []
            except json.JSONDecodeError:
                raise InputError(f"{file}:{number}: not valid JSON: {error.msg}. Correct that line.") from None
    script: list[Message] = []
    for place, entry in entries:
        nested = entry.get("messages") if isinstance(entry, dict) else None
        for message in nested if isinstance(nested, list) else [entry]:
            if not isinstance(message, dict) or "role" not in message:
                raise InputError.at(f"{file}{place}", "message", message, "not a chat message", 'Add its "role".')
            if message["role"] == "assistant":
                script.append(message)  # type: ignore[arg-type]
    if not script:
        raise InputError(f"{file}: no assistant message in it. Name a script or a recorded trajectory.")
    return script

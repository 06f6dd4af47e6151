"""`TextAction`: plain strings in, plain strings out, for policies that know no tool calls.

An action is what a model wrote. The tool calls are taken from its fenced blocks,

    ```bash
    ls -la
    ```

or, for any tool, JSON in a ```json block or as the whole action:

    {"tool": "edit", "arguments": {"path": "a.py", "old": "x = 1", "new": "x = 2"}}
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

import gymnasium
from gymnasium.utils import RecordConstructorArgs

from swegym.spaces import UnicodeSpace
from swegym.types import Message, ToolCall, ToolSchema

# Also one without an end, which is none: an expression that fails there would begin again at each of thousands.
_BLOCK = re.compile(r"^```(bash|sh|shell|json)[ \t]*\n(.*?)(^```[ \t]*$|\Z)", re.MULTILINE | re.DOTALL)

HOW_TO_CALL = """\
Answer with one tool call in each message: a shell command in a block

```bash
ls
```

or any tool as JSON in a block

```json
{"tool": "NAME", "arguments": {...}}
```"""


class TextAction(gymnasium.Wrapper[str, str, list[Message], Message], RecordConstructorArgs):
    """Turns a `SWEEnv` into one whose observations and actions are str. The opening lists the tools.

    Text without a call is passed on as it is, and the env explains what is missing. Of several calls in one action the
    env carries out the first and says so.
    """

    env: Any  # mypy takes the wrapped env to have the wrapper's own observations

    def __init__(self, env: gymnasium.Env[list[Message], Message]) -> None:
        RecordConstructorArgs.__init__(self)
        inner: Any = env
        super().__init__(inner)
        self.observation_space = UnicodeSpace()
        self.action_space = UnicodeSpace(noop="```bash\ntrue\n```")

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        opening, info = self.env.reset(seed=seed, options=options)
        return f"{as_text(opening)}\n\n{describe_tools(self.get_wrapper_attr('tool_schemas'))}\n\n{HOW_TO_CALL}", info

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        answers, reward, terminated, truncated, info = self.env.step(parse_action(action))
        return as_text(answers), float(reward), terminated, truncated, info


def parse_action(text: Any) -> Message:
    """The assistant message that a text stands for. JSON that is no call stays text; a call is checked by the env."""
    if not isinstance(text, str):
        return {"role": "assistant", "content": repr(text)}
    calls: list[tuple[Any, Any]] = []
    for language, body, end in _BLOCK.findall(text):
        if language == "json":
            calls += _calls_of(body) if end else []
        elif end:
            calls.append(("bash", {"command": body}))
    if not calls:
        calls = _calls_of(text)
    message: Message = {"role": "assistant", "content": text}
    if calls:
        message["tool_calls"] = [_call(number, *call) for number, call in enumerate(calls)]
    return message


def _calls_of(body: str) -> list[tuple[Any, Any]]:
    """What a JSON text calls. Broken JSON that looks like a call becomes one whose arguments the env complains of."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        name = re.search(r'"(?:tool|name)"\s*:\s*"([^"]+)"', body)
        return [(name[1], body)] if name and body.lstrip().startswith("{") else []
    if isinstance(value, dict) and isinstance(value.get("tool", value.get("name")), str):
        return [(value.get("tool", value.get("name")), value.get("arguments", {}))]
    return []


def _call(number: int, name: Any, arguments: Any) -> ToolCall:
    written = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return {"id": f"text_{number}", "type": "function", "function": {"name": name, "arguments": written}}


def as_text(messages: Iterable[Message]) -> str:
    return "\n\n".join(message.get("content", "") for message in messages)


def describe_tools(schemas: Iterable[ToolSchema]) -> str:
    """The tools as a list for people and for models without tool calls."""
    lines = ["Tools:"]
    for schema in schemas:
        function = schema["function"]
        lines.append(f"- {function['name']}: {' '.join(function['description'].split())}")
        required = function["parameters"].get("required", [])
        for name, described in function["parameters"]["properties"].items():
            kind = described.get("type", "value")
            optional = "" if name in required else f", default {json.dumps(described.get('default'))}"
            lines.append(f"    {name} ({kind}{optional}): {described.get('description', '')}".rstrip(": "))
    return "\n".join(lines)

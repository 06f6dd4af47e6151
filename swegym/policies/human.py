"""A person at the terminal: sees what the policy sees, types tool calls, ends (and submits) with Ctrl-D.

A line is a tool and its arguments: `read src/a.py 10 40`, `bash ls -l | head`, `search pattern=def path=src`; or JSON,
which any argument fits into: `{"name": "edit", "arguments": {...}}`.
"""

from __future__ import annotations

import json
import shlex
from typing import Any

from swegym.config import Config, validate
from swegym.messages import printable
from swegym.policies import PolicyContext
from swegym.policies.messages import call, say, turns_taken
from swegym.types import Message, Policy, ToolCall, ToolSchema


class Options(Config):
    """`human` has none."""


def policy(context: PolicyContext) -> Policy:
    from rich.console import Console
    from rich.panel import Panel
    from rich.text import Text

    validate(Options, context.options, "options of policy human")
    console = Console()
    shown = 0

    def act(messages: list[Message], tools: list[ToolSchema]) -> Message:
        nonlocal shown
        for message in messages[shown:]:
            if message["role"] != "assistant":
                hint = message.get("extra", {}).get("source") == "guidance"
                title = f"{message['role']}, guidance" if hint else message["role"]
                console.print(Panel(Text(printable(message.get("content", ""))), title=title, title_align="left"))
        shown = len(messages)
        console.print(Text("tools: " + "  ".join(usage(tool) for tool in tools), style="dim"))
        while True:
            try:
                line = console.input("[bold]> [/bold]")
            except EOFError:
                return say("", call("submit"), turn=turns_taken(messages))
            try:
                return say("", parse_line(line, tools), turn=turns_taken(messages))
            except ValueError as problem:
                console.print(Text(str(problem), style="red"))

    return act


def usage(tool: ToolSchema) -> str:
    """A tool in one word and its arguments, optional ones in brackets."""
    function = tool["function"]
    required = function["parameters"].get("required", [])
    names = function["parameters"].get("properties", {})
    return " ".join([function["name"], *(name if name in required else f"[{name}]" for name in names)])


def parse_line(line: str, tools: list[ToolSchema]) -> ToolCall:
    """The tool call that a typed line means; ValueError says what is wrong with it.

    Arguments go by position or as NAME=VALUE, quoted as in a shell; `bash` takes the rest of its line as it is.
    """
    known = {tool["function"]["name"]: tool["function"]["parameters"] for tool in tools}
    if line.lstrip().startswith("{"):
        asked = json.loads(line)
        if not isinstance(asked.get("name"), str) or not isinstance(asked.get("arguments", {}), dict):
            raise ValueError('expected {"name": TOOL, "arguments": {...}}')
        return call(asked["name"], **asked.get("arguments", {}))
    name, _, rest = line.strip().partition(" ")
    if name not in known:
        raise ValueError(f"no tool {name!r}; there is: {', '.join(known)}")
    properties: dict[str, Any] = known[name].get("properties", {})
    required = known[name].get("required", [])
    if name == "bash" and rest.strip():
        return call(name, **{next(iter(properties)): rest.strip()})
    arguments: dict[str, Any] = {}
    free = list(properties)
    for word in shlex.split(rest):
        key, equals, value = word.partition("=")
        if not (equals and key in properties):
            if not free:
                raise ValueError(f"{name} takes {len(properties)} arguments: {', '.join(properties)}")
            key, value = free[0], word
        if key in free:
            free.remove(key)
        arguments[key] = _typed(value, properties[key].get("type"), key)
    missing = [parameter for parameter in required if parameter not in arguments]
    if missing:
        raise ValueError(f"{name} needs {', '.join(missing)}")
    return call(name, **arguments)


def _typed(value: str, kind: str | None, name: str) -> Any:
    if kind in (None, "string"):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        raise ValueError(f"{name} = {value!r}: expected {kind}") from None

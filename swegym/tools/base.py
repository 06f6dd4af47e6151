"""A tool: a function that a policy may call, with its schema made from the signature and the Google docstring.

    @tool
    def count(context: ToolContext, path: str) -> str:
        '''Count the lines of a file.'''
        return str(context.sandbox.read(context.path(path)).count(b"\\n"))

The first parameter is the context; the policy sees the others. What the function returns is what the policy reads. A
policy's mistake is a `ToolError`, whose text the policy reads too. A machine that fails is a `SandboxError`, and nobody
here catches it.
"""

from __future__ import annotations

import inspect
import json
import posixpath
import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, overload

import pydantic

from swegym.errors import InputError
from swegym.types import PublicTask, Sandbox, TestSetup, ToolSchema

_MARK = "__swegym_tool__"
Function = TypeVar("Function", bound=Callable[..., str])


class ToolError(Exception):
    """A mistake of the policy. Its text explains what to do instead and becomes the tool's answer."""


@dataclass(frozen=True, slots=True)
class ToolContext:
    """What a tool may use: the agent's sandbox, and what the agent may know of its task."""

    sandbox: Sandbox
    task: PublicTask
    setup: TestSetup
    seconds_left: float = float("inf")  # until the episode's time is up; a tool should not run longer

    def path(self, path: str) -> str:
        """An absolute path in the sandbox; relative ones start at the repository."""
        if "\0" in path:
            raise ToolError("A path cannot contain a NUL character.")
        if not path.strip():
            raise ToolError(
                "The path is empty. Give a file or folder relative to the repository, or '.' for all of it."
            )
        return posixpath.normpath(posixpath.join(self.task.workdir, path))


@overload
def tool(function: Function) -> Function: ...
@overload
def tool(*, ends_episode: bool) -> Callable[[Function], Function]: ...
def tool(function: Any = None, *, ends_episode: bool = False) -> Any:
    """Mark a function as a tool. With `ends_episode`, a call that succeeds submits the episode."""

    def mark(function: Function) -> Function:
        setattr(function, _MARK, {"ends_episode": ends_episode})
        make_tool(function)  # a bad signature fails where it is written, not in the middle of an episode
        return function

    return mark if function is None else mark(function)


@dataclass(frozen=True)
class Tool:
    """A marked function with its schema and the model that checks its arguments."""

    name: str
    function: Callable[..., str]
    schema: ToolSchema
    ends_episode: bool = False
    arguments: type[pydantic.BaseModel] = field(repr=False, compare=False, default=pydantic.BaseModel)

    def __reduce__(self) -> tuple[Any, ...]:
        return make_tool, (self.function,)  # the model is made at run time, so it cannot be pickled by name


def make_tool(function: Callable[..., str]) -> Tool:
    """The tool of a function marked with `@tool`."""
    mark = getattr(function, _MARK, None)
    name = getattr(function, "__name__", repr(function))
    if mark is None:
        raise InputError(f"{name} is not a tool. Put @swegym.tools.tool above it.")
    signature = inspect.signature(function)
    hints = typing.get_type_hints(function, include_extras=True)
    summary, descriptions = parse_docstring(inspect.getdoc(function) or "")
    _, *parameters = signature.parameters.values()
    unknown = descriptions.keys() - {parameter.name for parameter in parameters}
    if unknown:
        raise InputError(f"tool {name}: its docstring describes {sorted(unknown)}, which it does not take.")
    if not summary:
        raise InputError(f"tool {name}: it has no docstring, so no policy could know what it does. Add one.")
    fields: dict[str, Any] = {}
    for parameter in parameters:
        if parameter.name not in hints:
            raise InputError(f"tool {name}: parameter {parameter.name} has no type. Annotate it.")
        default = ... if parameter.default is parameter.empty else parameter.default
        # The underscore keeps a parameter named like a method of pydantic's, e.g. `copy`, out of its way.
        described = pydantic.Field(default, alias=parameter.name, description=descriptions.get(parameter.name))
        fields[f"{parameter.name}_"] = (hints[parameter.name], described)
    model = pydantic.create_model(name, __config__=pydantic.ConfigDict(extra="forbid"), **fields)
    shown = {"name": name, "description": summary, "parameters": _parameters(model)}
    return Tool(name, function, {"type": "function", "function": shown}, mark["ends_episode"], model)


def schema(function: Callable[..., str]) -> ToolSchema:
    """The entry of a tool in an OpenAI `tools` list."""
    return make_tool(function).schema


def _parameters(model: type[pydantic.BaseModel]) -> dict[str, Any]:
    made = model.model_json_schema()
    properties = {
        name: {key: value for key, value in described.items() if key != "title"}
        for name, described in made.get("properties", {}).items()
    }
    shown = {"type": "object", "properties": properties, "additionalProperties": False}
    return shown | {key: made[key] for key in ("required", "$defs") if key in made}


def parse_docstring(text: str) -> tuple[str, dict[str, str]]:
    """Split a Google docstring into what stands before `Args:` and the description of each argument."""
    summary, _, rest = re.sub(r"^(Returns|Raises|Yields|Example|Examples):$.*", "", text, flags=re.M | re.S).partition(
        "\nArgs:\n"
    )
    found: dict[str, str] = {}
    for name, described in re.findall(r"^ {4}(\w+)(?: \([^)]*\))?: *(.*(?:\n(?: {5,}.*|\s*$))*)", rest, flags=re.M):
        found[name] = " ".join(described.split())
    return summary.strip(), found


def answer(tools: Mapping[str, Tool], name: Any, arguments: Any, context: ToolContext) -> tuple[str, bool]:
    """Call a tool with JSON text, and say whether that succeeded. A policy's mistake is explained, not raised.

    Only `SandboxError` (the machine failed) and bugs of a tool escape.
    """
    found = tools.get(name) if isinstance(name, str) else None
    if found is None:
        return f"There is no tool {name!r}. Use one of: {', '.join(tools)}.", False
    try:
        return found.function(context, **_checked(found, arguments)), True
    except ToolError as error:
        return str(error), False


def _checked(found: Tool, arguments: Any) -> dict[str, Any]:
    expected = f"{found.name} takes {_signature(found)}."
    if not isinstance(arguments, str):
        raise ToolError(f"The arguments must be JSON text, not {type(arguments).__name__}. {expected}")
    try:
        values = json.loads(arguments or "{}")
    except (ValueError, RecursionError) as error:
        raise ToolError(f"The arguments are not valid JSON: {error}. {expected}") from None
    if not isinstance(values, dict):
        raise ToolError(f"The arguments must be a JSON object. {expected}")
    optional = {one.alias for one in found.arguments.model_fields.values() if not one.is_required()}
    values = {name: value for name, value in values.items() if value is not None or name not in optional}
    try:
        json.dumps(values, ensure_ascii=False).encode()
    except (UnicodeEncodeError, RecursionError):
        raise ToolError("The arguments contain half of a surrogate pair, which is not text.") from None
    try:
        checked = found.arguments.model_validate(values)
    except pydantic.ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, one['loc']))}: {one['msg'][0].lower()}{one['msg'][1:]}"
            for one in error.errors(include_url=False)[:5]
        )
        raise ToolError(f"Wrong arguments: {problems}. {expected}") from None
    return {name.removesuffix("_"): getattr(checked, name) for name in found.arguments.model_fields}


def _signature(found: Tool) -> str:
    parameters = found.schema["function"]["parameters"]
    required = parameters.get("required", [])
    shown = [name if name in required else f"{name} (optional)" for name in parameters["properties"]]
    return ", ".join(shown) or "no arguments"

"""Localise, then repair: the fixed stages of Agent-RLVR (after Agentless) as a driver over any policy that chats.

    files      the repository's tree is shown; the model names files
    places     the outlines of those files are shown; the model names classes and functions in them
    repair     those files are shown whole or around the places; the model writes search/replace edits
    submit

Each stage asks the policy underneath with a prompt of its own, built from the task and from what the env's tools have
answered so far; the hint stands in the prompt of every stage. What the driver then does is an ordinary tool call
(bash, read, edit, submit), so every env with those tools will do, and the trajectory reads like any other. An edit that
does not fit is shown to the model with the env's answer, a few times.

`extra` of each message: stage, and what the policy underneath has put there. `asked` holds the stage's own prompt, and
with a policy that keeps token ids each stage's prompt is a row of its own.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

from pydantic import Field

from swegym.config import Config, validate
from swegym.errors import InputError
from swegym.guidance import is_guidance
from swegym.policies import PolicyContext, find_policy
from swegym.policies.messages import call, say, turns_taken
from swegym.types import Message, Policy, ToolCall, ToolSchema

NEEDED = ("bash", "read", "edit", "submit")

LIST = "git ls-files '*.py' | head -n 2000"
LOOK = "git diff --stat"
OUTLINE = "grep -nE '^ *(class|def|async def) ' -- {files} | head -n 800"

ASK_FILES = """\
Below are a problem and the files of the repository. Name the files that must change to solve it, at most {most}, the
most likely first, each on a line of its own, and nothing else.

<files>
{files}
</files>"""

ASK_PLACES = """\
Below are a problem and the classes and functions of the files that may have to change, with their lines. Name the ones
that must change or be read to solve it, at most {most}, each on a line of its own as `path:line`, and nothing else.

<outline>
{outline}
</outline>"""

ASK_EDITS = """\
Below are a problem and the code that may have to change. Write the change that solves it in general, as one or more
edits in this form. The text to search for must stand in the file exactly once, with its indentation.

path/of/file.py
<<<<<<< SEARCH
lines as they are
=======
lines as they should be
>>>>>>> REPLACE

{code}"""

ASK_AGAIN = "These edits could not be made. Write all that still need to be made again, in the same form.\n\n{answers}"
"""What follows an edit that did not fit."""


class Options(Config):
    policy: str = "litellm"
    """Name or import path of the policy that is asked; it is called without tools."""
    policy_options: dict[str, Any] = Field(default_factory=dict)
    """Its own settings."""
    max_cost: float | None = Field(None, ge=0)
    """Handed on to it, if set."""
    files: int = Field(5, ge=1)
    """Files taken from the first stage, at most."""
    places: int = Field(10, ge=1)
    """Places taken from the second."""
    window: int = Field(60, ge=1)
    """Lines shown around a place of a long file."""
    repairs: int = Field(3, ge=1)
    """How often the repair stage is asked, edits that did not fit included."""


def policy(context: PolicyContext) -> Policy:
    options = validate(Options, context.options, "options of policy staged")
    factory, privileged = find_policy(options.policy)
    if privileged or options.policy == "staged":
        raise InputError.at(
            "options of policy staged", "policy", options.policy, "it cannot chat", "Name one that can, e.g. litellm."
        )
    budget = {} if options.max_cost is None else {"max_cost": options.max_cost}
    inner = factory(PolicyContext(context.task, context.seed, {**options.policy_options, **budget}))
    stages = Stages(options, inner)
    driver: Iterator[Message] | None = None

    def act(messages: list[Message], tools: list[ToolSchema]) -> Message:
        nonlocal driver
        stages.conversation = messages
        if driver is None:
            missing = sorted(set(NEEDED) - {tool["function"]["name"] for tool in tools})
            if missing:
                raise InputError(
                    f"policy staged: this env lacks the tools {', '.join(missing)}. Add them to its tools."
                )
            driver = stages.messages()
        return next(driver)

    return act


class Stages:
    """One episode. `conversation` is the env's, set before each of `messages` is asked for."""

    def __init__(self, options: Options, inner: Policy) -> None:
        self.conversation: list[Message] = []
        self._options = options
        self._inner = inner

    def messages(self) -> Iterator[Message]:
        yield self._act("files", call("bash", command=LIST))
        known = self._answer().splitlines()
        reply = self._ask("files", ASK_FILES.format(most=self._options.files, files=self._answer()))
        files = named_files(_text(reply), known)[: self._options.files]
        files = files or named_files(_text(self.conversation[0]) + _text(self.conversation[1]), known)
        files = files or [file for file in known if "test" not in file][: self._options.files]
        yield self._act("files", call("bash", command=OUTLINE.format(files=shlex.join(files) or "/dev/null")), reply)
        reply = self._ask("places", ASK_PLACES.format(most=self._options.places, outline=self._answer()))
        places = named_places(_text(reply), files)[: self._options.places]
        yield self._act("places", call("bash", command=show(files, places, self._options.window)), reply)
        yield from self._repair(self._answer(), files)

    def _repair(self, code: str, files: list[str]) -> Iterator[Message]:
        stage: list[Message] = [{"role": "user", "content": ASK_EDITS.format(code=code)}]
        for left in reversed(range(self._options.repairs)):
            reply = self._ask("repair", stage)
            edits = edits_in(_text(reply), files)
            refused: list[str] = []
            for number, (path, old, new) in enumerate(edits):
                yield self._act("repair", call("edit", path=path, old=old, new=new), None if number else reply)
                if not self._answer().startswith("Edited "):
                    refused.append(self._answer())
            if not edits:  # what was said is recorded with a call that changes nothing
                yield self._act("repair", call("bash", command=LOOK), reply)
            if (edits and not refused) or not left:
                break
            problem = "\n".join(refused) or "There was no edit in this form in your message."
            stage = [*stage, _said(reply), {"role": "user", "content": ASK_AGAIN.format(answers=problem)}]
        while True:
            yield self._act("repair", call("submit"))

    def _ask(self, stage: str, prompt: str | list[Message]) -> Message:
        """What the policy underneath says to the task, the hints and a stage's own prompt."""
        given: list[Message] = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
        # The system prompt speaks of tools, which the policy underneath is not given.
        opening = [message for message in self.conversation[: self._opening()] if message["role"] == "user"]
        later = [message for message in self.conversation[self._opening() :] if is_guidance(message)]
        reply = self._inner([*opening, *later, *given], [])
        extra = dict(reply.get("extra") or {})
        return {**reply, "extra": {**extra, "stage": stage, "asked": [_plain(message) for message in given]}}

    def _opening(self) -> int:
        """Where the conversation's opening ends."""
        roles = [message["role"] for message in self.conversation]
        return roles.index("assistant") if "assistant" in roles else len(roles)

    def _act(self, stage: str, action: ToolCall, reply: Message | None = None) -> Message:
        """A tool call as the driver's next message, with what the policy underneath has said, if it was asked."""
        turn = turns_taken(self.conversation)
        message = say(_text(reply) if reply else "", action, turn=turn)
        # The driver's own steps are no tokens of anybody, and say so in a form that trainers take.
        nothing: dict[str, Any] = {"token_ids": [], "logprobs": [], "guidance_span": [0, 0]}
        nothing["context_token_ids" if turn else "prompt_token_ids"] = []
        message["extra"] = dict(reply.get("extra") or {}) if reply else {"stage": stage, **nothing}
        return message

    def _answer(self) -> str:
        """What the env's tool said last."""
        return _text(self.conversation[-1])


# --- reading what the model wrote -------------------------------------------------------------------------------------


def named_files(text: str, known: list[str]) -> list[str]:
    """The known files that a text names, in its order."""
    words = re.findall(r"[\w./+-]+", text.replace("\\", "/"))
    named = [word.removeprefix("./").rstrip(".") for word in words]
    return list(dict.fromkeys(word for word in named if word in set(known)))


def named_places(text: str, files: list[str]) -> list[tuple[str, int]]:
    """The `path:line` places of a text that lie in `files`, in its order."""
    found = [(path.removeprefix("./"), int(line)) for path, line in re.findall(r"([\w./+-]+):(\d{1,7})", text)]
    return list(dict.fromkeys(place for place in found if place[0] in files))


def show(files: list[str], places: list[tuple[str, int]], window: int) -> str:
    """A command that prints the places with `window` lines around them, or the files where no place is named."""
    commands = []
    for path in [file for file in files if any(file == other for other, _ in places)] or files:
        spans = [(max(1, line - window), line + window) for other, line in places if other == path] or [
            (1, 10 * window)
        ]
        for start, end in joined(spans):
            header = shlex.quote(f"=== {path}, lines {start} to {end} ===")
            commands.append(f"echo {header}; sed -n '{start},{end}p' -- {shlex.quote(path)}")
    return "; ".join(commands) or "true"


def joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans in order, those that touch made one."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def edits_in(text: str, files: list[str]) -> list[tuple[str, str, str]]:
    """The search/replace edits of a text as (path, old, new). A block without a path belongs to the file before it."""
    edits: list[tuple[str, str, str]] = []
    path = files[0] if len(files) == 1 else ""
    block: list[str] = []
    part = ""
    parts: dict[str, list[str]] = {}
    for line in text.replace("\r\n", "\n").split("\n"):  # no other end: a line may hold a form feed
        mark = line.strip()
        if mark.startswith("<<<<<<< SEARCH"):
            path = next((named for named in map(_path, reversed(block)) if named), path)
            part, parts, block = "old", {"old": [], "new": []}, []
        elif part == "old" and mark.startswith("======="):
            part = "new"
        elif part == "new" and mark.startswith(">>>>>>> REPLACE"):
            old, new = "\n".join(parts["old"]), "\n".join(parts["new"])
            edits.append((path, old, new) if new or not old else (path, old + "\n", ""))
            part = ""
        elif part:
            parts[part].append(line)
        else:
            block.append(line)
    return edits


def _path(line: str) -> str:
    """The path that a line above a block names, if it names nothing else."""
    bare = line.strip().strip("`*#: ").removeprefix("./")
    return bare if re.fullmatch(r"[\w./+-]+\.\w+", bare) else ""


def _text(message: Message) -> str:
    return message.get("content") or ""


def _said(reply: Message) -> Message:
    """What the policy underneath said, as a turn of the stage's own conversation."""
    return {"role": "assistant", "content": _text(reply), "extra": dict(reply.get("extra") or {})}


def _plain(message: Message) -> dict[str, Any]:
    return {"role": message["role"], "content": _text(message)}

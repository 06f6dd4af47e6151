"""Applies the reference fix and submits: the ceiling. Privileged, for checking tasks and graders only."""

from __future__ import annotations

from swegym.config import Config, validate
from swegym.errors import InputError
from swegym.policies import PolicyContext
from swegym.policies.messages import call, say, turns_taken
from swegym.types import Message, Policy, ToolCall, ToolSchema

PRIVILEGED = True
PATCH = "/tmp/gold.patch"


class Options(Config):
    """`gold` has none."""


def policy(context: PolicyContext) -> Policy:
    validate(Options, context.options, "options of policy gold")
    if context.private is None:
        raise InputError("policy gold: it needs the whole task. Make it with make_policy('gold', task, ...).")
    steps: list[tuple[str, ToolCall]] = [("Done.", call("submit"))]
    if context.private.gold_patch.strip():
        steps = [
            ("Writing the reference fix.", call("write", path=PATCH, content=context.private.gold_patch)),
            ("Applying it.", call("bash", command=f"git apply --whitespace=nowarn {PATCH}")),
            *steps,
        ]

    def act(messages: list[Message], tools: list[ToolSchema]) -> Message:
        turn = turns_taken(messages)
        content, step = steps[min(turn, len(steps) - 1)]
        return say(content, step, turn=turn)

    return act

"""Submits at once, with nothing changed: the floor that every task must score 0 at."""

from __future__ import annotations

from swegym.config import Config, validate
from swegym.policies import PolicyContext
from swegym.policies.messages import call, say, turns_taken
from swegym.types import Message, Policy, ToolSchema


class Options(Config):
    """`nop` has none."""


def policy(context: PolicyContext) -> Policy:
    validate(Options, context.options, "options of policy nop")

    def act(messages: list[Message], tools: list[ToolSchema]) -> Message:
        return say("Nothing to change.", call("submit"), turn=turns_taken(messages))

    return act

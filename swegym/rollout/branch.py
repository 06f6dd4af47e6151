"""A branch: an episode that takes over the first turns of an earlier attempt, is given a hint there, and goes on alone.

The state is reached by carrying out the recorded turns again in a fresh machine, or is taken from a snapshot of the
running episode. Either way the conversation is the one that the policy had: the recorded turns, marked as replayed,
then the hint. So a branch and the attempt that it leaves share all up to there; what differs is the policy's own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from swegym.env import EpisodeSnapshot
from swegym.errors import GuidanceError
from swegym.guidance import guidance_message, without_guidance
from swegym.messages import calls_of
from swegym.rollout.record import Record
from swegym.types import Guidance, Message, Policy, ToolSchema, Trajectory

_NUMBER = re.compile(r"[0-9a-f]+")
CHANGES = frozenset({"edit", "write"})
"""Tools that change files: an attempt goes wrong at its first change at the latest."""


@dataclass(frozen=True, slots=True)
class Branch:
    """Which turns of which attempt are taken over. With `submitted` the last of them, its submission, is not repeated:
    the policy learns that it failed, and goes on from there.
    """

    attempt: Trajectory
    turns: int
    submitted: bool = False

    @property
    def messages(self) -> list[Message]:
        """The conversation up to the branch, hints taken out, policy turns and their answers marked as replayed."""
        kept: list[Message] = []
        turns = 0
        for message in without_guidance(self.attempt.messages):
            if message["role"] == "assistant":
                if turns == self.turns:
                    break
                turns += 1
            kept.append(message if turns == 0 else {**message, "extra": {**message.get("extra", {}), "replayed": True}})
        return kept


def find_branch(attempt: Trajectory, hint_at: str) -> Branch | None:
    """Where an attempt is branched; None where that would be a new attempt from the opening.

    Args:
        attempt: A failed one.
        hint_at: start; feedback, behind a submission; takeover, before the first change; takeover:N, behind turn N.
    """
    spoken = [message for message in attempt.messages if message["role"] == "assistant"]
    submitted = attempt.stop_reason == "submitted"
    if hint_at == "feedback":
        return Branch(attempt, len(spoken), submitted=True) if submitted else None
    if not hint_at.startswith("takeover"):
        return None
    _, _, number = hint_at.partition(":")
    changing = [place for place, message in enumerate(spoken) if _changes(message)]
    turns = int(number) if number else changing[0] if changing else len(spoken) - 1
    turns = min(turns, len(spoken) - 1)  # at the last turn it is over
    return Branch(attempt, turns) if turns > 0 else None


def _changes(message: Message) -> bool:
    return any(call["function"]["name"] in CHANGES for call in calls_of(message))


def rollout_branch(
    env: Record,
    policy: Policy,
    branch: Branch,
    guidance: Guidance,
    *,
    seed: int,
    number: int | None = None,
    parent: str | None = None,
    snapshot: EpisodeSnapshot | None = None,
) -> Trajectory:
    """Go on from a branch to the episode's end; the trajectory holds the whole conversation.

    Turns, tokens and seconds of the limits are used up by what is replayed, as they were by the attempt itself.

    Args:
        env: Over the attempt's task, in a `Record` around a `GuidanceWrapper` made for training.
        policy: Asked with the whole conversation from its first own turn on.
        branch: What is taken over.
        guidance: The hint that stands behind it.
        seed: Of the episode.
        number: The attempt number of the record; the branched attempt's own if left out.
        parent: Id of the attempt that is retried; the branched attempt's own if left out.
        snapshot: Of the episode at this point; None to get there by carrying out the turns again.

    Raises:
        GuidanceError: The env takes no hints, or the turns end the episode when they are repeated.
    """
    if not env.has_wrapper_attr("takes_guidance") or not env.get_wrapper_attr("training"):
        raise GuidanceError("a hint needs an env that takes one while training: Record(GuidanceWrapper(env)).")
    attempt = branch.attempt
    options: dict[str, Any] = {
        "task": attempt.task,
        "attempt": attempt.attempt if number is None else number,
        "parent": attempt.id if parent is None else parent,
    }
    messages = branch.messages
    hint = guidance_message(guidance, "feedback" if branch.submitted else "takeover")
    try:
        env.reset(seed=seed, options=options)
        if snapshot is not None:
            env.unwrapped.restore(snapshot)  # type: ignore[attr-defined]
        else:
            messages = _carried_out(env, branch, messages)
    finally:  # what fails on the way is recorded as the guided attempt that it is
        conversation = [*messages, hint]
        env.take_over(conversation, guidance)
    tools: list[ToolSchema] = env.get_wrapper_attr("tool_schemas")
    over = False
    while not over:
        message = policy(list(conversation), tools)
        answers, _, terminated, truncated, _ = env.step(message)
        conversation = [*conversation, message, *answers]
        over = terminated or truncated
    return env.trajectory


def _carried_out(env: Record, branch: Branch, messages: list[Message]) -> list[Message]:
    """Repeat the recorded turns. The recorded answers stand; one that comes out otherwise, numbers aside, is marked."""
    turns = [place for place, message in enumerate(messages) if message["role"] == "assistant"]
    marked = list(messages)
    for place in turns[: len(turns) - branch.submitted]:
        answers, _, terminated, truncated, _ = env.step(messages[place])
        if terminated or truncated:
            raise GuidanceError(
                f"{branch.attempt.id}: its first {branch.turns} turns, carried out again, end the episode, so nothing "
                "can follow. Take over earlier with hint_at=takeover:N, or raise the limits."
            )
        for number, answer in enumerate(answers, place + 1):
            if number < len(messages) and not _alike(answer, messages[number]):
                marked[number] = {
                    **messages[number],
                    "extra": {**messages[number].get("extra", {}), "replayed_differently": True},
                }
    return marked


def _alike(one: Message, other: Message) -> bool:
    """Whether two answers say the same but for numbers, which are times and addresses more often than not."""
    said = [_NUMBER.sub(_counted, message.get("content") or "") for message in (one, other)]
    return said[0] == said[1]


def _counted(found: re.Match[str]) -> str:
    return "0" if any(letter.isdigit() for letter in found[0]) else found[0]

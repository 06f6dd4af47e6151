"""A token row: one sequence of exact token ids as a policy sampled it, for trainers. Nothing is ever re-tokenised.

A sampling policy notes in each assistant message's `extra` what it was given and what it said, in ids (docs/data.md).
Joined in order they are the sequence that the model saw. A turn whose prompt does not continue what came before,
because the template rewrote an earlier turn or an output was elided, begins a new row.

What a hint put into the prompt is known as spans of ids, so the row without the hint is made by deleting them: output
and observations stay identical under both prompts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from swegym.errors import InputError
from swegym.guidance import is_guidance
from swegym.types import Trajectory

Span = tuple[int, int]  # [start, end)


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One sequence. `ids`, `mask` and `logprobs` have the same length.

    `mask` is 1 on what the policy sampled in this very episode and 0 on prompts, tool output and turns replayed from
    another episode. `logprobs` are those of the sampler, under the prompt it had (the hint included) and at its
    temperature, 0.0 where the mask is 0. `turns` are the spans of the masked turns; `hint` of the ids that are there
    only because of a hint, none in a row without guidance.
    """

    ids: tuple[int, ...]
    mask: tuple[int, ...]
    logprobs: tuple[float, ...]
    turns: tuple[Span, ...]
    hint: tuple[Span, ...] = ()
    temperature: float | None = None
    policy_version: str = ""
    replayed: tuple[Span, ...] = ()  # turns taken over from another episode

    def __len__(self) -> int:
        return len(self.ids)

    def as_json(self) -> dict[str, Any]:
        """The columns of data files: ids, mask, logprobs, turns, hint."""
        return {
            "ids": list(self.ids),
            "mask": list(self.mask),
            "logprobs": list(self.logprobs),
            "turns": [list(span) for span in self.turns],
            "hint": [list(span) for span in self.hint],
        }


def has_tokens(trajectory: Trajectory) -> bool:
    """Whether every assistant message carries ids and log-probs; false too when there is none."""
    spoken = [message.get("extra", {}) for message in trajectory.messages if message["role"] == "assistant"]
    return bool(spoken) and all("token_ids" in extra and "logprobs" in extra for extra in spoken)


def token_rows(trajectory: Trajectory, *, guidance: bool) -> list[TokenRow]:
    """The rows of a trajectory, in order; several when a turn began anew, none when the policy never spoke.

    Args:
        trajectory: Of a policy that keeps token ids.
        guidance: With the hint's ids, as sampled; or without them, as trained on.

    Raises:
        InputError: Ids are missing, or do not belong together; or a hint stood in a prompt and its span is not known.
    """
    building: list[_Building] = []
    hinted = new_hint = False
    for number, message in enumerate(trajectory.messages):
        extra = message.get("extra", {})
        if is_guidance(message):
            hinted = new_hint = True
        if message["role"] != "assistant":
            continue
        origin = f"trajectory {trajectory.id}, message {number}"
        turn = _turn(extra, origin)
        anew = turn.prompt is not None and not (building and building[-1].continues(turn))
        if anew:
            building.append(_Building())
        if not building:
            raise InputError(
                f"{origin}: extra.prompt_token_ids is missing, and the first turn needs it. "
                "Use a policy that keeps the ids of its prompts."
            )
        if turn.hint is None and (new_hint or (hinted and anew)):
            raise InputError(
                f"{origin}: extra.guidance_span is missing: the prompt held a hint, and its ids are not known. "
                "Collect it again with a policy that notes the span."
            )
        new_hint = False
        building[-1].add(turn)
    return [row.built(guidance=guidance) for row in building]


@dataclass(frozen=True, slots=True)
class _Turn:
    prompt: list[int] | None  # the whole prompt
    context: list[int] | None  # or only what follows the turn before
    output: list[int]
    logprobs: list[float]
    hint: Span | None  # in prompt or context
    replayed: bool
    temperature: float | None
    policy_version: str


def _turn(extra: Mapping[str, Any], origin: str) -> _Turn:
    output = _ids(extra, "token_ids", origin)
    if output is None:
        raise InputError(
            f"{origin}: extra.token_ids is missing. Only a policy that keeps its token ids gives token rows; "
            "others are trained on as messages."
        )
    logprobs = extra.get("logprobs")
    if not isinstance(logprobs, list) or len(logprobs) != len(output):
        had = len(logprobs) if isinstance(logprobs, list) else "no"
        raise InputError(f"{origin}: extra.logprobs: {had} values for {len(output)} token_ids. Keep one for each.")
    if not all(type(value) in (int, float) and math.isfinite(value) for value in logprobs):
        raise InputError.at(origin, "extra.logprobs", logprobs, "is no list of numbers", "Collect it again.")
    prompt, context = _ids(extra, "prompt_token_ids", origin), _ids(extra, "context_token_ids", origin)
    if (prompt is None) == (context is None):
        found = "neither" if prompt is None else "both"
        raise InputError(f"{origin}: extra has {found} of prompt_token_ids and context_token_ids. Keep exactly one.")
    given = prompt if prompt is not None else context
    assert given is not None
    return _Turn(
        prompt,
        context,
        output,
        [float(value) for value in logprobs],
        _span(extra.get("guidance_span"), len(given), origin),
        bool(extra.get("replayed")),
        extra.get("temperature"),
        str(extra.get("policy_version") or ""),
    )


def _ids(extra: Mapping[str, Any], name: str, origin: str) -> list[int] | None:
    ids = extra.get(name)
    if ids is None:
        return None
    if not isinstance(ids, list) or not all(type(token) is int and token >= 0 for token in ids):
        raise InputError.at(origin, f"extra.{name}", ids, "is no list of token ids", "Keep whole numbers from 0 on.")
    return ids


def _span(span: Any, length: int, origin: str) -> Span | None:
    if span is None:
        return None
    if isinstance(span, Sequence) and len(span) == 2 and all(type(end) is int for end in span):
        start, end = span
        if 0 <= start <= end <= length:
            return start, end
    problem = f"is no [start, end) within the {length} ids of that turn's prompt or context"
    raise InputError.at(origin, "extra.guidance_span", span, problem, "Collect it again.")


@dataclass(slots=True)
class _Building:
    """A row that grows turn by turn, with the hint."""

    ids: list[int] = field(default_factory=list)
    mask: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    turns: list[Span] = field(default_factory=list)
    hint: list[Span] = field(default_factory=list)
    replayed: list[Span] = field(default_factory=list)
    temperature: float | None = None
    policy_version: str = ""

    def continues(self, turn: _Turn) -> bool:
        """Whether a turn that brought its whole prompt goes on where this row ends, hint for hint."""
        return (
            turn.prompt is not None
            and turn.prompt[: len(self.ids)] == self.ids
            and (turn.hint is None or turn.hint in self.hint or turn.hint[0] >= len(self.ids))
        )

    def add(self, turn: _Turn) -> None:
        start = len(self.ids)
        if turn.prompt is not None:
            given, offset = turn.prompt[start:], 0  # a span counts from the prompt's own beginning
        else:
            given, offset = turn.context or [], start
        if turn.hint is not None and (span := (turn.hint[0] + offset, turn.hint[1] + offset)) not in self.hint:
            self.hint.append(span)
        self._extend(given, [0.0] * len(given), 0)
        said = len(self.ids)
        self._extend(turn.output, turn.logprobs, 0 if turn.replayed else 1)
        (self.replayed if turn.replayed else self.turns).append((said, len(self.ids)))
        if not turn.replayed:
            self.temperature, self.policy_version = turn.temperature, turn.policy_version

    def _extend(self, ids: list[int], logprobs: list[float], mask: int) -> None:
        self.ids += ids
        self.mask += [mask] * len(ids)
        self.logprobs += logprobs if mask else [0.0] * len(ids)

    def built(self, *, guidance: bool) -> TokenRow:
        spans = [span for span in self.hint if span[0] < span[1]]
        removed = {place for start, end in spans for place in range(start, end)} if not guidance else set()
        kept = [place for place in range(len(self.ids)) if place not in removed]

        def moved(span: Span) -> Span:
            before = sum(place < span[0] for place in removed)
            return span[0] - before, span[1] - before

        return TokenRow(
            tuple(self.ids[place] for place in kept),
            tuple(self.mask[place] for place in kept),
            tuple(self.logprobs[place] for place in kept),
            tuple(moved(span) for span in self.turns),
            tuple(spans) if guidance else (),
            self.temperature,
            self.policy_version,
            tuple(moved(span) for span in self.replayed),
        )

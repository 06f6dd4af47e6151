"""What a model is asked to go on from, as token ids, extended turn by turn and never tokenised twice.

The ids of a conversation are those of its first prompt, then for each turn what was sampled and what was added to it.
They are read off `extra` of the assistant messages, so a policy needs no memory: branches and recorded conversations
are gone on with exactly. What is added is what the template puts between the end of a turn and the next reply.

A prompt begins anew, all of it rendered and tokenised, where going on would be wrong; `restart` says why:

    history    an earlier assistant message has no ids of this tokenizer
    template   the template shows earlier turns otherwise than the model saw them, e.g. without their reasoning
    context    the conversation has grown too long and its oldest tool outputs were elided
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from swegym.errors import InputError
from swegym.guidance import without_guidance
from swegym.policies.context import outputs_to_elide, without_outputs
from swegym.policies.hf_template import ChatTemplate
from swegym.policies.prompt_ids import Known, common, known_ids, span_between
from swegym.types import Message, ToolSchema

Made = tuple[tuple[int, ...], tuple[int, int] | None, str]  # ids, the hint's span of them, the text they are of
Spanned = tuple[tuple[int, ...], tuple[int, int]]
SHARE = 0.75  # of the room for a prompt, that an elided one may fill


@dataclass(frozen=True, slots=True)
class Prompt:
    """`ids` is all that the model sees; `added` what of it is new since the last turn's output, None for a new prompt.

    `span` is where in the new ids, or in the whole prompt if that is new, those stand that are there only for the hint.
    """

    ids: tuple[int, ...]
    added: tuple[int, ...] | None
    restart: str | None
    span: tuple[int, int] | None
    elided: int
    text: str  # the last of what was rendered


class Prompter:
    """Makes the prompts of every conversation with one model.

    Args:
        template: The model's chat template.
        ends: Text of the tokens that end a turn, by id.
        mark: Names the tokenizer; ids of other tokenizers are not gone on from.
    """

    def __init__(self, template: ChatTemplate, ends: dict[int, str], mark: str) -> None:
        self._template = template
        self._ends = ends
        self._mark = mark

    def prompt(self, messages: list[Message], tools: list[ToolSchema], room: int) -> Prompt | None:
        """What to go on from, at most `room` ids; None if no eliding makes it fit."""
        spoken = any(message["role"] == "assistant" for message in messages)
        known = known_ids(messages, self._mark)
        restart = "history" if spoken else None
        if known is not None:
            added = self._added(without_outputs(messages, known.elided), known, tools)
            if added is not None:
                ids, span, text = added
                whole = known.ids + ids
                if len(whole) <= room:
                    return Prompt(whole, ids, None, span, known.elided, text)
                restart = "context"
            else:
                restart = "template"
        elided = known.elided if known else 0
        if restart != "context":
            ids, span, text = self._whole(without_outputs(messages, elided), tools)
            if len(ids) <= room:
                return Prompt(ids, None, restart, span, elided, text)

        def fits(shorter: list[Message]) -> bool:
            return len(self._template.ids(self._template.render(shorter, tools, reply=True))) <= room * SHARE

        needed = outputs_to_elide(messages, fits, elided)
        if needed is None:
            return None
        ids, span, text = self._whole(without_outputs(messages, needed), tools)
        return Prompt(ids, None, "context", span, needed, text) if len(ids) <= room else None

    def _whole(self, messages: list[Message], tools: list[ToolSchema]) -> Made:
        text = self._template.render(messages, tools, reply=True)
        unhinted = without_guidance(messages)
        if len(unhinted) == len(messages):
            return tuple(self._template.ids(text)), None, text
        plain = self._template.render(unhinted, tools, reply=True)
        ids, span = self._spanned(text, plain) or self._spliced(messages, unhinted, tools, plain)
        return ids, span, text

    def _added(self, messages: list[Message], known: Known, tools: list[ToolSchema]) -> Made | None:
        """The ids between the last turn's output and the next reply; None where they cannot be told."""
        spoken = known.turn + 1
        unhinted = [*messages[:spoken], *without_guidance(messages[spoken:])]
        plain = self._bridge(unhinted, known.turn, tools)
        if plain is None:
            return None
        ended = known.ids[-1] in self._ends  # the model has sampled the end of its turn itself
        if len(unhinted) == len(messages):
            return tuple(self._template.ids(plain))[ended:], None, plain
        bridge = self._bridge(messages, known.turn, tools)
        found = self._spanned(bridge, plain) if bridge is not None else None
        ids, (start, end) = found or self._spliced(messages, unhinted, tools, plain)
        return ids[ended:], (start - ended, end - ended), bridge or plain

    def _bridge(self, messages: list[Message], turn: int, tools: list[ToolSchema]) -> str | None:
        """What the template puts after the text of an assistant message, from its end-of-turn token on.

        None where the template does not show the turns until then as it showed them before.
        """
        before = self._template.render(messages[:turn], tools, reply=True)
        alone = self._template.render(messages[: turn + 1], tools, reply=False)
        after = self._template.render(messages, tools, reply=True)
        if not (alone.startswith(before) and after.startswith(before)):
            return None
        said = alone[len(before) :]
        said = said[: max(said.rfind(end) for end in self._ends.values())]
        if not _bare(after[len(before) :]).startswith(_bare(said)):
            return None
        # What the model wrote may hold anything, so the end is looked for behind a message that holds nothing.
        blank: Message = {"role": "assistant", "content": "x"}
        if messages[turn].get("tool_calls"):
            blank["tool_calls"] = [
                {**call, "function": {**call["function"], "arguments": "{}"}} for call in messages[turn]["tool_calls"]
            ]
        shown = self._template.render([*messages[:turn], blank, *messages[turn + 1 :]], tools, reply=True)
        if not shown.startswith(before):
            return None
        ends = [at for end in self._ends.values() if (at := shown.find(end, len(before))) >= 0]
        return shown[min(ends) :] if ends else None

    def _spanned(self, text: str, plain: str) -> Spanned | None:
        """Ids of a text with a hint, and the span of them without which they are the ids of the plain text."""
        ids, without = tuple(self._template.ids(text)), tuple(self._template.ids(plain))
        span = span_between(ids, without)
        if span is not None:
            return ids, span
        start = common(ids, without)
        # Tokens run across the hint's border: keep the plain ids, and put the hint's own between two of them.
        shared = common(text, plain)
        extra = len(text) - len(plain)
        for at in range(start, -1, -1):
            head = self._template.decode(without[:at])
            if len(head) <= shared and text.startswith(head) and text[len(head) + extra :] == plain[len(head) :]:
                hint = tuple(self._template.ids(text[len(head) : len(head) + extra]))
                return without[:at] + hint + without[at:], (at, at + len(hint))
        return None

    def _spliced(
        self, messages: list[Message], unhinted: list[Message], tools: list[ToolSchema], plain: str
    ) -> Spanned:
        """As `_spanned`, where a hint changes how earlier turns are shown: it is put into the plain text instead."""
        hints = [index for index, message in enumerate(messages) if message not in unhinted]
        if len(hints) == 1:
            before: list[Message] = [{"role": "user", "content": "x"}]
            alone = self._template.render(before, [], reply=False)
            hinted = self._template.render([*before, messages[hints[0]]], [], reply=False)
            whole = self._template.render(unhinted, tools, reply=True)
            head = self._template.render(unhinted[: hints[0]], tools, reply=False)
            tail = len(whole) - len(head)
            if hinted.startswith(alone) and whole.startswith(head) and 0 < tail <= len(plain):
                found = self._spanned(plain[:-tail] + hinted[len(alone) :] + plain[-tail:], plain)
                if found is not None:
                    return found
        raise InputError(
            f"{self._template.origin}: its chat template mixes a hint with the rest of the prompt, so that the ids "
            "of the hint cannot be told. Set the option chat_template to one of ours, e.g. qwen3."
        )


_NO_THOUGHT = re.compile(r"<think>\s*</think>\s*")


def _bare(text: str) -> str:
    """Without empty reasoning, which some templates show of the last turn only."""
    return _NO_THOUGHT.sub("", text)

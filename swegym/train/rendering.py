"""From chat messages to a row, through the tokenizer's own chat template; only for what was recorded without token ids.

Each assistant turn is rendered as a policy would have met it: the conversation before it with a generation prompt, and
what the turn adds. That must be how the whole conversation reads, or the ids trained on would be some that no policy
ever saw; a template that rewrites earlier turns is refused. Pieces are tokenised one by one, as they come about.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from swegym.errors import InputError
from swegym.policies.hf_template import ChatTemplate
from swegym.policies.tool_calls import format_of
from swegym.train.batch import Row, make_row

# What templates of reasoning models write before an answer that has no reasoning. No policy said it.
_EMPTY_THOUGHT = re.compile(r"\s*<think>\s*</think>\s*")

_REMEDY = (
    "Use a chat template that only appends (swegym.policies.chat_templates has some; put one into the model's folder "
    "as chat_template.jinja), or record token ids, which need no template."
)


def rendered(
    tokenizer: Any, messages: Sequence[Any], tools: Sequence[Any] | str | None, name: str, *, vocabulary: int
) -> Row:
    """A row of a conversation, trained on what its assistant messages say, end-of-turn token included.

    Raises:
        InputError: There is no assistant message, no chat template, or one that is not prefix-preserving.
    """
    written = tokenizer.chat_template or ""
    template = ChatTemplate(tokenizer, name, takes_tools=format_of(written) != "text")
    schemas = list(json.loads(tools) if isinstance(tools, str) else tools or [])
    spoken = list(messages)
    pieces: list[tuple[str, bool]] = []
    whole = template.render(spoken, schemas, reply=False)
    done = ""
    for number, message in enumerate(spoken):
        if message["role"] != "assistant":
            continue
        before = template.render(spoken[:number], schemas, reply=True)
        after = template.render(spoken[: number + 1], schemas, reply=False)
        if not (before.startswith(done) and after.startswith(before) and whole.startswith(after.rstrip("\n"))):
            raise InputError(
                f"{name}: message {number}: the chat template is not prefix-preserving: with later messages the "
                f"conversation up to here reads differently. {_REMEDY}"
            )
        said = after[len(before) :]
        thought = _EMPTY_THOUGHT.match(said)
        if thought and not str(message.get("content") or "").lstrip().startswith("<think>"):
            before, said = before + thought.group(), said[thought.end() :]
        said = _until_end_of_turn(tokenizer, said)
        pieces += [(before[len(done) :], False), (said, True)]
        done = before + said
    pieces.append((whole[len(done) :], False))
    ids: list[int] = []
    mask: list[int] = []
    for text, trained in pieces:
        encoded = template.ids(text) if text else []
        ids += encoded
        mask += [int(trained)] * len(encoded)
    return make_row(ids, mask, name, vocabulary=vocabulary)


def _until_end_of_turn(tokenizer: Any, said: str) -> str:
    """What a turn says without the white space that the template puts behind its last special token."""
    short = said.rstrip()
    ends = any(short.endswith(token) for token in tokenizer.all_special_tokens)
    return short if ends else said

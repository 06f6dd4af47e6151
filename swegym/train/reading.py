"""Reading data files (docs/data.md) into rows: JSON lines with token ids, or with messages that are rendered.

A line that cannot be used is an error that names file, line, field and remedy. A row that is too long is no error: it
is refused and counted, or cut at the end of a turn where that was asked for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from swegym.errors import InputError
from swegym.train.batch import Refused, Row, all_trained, fitted, make_row
from swegym.train.rendering import rendered

Example = TypeVar("Example")

TOO_LONG = "too long"
NOTHING_LEFT = "no trained token in what fits"


@dataclass(frozen=True, slots=True)
class Rules:
    """How rows are made: their longest length in tokens, what becomes of longer ones, and what is trained."""

    max_length: int
    too_long: str  # refuse | cut
    mask: str  # assistant | all
    vocabulary: int
    tokens: str = "auto"  # auto: ids where a line has them, else its text; only: refuse text; ignore: render always


@dataclass(frozen=True, slots=True)
class Pair:
    chosen: Row
    rejected: Row
    name: str


def lines_of(files: Sequence[Path]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each line of some JSONL files with its place, "file:line"."""
    for file in files:
        empty = True
        try:
            with file.open(encoding="utf-8") as opened:
                for number, line in enumerate(opened, 1):
                    if line.strip():
                        empty = False
                        yield f"{file}:{number}", _object(line, f"{file}:{number}")
        except FileNotFoundError:
            raise InputError(
                f"{file}: no such file. Check the path; `swegym pairs` and `swegym export` make such files."
            ) from None
        except UnicodeDecodeError as error:
            raise InputError(f"{file}: not UTF-8: {error}. Write it again.") from None
        if empty:
            raise InputError(
                f"{file}: holds no line, so there is nothing to train on. Collect attempts that give some first."
            )


def _object(line: str, name: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name}: not JSON: {error}. Write the file again.") from None
    if not isinstance(found, dict):
        raise InputError.at(name, "(line)", found, "not a JSON object", "One object a line.")
    return found


def read_conversations(files: Sequence[Path], tokenizer: Any, rules: Rules, refused: Refused) -> list[Row]:
    """Rows of SFT files: {messages, tools, tokens?}."""
    rows = []
    for name, line in lines_of(files):
        messages = line.get("messages")
        if messages is None and "prompt" in line and "chosen" in line:
            raise InputError(
                f"{name}: messages is missing; this is a line of pairs. Train on it with `swegym train dpo`."
            )
        sequences = line.get("tokens")
        # One for each stretch that a policy's prompts continued.
        for tokens in sequences if isinstance(sequences, list) and sequences else [sequences]:
            row = _row(tokens, messages, line.get("tools"), tokenizer, rules, name, "messages")
            kept = _fitted(row, rules, refused)
            if kept is not None:
                rows.append(kept)
    return _some(rows, files, refused)


def read_pairs(files: Sequence[Path], tokenizer: Any, rules: Rules, refused: Refused) -> list[Pair]:
    """Pairs of rows from {prompt, chosen, rejected, tools, chosen_tokens?, rejected_tokens?}."""
    pairs = []
    for name, line in lines_of(files):
        sides = []
        for side in ("chosen", "rejected"):
            messages = [*_list(line, "prompt", name), *_list(line, side, name)] if side in line else None
            row = _row(
                line.get(f"{side}_tokens"), messages, line.get("tools"), tokenizer, rules, f"{name} {side}", side
            )
            sides.append(_fitted(row, rules, refused))
        chosen, rejected = sides
        if chosen is not None and rejected is not None:
            pairs.append(Pair(chosen, rejected, name))
    return _some(pairs, files, refused)


def _some(examples: list[Example], files: Sequence[Path], refused: Refused) -> list[Example]:
    if not examples:
        reasons = ", ".join(f"{count} {reason}" for reason, count in refused.most_common())
        raise InputError(
            f"{', '.join(map(str, files))}: no line is left to train on ({reasons}). Raise max_length, "
            "or set too_long = 'cut'."
        )
    return examples


def _list(line: Mapping[str, Any], field: str, name: str) -> list[Any]:
    value = line.get(field)
    if not isinstance(value, list):
        raise InputError.at(name, field, value, "not a list of messages", "See docs/data.md.")
    return value


def _row(tokens: Any, messages: Any, tools: Any, tokenizer: Any, rules: Rules, name: str, field: str) -> Row:
    if tokens is not None and rules.tokens != "ignore":
        row = _exact(tokens, name, rules)
        same_tokenizer(row, messages, tokenizer, name)
    elif rules.tokens == "only":
        raise InputError(f"{name}: no token ids, and tokens = 'only'. Record them, or set tokens = 'auto'.")
    elif isinstance(messages, list):
        if not any(isinstance(m, dict) and m.get("role") == "assistant" for m in messages):
            raise InputError(f"{name}: {field}: no assistant message, so nothing to train on. Leave that line out.")
        row = rendered(tokenizer, messages, tools, name, vocabulary=rules.vocabulary)
    else:
        raise InputError.at(name, field, messages, "not a list of messages", "See docs/data.md.")
    return all_trained(row) if rules.mask == "all" else row


def _exact(tokens: Any, name: str, rules: Rules) -> Row:
    if not isinstance(tokens, dict) or not all(isinstance(tokens.get(key), list) for key in ("ids", "mask")):
        raise InputError.at(name, "tokens", tokens, "needs lists `ids` and `mask`", "See docs/data.md.")
    wrong = next((token for token in tokens["ids"] if type(token) is not int), None)
    if wrong is not None:
        raise InputError.at(name, "tokens.ids", wrong, "is no token id", "Ids are whole numbers.")
    return make_row(tokens["ids"], tokens["mask"], name, vocabulary=rules.vocabulary, logprobs=tokens.get("logprobs"))


def same_tokenizer(row: Row, messages: Any, tokenizer: Any, name: str) -> None:
    """The ids before the policy's first word must read as the opening does, or they are another tokenizer's."""
    if not isinstance(messages, list):
        return
    opening = []
    for message in messages:
        if message.get("role") == "assistant":
            break
        opening.append("".join(str(message.get("content") or "").split())[:60])
    shown = "".join(tokenizer.decode(row.ids[: int(np.argmax(row.mask))].tolist()).split())
    if any(opening) and not any(text and text in shown for text in opening):
        raise InputError.at(
            name,
            "tokens.ids",
            shown[:60],
            "decoded, they do not read as the line's messages do, so they are of another tokenizer",
            "Train the model that sampled them, or set tokens = 'ignore' to use the text.",
        )


def _fitted(row: Row, rules: Rules, refused: Refused) -> Row | None:
    kept = fitted(row, rules.max_length, rules.too_long)
    if kept is None:
        refused.note(row.name, TOO_LONG if rules.too_long == "refuse" else NOTHING_LEFT)
    return kept


def digest_of(rows: Sequence[Row]) -> str:
    """Of everything that is trained on, in order: ids and masks."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(row_digest(row).encode())
    return digest.hexdigest()


def row_digest(row: Row) -> str:
    digest = hashlib.sha256(row.ids.tobytes())
    digest.update(row.mask.tobytes())
    return digest.hexdigest()

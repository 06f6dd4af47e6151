"""A small model from nothing: a tokenizer learned from demonstrations, and a random decoder of a named size.

What every conversation repeats (the prompt's lines, the form of a tool call) becomes one token each, so a conversation
of a micro task has about two hundred of them. All else is byte-level BPE within words, numbers and signs. The beginning
of a line, number, sign of a diff and indentation included, is a piece of its own, so a line of code has the same tokens
in a file, in a diff and in a call: copying it is copying tokens.

The folder is what `save_pretrained` leaves, and everything that takes a model takes it.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swegym.errors import InputError, UnknownName
from swegym.messages import lines_of
from swegym.policies.chat_templates import read_template

TEMPLATE = "compact"
END, PAD = "<|end|>", "<|pad|>"
ROLES = ("<|system|>", "<|user|>", "<|assistant|>", "<|tool|>")
# The beginning of a line as `read` and a diff show it; then words, numbers and signs with the space before them.
PIECES = r"\n *[0-9]+\t *|\n[-+ ] *| ?[A-Za-z_]+| ?[0-9]+| ?[^A-Za-z_0-9\s]+|\s+"
OFTEN = 0.02  # of the conversations, in which a line of the prompt must stand to become a token
LONG = 24  # characters that such a line must have


@dataclass(frozen=True, slots=True)
class Size:
    """A decoder's shape. Heads have `width / heads` dimensions; keys and values are shared by pairs of heads."""

    layers: int
    width: int
    heads: int
    vocabulary: int
    context: int
    rate: float  # the learning rate that a first SFT begins with


SIZES: Mapping[str, Size] = {
    "mini": Size(layers=3, width=128, heads=4, vocabulary=1024, context=1024, rate=6e-3),
    "small": Size(layers=6, width=384, heads=6, vocabulary=2048, context=4096, rate=2e-3),
    "medium": Size(layers=12, width=576, heads=8, vocabulary=4096, context=8192, rate=1e-3),
}


def make_model(folder: str | Path, data: Sequence[Path], *, size: str = "mini", seed: int = 0) -> Path:
    """Write a random model and its tokenizer to `folder`, and return it; the same for the same arguments and data.

    Args:
        folder: Where; it is whole or not there.
        data: SFT files, of which the tokenizer is learned.
        size: A name in `SIZES`.
        seed: Of the weights.

    Raises:
        InputError: `folder` is there already, or the data hold no conversation.
    """
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    folder = Path(folder)
    if size not in SIZES:
        raise UnknownName.among("model size", size, SIZES)
    if folder.exists():
        raise InputError(f"{folder}: is there already. Remove it, or name another folder.")
    shape = SIZES[size]
    tokenizer = make_tokenizer(_rows(data), shape.vocabulary)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=shape.width,
        intermediate_size=3 * shape.width,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads // 2,
        head_dim=shape.width // shape.heads,
        max_position_embeddings=shape.context,
        tie_word_embeddings=True,
        initializer_range=0.6 * shape.width**-0.5,  # the usual 0.02 is for wide models; narrow ones learn late with it
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen3ForCausalLM(config)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    new = folder.with_name(folder.name + ".new")
    shutil.rmtree(new, ignore_errors=True)
    model.save_pretrained(new)
    tokenizer.save_pretrained(new)
    new.rename(folder)
    return folder


def make_tokenizer(rows: Iterable[Mapping[str, Any]], vocabulary: int) -> Any:
    """A tokenizer of at most `vocabulary` tokens for conversations like these, with its chat template.

    Raises:
        InputError: no row, or the tokens that every model needs are more than `vocabulary`.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    rows = list(rows)
    if not rows:
        raise InputError("no conversation to learn a tokenizer from. Give SFT files with at least one row.")
    phrases = phrases_of(rows)
    room = vocabulary - len(phrases)
    needed = len(ROLES) + 2 + 256
    if room < needed:
        raise InputError(f"a vocabulary of {vocabulary} has no room for {needed + len(phrases)} tokens. Raise it.")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=room,
        special_tokens=[PAD, END, *ROLES],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(rows, phrases), trainer)
    tokenizer.add_tokens([AddedToken(phrase, normalized=False) for phrase in phrases])
    made = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=list(ROLES),
        clean_up_tokenization_spaces=False,
    )
    made.chat_template = read_template(TEMPLATE)
    return made


def phrases_of(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Text that is one token each: the parts of a call of each tool, and long lines that are often said."""
    schemas: dict[str, Any] = {}
    lines: Counter[str] = Counter()
    for row in rows:
        tools = row.get("tools") or []
        for tool in json.loads(tools) if isinstance(tools, str) else tools:
            schemas[tool["function"]["name"]] = tool
        told = (message.get("content") or "" for message in row["messages"] if message["role"] in ("system", "user"))
        lines.update({line for text in told for line in text.split("\n") if len(line) >= LONG})
    often = [line for line, count in lines.items() if count >= OFTEN * len(rows) and count > 1]
    parameters = {name: tool["function"]["parameters"] for name, tool in schemas.items()}
    return list(dict.fromkeys([*call_parts(parameters), *_tool_lines(list(schemas.values())), *sorted(often)]))


def _tool_lines(schemas: Sequence[Any]) -> list[str]:
    """The lines in which the template tells of the tools."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    blank = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()))
    opening: list[dict[str, Any]] = [{"role": "system", "content": ""}, {"role": "user", "content": ""}]
    told, without = (
        str(blank.apply_chat_template(opening, tools=tools, chat_template=read_template(TEMPLATE), tokenize=False))
        for tools in (schemas or None, None)
    )
    return [line.removesuffix(END) for line in told.split(ROLES[1])[0].split("\n")[1:]] if told != without else []


def call_parts(schemas: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What stands around the values in a call: its beginning up to the first value, between values, and its end."""
    parts = ['"}}\n</tool_call>']
    for name, schema in sorted(schemas.items()):
        opening = '<tool_call>\n{"name": "' + name + '", "arguments": {'
        texts = [key for key, value in schema.get("properties", {}).items() if value.get("type") == "string"]
        parts += [opening + "}}\n</tool_call>"] if not schema.get("required") else []
        parts += [f'{opening}"{texts[0]}": "'] if texts else [opening]
        parts += [f'", "{key}": "' for key in texts[1:]]
    return list(dict.fromkeys(parts))


def _texts(rows: Sequence[Mapping[str, Any]], phrases: Sequence[str]) -> Iterable[str]:
    """What BPE learns from: everything that is said and called, without the phrases."""
    known = set(phrases)
    for row in rows:
        for message in row["messages"]:
            yield "\n".join(line for line in (message.get("content") or "").split("\n") if line not in known)
            for call in message.get("tool_calls") or []:
                yield " ".join(_values(call["function"]["arguments"]))


def _values(arguments: str) -> list[str]:
    """What a call hands over; one that is broken, as it was written."""
    try:
        found = json.loads(arguments)
    except (ValueError, RecursionError):
        found = None
    return [str(value) for value in found.values()] if isinstance(found, dict) else [arguments]


def _rows(files: Sequence[Path]) -> list[dict[str, Any]]:
    return [json.loads(line) for file in files for line in lines_of(Path(file).read_text("utf-8")) if line.strip()]

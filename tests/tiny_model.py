"""Tiny models for tests: a random Qwen3 of two layers, with a byte-level BPE tokenizer trained on the spot.

The folder is what `save_pretrained` leaves, so everything that loads a model by its folder loads this one.
"""

import argparse
import ast
import inspect
import json
import random
import textwrap
from pathlib import Path

from swegym.policies.chat_templates import read_template

# The first of each family's is its end-of-turn token.
END_OF_TURN = {"llama3": "<|eot_id|>", "mistral": "</s>", "compact": "<|end|>"}
SPECIAL = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|begin_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|python_tag|>",
    "<s>",
    "</s>",
    "[INST]",
    "[/INST]",
    "[AVAILABLE_TOOLS]",
    "[/AVAILABLE_TOOLS]",
    "[TOOL_CALLS]",
    "[TOOL_RESULTS]",
    "[/TOOL_RESULTS]",
]
COMPACT = ["<|system|>", "<|user|>", "<|assistant|>", "<|tool|>", "<|end|>"]  # of that template alone
# Tokens of their own, but text all the same: they survive decoding without special tokens.
PLAIN = ["<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<think>", "</think>"]


def make_tiny_model(
    folder: str | Path,
    *,
    template: str = "qwen3",
    seed: int = 0,
    vocab: int = 1024,
    hidden: int = 64,
    layers: int = 2,
    context: int = 32768,
) -> Path:
    """Write a random model and its tokenizer to `folder`, the same for the same arguments, and return the folder.

    `template` is a name in `swegym.policies.chat_templates.NAMES`, or the source of a chat template. The end-of-turn
    token follows it (<|im_end|> for unknown ones).
    """
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    folder = Path(folder)
    tokenizer = make_tokenizer(template, vocab)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=hidden // 4,
        max_position_embeddings=context,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen3ForCausalLM(config)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_tokenizer(template: str = "qwen3", vocab: int = 1024):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    special = SPECIAL + (COMPACT if template == "compact" else [])
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    tokenizer.add_tokens(PLAIN)
    made = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END_OF_TURN.get(template, "<|im_end|>"),
        pad_token="<|endoftext|>",
        additional_special_tokens=[token for token in special if token != "<|endoftext|>"],
        clean_up_tokenization_spaces=False,
    )
    made.chat_template = template if "{" in template else read_template(template)
    return made


def corpus() -> list[str]:
    """Text that is on every machine: Python source, and calls of tools as JSON."""
    sources = [inspect.getsource(module) for module in (argparse, ast, json, random, textwrap)]
    calls = [
        json.dumps({"name": name, "arguments": {"path": f"src/module_{number}.py", "command": "python -m pytest -q"}})
        for number in range(50)
        for name in ("bash", "read", "edit", "search", "submit")
    ]
    return [*sources, *calls]

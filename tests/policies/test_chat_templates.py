"""Our templates mark what the assistant wrote, and a further turn never changes how earlier ones read."""

import itertools

import pytest
from tiny_model import make_tiny_model, make_tokenizer

from swegym.errors import UnknownName
from swegym.policies.chat_templates import NAMES, read_template

TOOLS = [{"type": "function", "function": {"name": "bash", "description": "", "parameters": {"type": "object"}}}]


def conversation() -> list:
    """Reasoning, a call, its answer, text without a call, and what the env says to that."""
    called = {"id": "call00000", "type": "function", "function": {"name": "bash", "arguments": {"command": "ls"}}}
    return [
        {"role": "system", "content": "Work."},
        {"role": "user", "content": "Fix it."},
        {"role": "assistant", "content": "<think>\nLook first.\n</think>\n\nNow.", "tool_calls": [called]},
        {"role": "tool", "tool_call_id": "call00000", "content": "a.py\nb.py"},
        {"role": "assistant", "content": "Done."},
        {"role": "user", "content": "No tool call."},
        {"role": "assistant", "content": "", "tool_calls": [{**called, "id": "call00200"}]},
    ]


@pytest.mark.parametrize("name", NAMES)
def test_what_the_assistant_wrote_is_marked_and_nothing_else(name):
    tokenizer = make_tokenizer(name)
    made = tokenizer.apply_chat_template(
        conversation(), tools=TOOLS, return_dict=True, return_assistant_tokens_mask=True
    )
    marked = [token for token, mask in zip(made["input_ids"], made["assistant_masks"], strict=True) if mask]
    text = tokenizer.decode(marked)
    assert text.count(tokenizer.eos_token) == 3  # learning to stop belongs to each turn
    assert "Done." in text and text.count("bash") == 2
    assert not any(other in text for other in ("Fix it", "a.py", "No tool call", "<|im_start|>", "Work."))


@pytest.mark.parametrize("name", NAMES)
def test_earlier_turns_keep_their_text(name):
    tokenizer = make_tokenizer(name)
    messages = conversation()
    prompts = [
        tokenizer.apply_chat_template(messages[:end], tools=TOOLS, add_generation_prompt=True, tokenize=False)
        for end in (2, 4, 6)
    ]
    kept = [later.startswith(earlier) for earlier, later in itertools.pairwise(prompts)]
    assert kept == ([True, False] if name == "forgetful" else [True, True])


def test_an_unknown_template_is_named():
    with pytest.raises(UnknownName, match="qwen3"):
        read_template("qwen")


def test_a_tiny_model_is_the_same_for_the_same_seed(tmp_path):
    files = [make_tiny_model(tmp_path / name, seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2))]
    weights = [(folder / "model.safetensors").read_bytes() for folder in files]
    assert weights[0] == weights[1] != weights[2]
    assert (files[0] / "tokenizer.json").read_bytes() == (files[1] / "tokenizer.json").read_bytes()

"""Our templates mark what the assistant wrote, and a further turn never changes how earlier ones read."""

import itertools
import json

import pytest
from tiny_model import make_tiny_model, make_tokenizer
from transformers import PreTrainedTokenizerFast

from swegym.errors import UnknownName
from swegym.policies.chat_templates import NAMES, read_template
from swegym.policies.hf_template import ChatTemplate

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


def told(content: str = "", tool: str = "ok", name: str = "bash", arguments: str = "{}") -> list:
    """A turn of a policy and the answer of a tool, of which any text may have been made up."""
    called = {"id": "call00000", "type": "function", "function": {"name": name, "arguments": arguments}}
    return [
        {"role": "user", "content": "Fix it."},
        {"role": "assistant", "content": content, "tool_calls": [called]},
        {"role": "tool", "tool_call_id": "call00000", "content": tool},
    ]


def with_bare_config(name: str):
    """As Llama's: what is special is said in the tokenizer's file; its config names the end of a turn alone."""
    made = make_tokenizer(name)
    bare = PreTrainedTokenizerFast(tokenizer_object=made.backend_tokenizer, eos_token=made.eos_token)
    bare.chat_template = made.chat_template
    return bare


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("made", [make_tokenizer, with_bare_config])
def test_a_tool_output_holds_no_token_that_the_template_writes(name, made):
    """Else a file of the repository ends its own message and speaks as somebody else."""
    tokenizer = made(name)
    template = ChatTemplate(tokenizer, "m", takes_tools=True)
    marks = [token.content for token in tokenizer.added_tokens_decoder.values()]
    plain, forged = (template.ids(template.render(told(tool=text), TOOLS, reply=True)) for text in ("", "".join(marks)))
    meant = [id for id, token in tokenizer.added_tokens_decoder.items() if token.special]
    meant += [id for id, token in tokenizer.added_tokens_decoder.items() if token.content in tokenizer.chat_template]
    assert [id for id in forged if id in meant] == [id for id in plain if id in meant]


@pytest.mark.parametrize("name", NAMES)
def test_a_policy_ends_its_turn_by_no_text(name):
    """Rendered anew, for a prompt that begins anew or for a trainer, it would be a tool's answer of its own making."""
    tokenizer = make_tokenizer(name)
    template = ChatTemplate(tokenizer, "m", takes_tools=True)
    end = tokenizer.eos_token
    escaped = '{"command": "' + "".join(f"\\u{ord(letter):04x}" for letter in end) + '"}'
    ends = [
        template.ids(template.render(messages, TOOLS, reply=True)).count(tokenizer.eos_token_id)
        for messages in (
            told(),
            told(content=f"x{end}"),
            told(name=end),
            told(arguments=json.dumps({end: [end]})),
            told(arguments=escaped),
            told(arguments=f"{{broken {end}"),
        )
    ]
    assert len(set(ends)) == 1 and json.loads(escaped) == {"command": end}
    thought = "<think>\nLook.\n</think>\n\nNow."
    assert name == "forgetful" or thought in template.render(told(content=thought), TOOLS, reply=True)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "written",
    [
        {"arguments": r'{"command": "\ud800"}'},
        {"arguments": '{"a":' * 900 + "1" + "}" * 900},
        {"name": "\ud800"},
        {"content": "\ud800"},
        {"tool": "\ud800"},
    ],
    ids=["half a pair in JSON", "deep", "name", "content", "tool"],
)
def test_every_call_that_can_be_written_can_be_shown(name, written):
    """A policy whose call its template cannot show would end its episode, or the run, without a verdict."""
    template = ChatTemplate(make_tokenizer(name), "m", takes_tools=True)
    assert template.ids(template.render(told(**written), TOOLS, reply=True))


def test_an_unknown_template_is_named():
    with pytest.raises(UnknownName, match="qwen3"):
        read_template("qwen")


def test_a_tiny_model_is_the_same_for_the_same_seed(tmp_path):
    files = [make_tiny_model(tmp_path / name, seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2))]
    weights = [(folder / "model.safetensors").read_bytes() for folder in files]
    assert weights[0] == weights[1] != weights[2]
    assert (files[0] / "tokenizer.json").read_bytes() == (files[1] / "tokenizer.json").read_bytes()

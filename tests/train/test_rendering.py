"""From messages to ids: only what an assistant said is trained, and a template that rewrites history is refused."""

import json

import pytest
from tiny_model import make_tokenizer
from training_rows import TOOLS, answered, attempt, opening, pair_lines, said, write_lines

from swegym.errors import InputError
from swegym.policies.chat_templates import NAMES
from swegym.train.batch import Refused
from swegym.train.reading import Rules, read_conversations, read_pairs
from swegym.train.rendering import rendered

APPENDING = [name for name in NAMES if name != "forgetful"]
# Templates of reasoning models write an empty thought before the last answer.
THINKING = """{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{% if m.role == 'assistant' and loop.last %}\
{{ '<think>\n\n</think>\n\n' }}{% endif %}{{ m.content + '<|im_end|>\n' }}{% endfor %}\
{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"""
RULES = Rules(10_000, "refuse", "assistant", 5000)


def trained_text(tokenizer, row) -> str:
    return tokenizer.decode(row.ids[row.mask].tolist())


@pytest.mark.parametrize("name", APPENDING)
def test_the_mask_is_what_the_template_marks(name):
    tokenizer = make_tokenizer(name)
    messages = [*opening(3), *attempt(3, True)]
    row = rendered(tokenizer, messages, TOOLS, "row", vocabulary=5000)
    for call in [call for message in messages for call in message.get("tool_calls", [])]:
        call["function"]["arguments"] = json.loads(call["function"]["arguments"])  # the shape that templates take
    marked = tokenizer.apply_chat_template(messages, tools=TOOLS, return_dict=True, return_assistant_tokens_mask=True)
    theirs = [token for token, mask in zip(marked["input_ids"], marked["assistant_masks"], strict=True) if mask]
    assert "".join(trained_text(tokenizer, row).split()) == "".join(tokenizer.decode(theirs).split())
    assert trained_text(tokenizer, row).count(tokenizer.eos_token) == 3


@pytest.mark.parametrize("name", APPENDING)
def test_ids_are_those_of_the_whole_text(name):
    tokenizer = make_tokenizer(name)
    messages = [*opening(3), *attempt(3, False)]
    row = rendered(tokenizer, messages, TOOLS, "row", vocabulary=5000)
    shown = tokenizer.decode(row.ids.tolist())
    assert "area() is wrong for shape 3" in shown
    assert "def area" not in trained_text(tokenizer, row)


def test_a_template_that_forgets_is_refused():
    tokenizer = make_tokenizer("forgetful")
    messages = [
        *opening(1),
        said("<think>\nHm.\n</think>\n\nNow."),
        {"role": "user", "content": "Go on."},
        said("Done."),
    ]
    with pytest.raises(InputError, match=r"here\.jsonl:7: message 2: .*not prefix-preserving.*chat_templates"):
        rendered(tokenizer, messages, None, "here.jsonl:7", vocabulary=5000)


def test_no_injected_thought_is_trained():
    tokenizer = make_tokenizer(THINKING)
    row = rendered(tokenizer, [*opening(1), said("Done.")], None, "row", vocabulary=5000)
    assert "<think>" in tokenizer.decode(row.ids.tolist())
    assert trained_text(tokenizer, row) == "Done.<|im_end|>"
    own = [*opening(1), said("<think>\n\n</think>\n\nDone.")]
    plain = make_tokenizer("qwen3")
    assert trained_text(plain, rendered(plain, own, None, "row", vocabulary=5000)).startswith("<think>")


def test_text_without_any_template_is_refused():
    tokenizer = make_tokenizer("qwen3")
    tokenizer.chat_template = None
    with pytest.raises(InputError, match="no chat template"):
        rendered(tokenizer, [*opening(1), said("Done.")], None, "row", vocabulary=5000)


def test_recorded_ids_are_used_as_they_are(tmp_path):
    tokenizer = make_tokenizer("qwen3")
    row = rendered(tokenizer, [*opening(0), *attempt(0, True)], TOOLS, "row", vocabulary=5000)
    # A split of the text that the tokenizer would never make.
    letters = [token for letter in "Done" for token in tokenizer.encode(letter)]
    ids = row.ids.tolist() + letters
    tokens = {"ids": ids, "mask": [0] * len(row) + [1] * len(letters), "logprobs": [0.0] * len(ids)}
    lines = [{"messages": [*opening(0), *attempt(0, True)], "tools": None, "tokens": [tokens, tokens]}]
    rows = read_conversations([write_lines(tmp_path / "sft.jsonl", lines)], tokenizer, RULES, Refused())
    assert [one.ids.tolist() for one in rows] == [ids, ids]
    assert rows[0].trained == len(letters)
    assert rows[0].logprobs is not None


def test_ids_of_another_tokenizer_are_noticed(tmp_path):
    tokenizer = make_tokenizer("qwen3")
    ids = list(range(100, 160))
    lines = [{"messages": [*opening(0), *attempt(0, True)], "tokens": {"ids": ids, "mask": [0] * 50 + [1] * 10}}]
    with pytest.raises(InputError, match=r"sft\.jsonl:1: tokens\.ids = .* another tokenizer"):
        read_conversations([write_lines(tmp_path / "sft.jsonl", lines)], tokenizer, RULES, Refused())


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ({"messages": opening(0)}, "no assistant message"),
        ({"messages": "hello"}, "not a list of messages"),
        ({"prompt": [], "chosen": []}, "swegym train dpo"),
        ({"messages": [*opening(0), said("x")], "tokens": {"ids": [1]}}, "ids. and .mask"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(tmp_path, line, problem):
    with pytest.raises(InputError, match=problem) as raised:
        read_conversations([write_lines(tmp_path / "f.jsonl", [line])], make_tokenizer(), RULES, Refused())
    assert "f.jsonl:1" in str(raised.value)


@pytest.mark.parametrize(("text", "problem"), [("", "holds no line"), ("{", "not JSON"), ("[]\n", "not a JSON object")])
def test_a_file_that_cannot_be_used_is_named(tmp_path, text, problem):
    file = tmp_path / "pairs.jsonl"
    file.write_text(text)
    with pytest.raises(InputError, match=problem) as raised:
        read_pairs([file], make_tokenizer(), RULES, Refused())
    assert "pairs.jsonl" in str(raised.value)
    with pytest.raises(InputError, match="no such file"):
        read_pairs([tmp_path / "missing.jsonl"], make_tokenizer(), RULES, Refused())


def test_long_pairs_are_counted_and_never_cut_unasked(tmp_path):
    tokenizer, file = make_tokenizer(), write_lines(tmp_path / "pairs.jsonl", pair_lines(3))
    lengths = sorted(len(pair.chosen) for pair in read_pairs([file], tokenizer, RULES, Refused()))
    refused = Refused()
    kept = read_pairs([file], tokenizer, Rules(lengths[1], "refuse", "assistant", 5000), refused)
    assert (len(kept), refused["too long"]) == (2, 1)
    assert refused.names[0][0].endswith("chosen")
    cut = read_pairs([file], tokenizer, Rules(lengths[0] - 1, "cut", "assistant", 5000), Refused())
    assert len(cut) == 3
    assert all(pair.chosen.mask[-1] and len(pair.chosen) < lengths[0] for pair in cut)
    with pytest.raises(InputError, match="no line is left"):
        read_pairs([file], tokenizer, Rules(5, "cut", "assistant", 5000), Refused())


def test_answers_of_tools_are_never_trained():
    tokenizer = make_tokenizer()
    row = rendered(tokenizer, [*opening(1), said("a", "ls"), answered("SECRET")], TOOLS, "row", vocabulary=5000)
    assert "SECRET" in tokenizer.decode(row.ids.tolist())
    assert "SECRET" not in trained_text(tokenizer, row)

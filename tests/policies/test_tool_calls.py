"""Calls are found in what real templates show of them, and in what models make of them: broken, several, none."""

import json
from pathlib import Path

import pytest
import trl
from tiny_model import make_tokenizer

from swegym.errors import UnknownName
from swegym.policies.chat_templates import NAMES, read_template
from swegym.policies.tool_calls import find_parser, format_of, message_of

REAL = Path(trl.__file__).parent / "chat_templates"  # templates of published models, as another package ships them
FAMILIES = {
    "qwen2_5.jinja": "hermes",
    "qwen3.jinja": "hermes",
    "qwen3_instruct_2507.jinja": "hermes",
    "qwen3_5_nothink.jinja": "coder",
    "qwen3_5_think.jinja": "coder",
    "llama3_1.jinja": "llama",
    "llama3_2.jinja": "llama",
    "phi3.jinja": "text",
}
OURS = {
    "coder": "coder",
    "compact": "hermes",
    "forgetful": "hermes",
    "llama3": "llama",
    "mistral": "mistral",
    "qwen3": "hermes",
}
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "edit",
            "description": "",
            "parameters": {
                "type": "object",
                "properties": {"path": {"type": "string"}, "old": {"type": "string"}, "line": {"type": "integer"}},
            },
        },
    }
]
ARGUMENTS = {"path": "ä.py", "old": 'x = "a"\n  y = {1}\n', "line": 3}


def rendered(template: str, calls: list, content: str = "") -> str:
    """What a template makes of an assistant message, its end-of-turn token left out."""
    tokenizer = make_tokenizer("{# any #}" + template)
    before = [{"role": "user", "content": "Fix it."}]
    message = {"role": "assistant", "content": content, "tool_calls": calls}
    opening = tokenizer.apply_chat_template(before, tools=TOOLS, add_generation_prompt=True, tokenize=False)
    whole = tokenizer.apply_chat_template([*before, message], tools=TOOLS, tokenize=False)
    assert whole.startswith(opening)
    for end in ("<|im_end|>", "<|eot_id|>", "</s>", "<|end|>"):
        whole = whole.removesuffix("\n").removesuffix(end)
    return whole[len(opening) :]


def call(name: str, arguments: dict, number: int = 0) -> dict:
    return {"id": f"call000{number:02d}", "type": "function", "function": {"name": name, "arguments": arguments}}


def templates() -> list:
    real = [(name, (REAL / name).read_text(), family) for name, family in FAMILIES.items() if family != "text"]
    return [*real, *((name, read_template(name), OURS[name]) for name in NAMES)]


@pytest.mark.parametrize("name", FAMILIES)
def test_the_format_follows_from_the_template(name):
    assert format_of((REAL / name).read_text()) == FAMILIES[name]


def test_every_template_of_ours_has_its_format():
    assert {name: format_of(read_template(name)) for name in NAMES} == OURS


@pytest.mark.parametrize(("name", "template", "family"), templates(), ids=lambda value: str(value)[:20])
def test_what_a_template_shows_is_read_back(name, template, family):
    message = message_of(rendered(template, [call("edit", ARGUMENTS)]), find_parser(family), TOOLS, turn=0)
    (found,) = message["tool_calls"]
    assert (found["function"]["name"], json.loads(found["function"]["arguments"])) == ("edit", ARGUMENTS)
    assert message["content"].replace("<think>", "").replace("</think>", "").strip() == ""


@pytest.mark.parametrize("name", ["qwen3", "coder", "mistral"])
def test_several_calls_stay_several_in_order(name):
    calls = [call("edit", {"line": 1}, 0), call("submit", {}, 1), call("edit", {"line": 2}, 2)]
    text = rendered(read_template(name), calls, "First this.")
    message = message_of(text, find_parser(OURS[name]), TOOLS, turn=7)
    assert [one["function"]["name"] for one in message["tool_calls"]] == ["edit", "submit", "edit"]
    assert [json.loads(one["function"]["arguments"]) for one in message["tool_calls"]] == [{"line": 1}, {}, {"line": 2}]
    assert [one["id"] for one in message["tool_calls"]] == ["call00700", "call00701", "call00702"]
    assert message["content"] == "First this."


@pytest.mark.parametrize(
    ("family", "text", "name", "arguments"),
    [
        ("hermes", '<tool_call>\n{"name": "edit", "arguments": {"path": "a}\n</tool_call>', "edit", '{"path": "a}'),
        ("hermes", '<tool_call>\n{"name": "edit", "arguments": {"path"', "edit", '{"path"'),
        ("hermes", "<tool_call>\nedit a.py\n</tool_call>", "", "edit a.py"),
        ("hermes", '<tool_call>["edit"]</tool_call>', "", '["edit"]'),
        ("coder", '<tool_call>\n{"name": "edit", "arguments": {}}\n</tool_call>', "edit", "{}"),
        ("coder", "<tool_call><function=edit><parameter=line>\nthree", "edit", '{"line": "three"}'),
        ("llama", '{"name": "edit", "parameters": {"path": "a', "edit", '{"path": "a'),
        ("llama", '<|python_tag|>{"name": "edit", "parameters": {"line": 1}}', "edit", '{"line": 1}'),
        ("llama", '<function=edit>{"line": 1}</function>', "edit", '{"line": 1}'),
        ("mistral", '[TOOL_CALLS] [{"name": "edit", "arguments": {"pa', "edit", '{"pa'),
        ("mistral", '[TOOL_CALLS]edit[ARGS]{"line": 1}', "edit", '{"line": 1}'),
        ("mistral", '[TOOL_CALLS]edit[CALL_ID]abcdefghi[ARGS]{"line', "edit", '{"line'),
        ("text", "```bash\nls\n```", "bash", '{"command": "ls\\n"}'),
        ("text", '```json\n{"tool": "edit", "arguments": {"line": 1}}\n```', "edit", '{"line": 1}'),
    ],
)
def test_broken_and_unusual_calls_are_calls(family, text, name, arguments):
    (found,) = message_of(text, find_parser(family), TOOLS, turn=0)["tool_calls"]
    assert (found["function"]["name"], found["function"]["arguments"]) == (name, arguments)


@pytest.mark.parametrize("family", ["hermes", "coder", "llama", "mistral", "text"])
@pytest.mark.parametrize("text", ["", "I am done.", '{"answer": 42}', "[1, 2]", "a { b", "\ud800"])
def test_text_that_calls_nothing_is_content(family, text):
    message = message_of(text, find_parser(family), TOOLS, turn=0)
    assert "tool_calls" not in message
    assert message["content"] == text


def test_a_list_that_breaks_off_keeps_its_whole_calls():
    text = '[TOOL_CALLS] [{"name": "edit", "arguments": {"line": 1}}, {"name": "edit", "arguments": {"li'
    message = message_of(text, find_parser("mistral"), TOOLS, turn=0)
    assert [one["function"]["arguments"] for one in message["tool_calls"]] == ['{"line": 1}', '{"li']


def test_reasoning_calls_nothing_and_stays():
    written = '<tool_call>\n{"name": "edit", "arguments": {}}\n</tool_call>'
    thought = message_of(f"<think>\n{written}\n</think>\n\nNo.", find_parser("hermes"), TOOLS, turn=0)
    assert "tool_calls" not in thought and thought["content"].startswith("<think>")
    after = message_of(f"so\n</think>\n\n{written}", find_parser("hermes"), TOOLS, turn=0)
    assert len(after["tool_calls"]) == 1 and after["content"] == "so\n</think>"
    cut = message_of(f"<think>\n{written}", find_parser("hermes"), TOOLS, turn=0)
    assert "tool_calls" not in cut


def test_an_unknown_format_is_named():
    with pytest.raises(UnknownName, match="hermes"):
        find_parser("herms")

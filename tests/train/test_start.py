"""A model from nothing: its tokenizer, its template, and the stages that make a start of it."""

import json

import pytest

from swegym.config import validate
from swegym.data.demonstrations import DemonstrationOptions, demonstrations
from swegym.errors import InputError, RunError, UnknownName
from swegym.policies.hf_prompt import Prompter
from swegym.policies.hf_template import ChatTemplate
from swegym.policies.tool_calls import find_parser, format_of, message_of
from swegym.train.scratch import END, make_model, make_tokenizer, phrases_of
from swegym.train.start import StartConfig, make_start


@pytest.fixture(scope="module")
def some() -> list:
    return list(demonstrations(DemonstrationOptions(count=40)))


@pytest.fixture(scope="module")
def tokenizer(some):
    return make_tokenizer([one.row() for one in some], 700)


@pytest.fixture(scope="module")
def template(tokenizer) -> ChatTemplate:
    return ChatTemplate(tokenizer, "the test", takes_tools=True)


def test_text_survives_and_a_conversation_is_short(some, template):
    for one in some:
        text = template.render(list(one.messages), list(one.tools), reply=False)
        ids = template.ids(text)
        assert template.decode(ids) == text
        assert len(ids) < len(text) / 3


def test_a_line_has_the_same_tokens_in_a_file_in_a_diff_and_in_a_call(template):
    def tokens(before: str, after: str) -> list[int]:
        ids = template.ids(f"{before}if total >= 4:{after}")
        return ids[len(template.ids(before)) : len(ids) - len(template.ids(after))]

    call = json.dumps({"path": "a.py", "old": "", "new": ""})[:-1].replace('"new": ""', '"new": "')
    assert (
        tokens("x\n     3\t    ", "\n     4\t    return 1")
        == tokens("x\n-    ", "\n+    return 1")
        == tokens(f'<tool_call>\n{{"name": "edit", "arguments": {call}', '"}}\n</tool_call>')
    )


def test_the_forms_of_calls_and_lines_that_are_often_said_are_one_token_each(some, template):
    phrases = phrases_of([one.row() for one in some])
    assert "Solve this problem in the repository at /testbed (micro 1)." in phrases
    assert "read(path, start?, lines?)" in phrases
    assert not any("item" in phrase for phrase in phrases)  # code is no phrase
    assert all(len(template.ids(phrase)) == 1 for phrase in phrases)


def test_prompts_go_on_from_what_was_said_and_tell_the_hint_apart(some, tokenizer, template):
    prompter = Prompter(template, {tokenizer.eos_token_id: END}, "mark")
    one = next(one for one in some if one.kind == "hint")
    messages, tools = list(one.messages), list(one.tools)
    first = next(place for place, message in enumerate(messages) if message["role"] == "assistant")
    prompt = prompter.prompt(messages[:first], tools, 4096)
    assert prompt is not None and prompt.span is not None
    start, end = prompt.span
    plain = [message for message in messages[:first] if message.get("extra", {}).get("source") != "guidance"]
    assert list(prompt.ids[:start] + prompt.ids[end:]) == template.ids(template.render(plain, tools, reply=True))

    before = template.render(messages[:first], tools, reply=True)
    said = template.render(messages[: first + 1], tools, reply=False)[len(before) :]
    sampled = {"token_ids": template.ids(said), "prompt_token_ids": list(prompt.ids), "tokenizer": "mark"}
    spoken = {**messages[first], "extra": {**sampled, "logprobs": []}}
    then = prompter.prompt([*messages[:first], spoken, *messages[first + 1 : first + 2]], tools, 4096)
    assert then is not None and then.restart is None and then.added is not None
    assert list(then.ids) == template.ids(template.render(messages[: first + 2], tools, reply=True))


def test_what_it_is_taught_to_write_is_read_as_the_call_that_was_meant(some, tokenizer, template):
    parser = find_parser(format_of(tokenizer.chat_template))
    one = some[0]
    for place, message in enumerate(one.messages):
        if message["role"] == "assistant":
            before = template.render(list(one.messages[:place]), list(one.tools), reply=True)
            said = template.render(list(one.messages[: place + 1]), list(one.tools), reply=False)[len(before) :]
            read = message_of(said.removesuffix(END), parser, list(one.tools), turn=0)
            assert read["tool_calls"][0]["function"] == message["tool_calls"][0]["function"]


def test_a_tokenizer_needs_rows_and_room(some):
    with pytest.raises(InputError, match="no conversation"):
        make_tokenizer([], 700)
    with pytest.raises(InputError, match="Raise it"):
        make_tokenizer([some[0].row()], 200)


def test_an_unknown_size_and_a_folder_that_is_there_are_refused(tmp_path):
    with pytest.raises(UnknownName, match="mini"):
        make_model(tmp_path / "new", [], size="minni")
    with pytest.raises(InputError, match="is there already"):
        make_model(tmp_path, [])


def settings(out, **more) -> StartConfig:
    few = {"count": 24} | more.pop("demonstrations", {})
    return validate(StartConfig, {"out": str(out), "steps": 3, "demonstrations": few, **more}, "the test")


def test_a_start_is_made_once_the_same_for_the_same_settings(tmp_path):
    seen = []
    folder = make_start(settings(tmp_path / "a"), on_step=lambda done: seen.append(done.line["loss"]))
    assert len(seen) == 3 and seen[-1] < seen[0]
    assert make_start(settings(tmp_path / "a"), on_step=lambda done: seen.append(done)) == folder and len(seen) == 3
    again = make_start(settings(tmp_path / "b"))
    assert (folder / "model.safetensors").read_bytes() == (again / "model.safetensors").read_bytes()
    with pytest.raises(RunError, match="other settings"):
        make_start(settings(tmp_path / "a", steps=4))


def test_a_start_acts_in_the_env_as_any_model_does(tmp_path):
    from swegym.policies import make_policy
    from swegym.registration import make_env
    from swegym.rollout import rollout

    folder = make_start(settings(tmp_path, demonstrations={"hinted": 0.0, "feedback": 0.0}))
    env = make_env("swegym/MicroMini-v0", limits={"turns": 2}, grader="unasked")
    task = env.tasks.load("micro-mini-dev-0")
    policy = make_policy("hf", task, seed=1, options={"model": folder, "max_new_tokens": 8})
    done = rollout(env, policy, task=task.id, seed=1)
    assert done.verdict.resolved is False and done.stop_reason == "turns"
    assert all(message["extra"]["token_ids"] for message in done.messages if message["role"] == "assistant")

import json
import sys

import pytest

from swegym.errors import InputError, UnknownName
from swegym.policies import POLICIES, make_policy
from swegym.policies.scripted import read_script


def arguments(message, index=0):
    return json.loads(message["tool_calls"][index]["function"]["arguments"])


def name(message):
    return message["tool_calls"][0]["function"]["name"]


def test_nop_submits_at_once(task):
    assert name(make_policy("nop", task, seed=0)([], [])) == "submit"


def test_gold_writes_applies_and_submits(task):
    act = make_policy("gold", task, seed=0)
    messages = []
    for expected in ("write", "bash", "submit"):
        message = act(messages, [])
        assert name(message) == expected
        messages.append(message)
    assert arguments(messages[0])["content"] == task.gold_patch
    assert arguments(messages[0])["path"] in arguments(messages[1])["command"]


def test_call_ids_are_unique_in_a_conversation(task):
    act, messages = make_policy("gold", task, seed=0), []
    for _ in range(3):
        messages.append(act(messages, []))
    assert len({message["tool_calls"][0]["id"] for message in messages}) == 3


@pytest.mark.parametrize("policy", ["nop", "gold", "human", "repair", "scripted", "litellm"])
def test_unknown_options_are_refused_by_name(task, policy):
    with pytest.raises(InputError, match=rf"options of policy {policy}.*colour|{policy}"):
        make_policy(policy, task, seed=0, options={"colour": "red", "model": "m", "file": "f"})


def test_an_unknown_name_suggests_a_near_one(task):
    with pytest.raises(UnknownName, match="Did you mean repair"):
        make_policy("repare", task, seed=0)


def test_an_import_path_without_its_module_says_so(task):
    with pytest.raises(UnknownName, match="no_such_package"):
        make_policy("no_such_package.students:policy", task, seed=0)


def test_an_import_path_without_the_function_says_so(task):
    with pytest.raises(InputError, match="no callable 'nothing'"):
        make_policy("swegym.policies.nop:nothing", task, seed=0)


def test_a_missing_dependency_of_a_policy_is_not_called_a_missing_policy(task, tmp_path, monkeypatch):
    (tmp_path / "needy_student.py").write_text("import a_library_that_is_missing\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="a_library_that_is_missing"):
        make_policy("needy_student:policy", task, seed=0)


def test_only_privileged_policies_see_the_private_half(task, tmp_path, monkeypatch):
    code = "def policy(context):\n    return lambda messages, tools: context\n"
    (tmp_path / "plain_student.py").write_text(code)
    (tmp_path / "trusted_student.py").write_text("PRIVILEGED = True\n" + code)
    monkeypatch.syspath_prepend(tmp_path)
    plain = make_policy("plain_student:policy", task, seed=3)([], [])
    trusted = make_policy("trusted_student:policy", task, seed=3)([], [])
    assert plain.private is None and plain.task == task.public() and plain.seed == 3
    assert trusted.private is task


def test_gold_is_the_only_privileged_policy_shipped():
    modules = {policy: sys.modules.get(path.partition(":")[0]) for policy, path in POLICIES.items()}
    privileged = {policy for policy, module in modules.items() if getattr(module, "PRIVILEGED", False)}
    assert privileged <= {"gold"}


def test_a_script_is_replayed_untouched_and_then_submits(task, tmp_path):
    said = [{"role": "assistant", "content": "one", "extra": {"x": 1}}, {"role": "assistant", "tool_calls": "broken"}]
    (tmp_path / "script.json").write_text(json.dumps([{"role": "user", "content": "no"}, *said]))
    act = make_policy("scripted", task, seed=0, options={"file": str(tmp_path / "script.json")})
    assert [act([], []), act([], [])] == said
    assert name(act([], [])) == "submit"


def test_scripts_may_be_lines_or_trajectories(tmp_path):
    said = {"role": "assistant", "content": "one"}
    lines, recorded = tmp_path / "lines.jsonl", tmp_path / "recorded.jsonl"
    lines.write_text(f"{json.dumps(said)}\n\n{json.dumps(said)}\n")
    recorded.write_text(json.dumps({"id": "t__0", "messages": [{"role": "user", "content": ""}, said]}) + "\n")
    assert read_script(lines) == [said, said]
    assert read_script(recorded) == [said]


@pytest.mark.parametrize(
    ("text", "problem"),
    [('{"role": "assistant"}\n{oops\n', ":2: not valid JSON"), ("[1]", "not a chat message"), ("[]", "no assistant")],
)
def test_a_bad_script_says_where(tmp_path, text, problem):
    file = tmp_path / "script.jsonl"
    file.write_text(text)
    with pytest.raises(InputError, match=problem):
        read_script(file)


def test_a_missing_script_says_so(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        read_script(tmp_path / "none.json")

"""The repair student, from its opening to its patch, in real sandboxes."""

import json
import random

import pytest
import tiny_set

from swegym.env import SWEEnv
from swegym.policies import make_policy
from swegym.policies.localise import Function, Suspect
from swegym.policies.repair import Hint, choose, enlargements, localise, read_hint, read_region, read_result
from swegym.policies.splice import Edit, Region
from swegym.rollout import rollout

SOURCE = "def f(a, b):\n    if a < b:\n        return a\n    return b + 1\n"
REGION = Region("a.py", 11, SOURCE, "f")
SUSPECT = Suspect(Function("a.py", "f", 11, 14), 0.5, {12: 0.5, 14: 0.25})


def hint(text):
    return {"role": "user", "content": text, "extra": {"source": "guidance"}}


@pytest.fixture(scope="module")
def tasks(store, tmp_path_factory):
    return tiny_set.build(tiny_set.write(tmp_path_factory.mktemp("sets")))


@pytest.fixture(scope="module")
def env(tasks):
    env = SWEEnv(tasks)
    yield env
    env.close()


def attempt(env, task, seed=0):
    return rollout(env, make_policy("repair", env.tasks.load(task), seed=seed), task=task, seed=seed)


@pytest.fixture(scope="module")
def episode(env):
    return attempt(env, "tiny-1")


def test_a_bug_that_a_visible_test_shows_is_repaired(episode):
    assert episode.verdict.resolved, (episode.verdict.reason, episode.messages)
    assert "+    return number * 2" in episode.patch and episode.patch.count("\n+") == 2
    assert episode.stop_reason == "submitted"


def test_the_same_seed_says_the_same(env, episode):
    again = attempt(env, "tiny-1")
    calls = [[m.get("tool_calls") for m in each.messages if m["role"] == "assistant"] for each in (episode, again)]
    assert calls[0] == calls[1]


def test_a_bug_that_no_visible_test_shows_is_left_alone(env):
    episode = attempt(env, "tiny-2")
    assert episode.verdict.resolved is False and episode.patch == ""
    assert "No test shows the problem" in episode.messages[-2]["content"]


def test_every_message_calls_exactly_one_tool(episode):
    said = [message for message in episode.messages if message["role"] == "assistant"]
    assert all(len(message["tool_calls"]) == 1 for message in said)
    assert len({message["tool_calls"][0]["id"] for message in said}) == len(said)


def test_tools_that_answer_nonsense_end_in_a_submit(tasks):
    act, messages = make_policy("repair", tasks.load("tiny-1"), seed=0), [{"role": "user", "content": "x"}]
    for _ in range(30):
        message = act(messages, [])
        if message["tool_calls"][0]["function"]["name"] == "submit":
            return
        messages += [message, {"role": "tool", "content": "RESULT {oops"}]
    raise AssertionError("it never submits")


# --- what it decides --------------------------------------------------------------------------------------------------


def test_edits_come_by_the_suspicion_of_their_line():
    edits = choose([(SUSPECT, REGION)], Hint(), random.Random(0), 400)
    assert edits[0].first == 12
    assert min(i for i, edit in enumerate(edits) if edit.first == 14) > 0


def test_edits_are_bounded_and_differ_with_the_seed_alone():
    one, same, other = (choose([(SUSPECT, REGION)], Hint(), random.Random(seed), 50) for seed in (1, 1, 2))
    assert one == same and len(one) == 50
    assert one != other


def test_a_hint_puts_its_lines_and_its_kind_of_change_first():
    told = read_hint(
        [hint("What has to change there: an arithmetic operator.\nLook at: a.py, function f, lines 14-14")]
    )
    plain, guided = (choose([(SUSPECT, REGION)], each, random.Random(0), 400) for each in (Hint(), told))

    def position(edits):
        return next(i for i, edit in enumerate(edits) if edit.new == "    return b - 1\n")

    assert position(guided) < 6 < position(plain)


def test_only_marked_messages_are_hints():
    text = "Look at: a.py, function f, lines 1-2"
    assert read_hint([{"role": "user", "content": text}]) == Hint()
    assert read_hint([hint(text)]).places[0].path == "a.py"


def test_hinted_functions_come_first_even_when_no_test_points_to_them():
    trace = {"failed": 1, "spectra": {"a.py": [[2, 3, 1, 0]]}, "parts": {"a.py": [["f", 1, 4], ["g", 6, 9]]}}
    told = read_hint([hint("Look at: a.py, function g, lines 7-7")])
    assert [suspect.function.name for suspect in localise(trace, "", Hint())] == ["f"]
    assert [suspect.function.name for suspect in localise(trace, "", told)] == ["g", "f"]


# --- what it reads and writes -----------------------------------------------------------------------------------------


def test_a_region_is_read_exactly_or_not_at_all():
    function = Function("a.py", "f", 9, 10)
    shown = "     9\tdef f():\n    10\t    return '\t'\n[lines 9 to 10 of 99; go on with start=11]"
    assert read_region(shown, function, ()).text == "def f():\n    return '\t'\n"
    assert read_region(shown.replace("    10", "    11"), function, ()) is None
    assert read_region("There is no file a.py.", function, ()) is None


@pytest.mark.parametrize(
    "answer", ["", "Traceback", "RESULT {cut", "RESULT 3", "RESULT " + "[" * 9999, "RESULT " + "9" * 5000]
)
def test_a_result_that_is_not_there_is_none(answer):
    assert read_result(answer) is None


def test_a_result_is_found_among_other_lines():
    assert read_result(f"warning\nRESULT {json.dumps({'failed': 0})}\n[exit code 1]") == {"failed": 0}


def test_the_edit_tool_is_given_ever_more_lines_until_they_are_unique():
    edit = Edit("a.py", 12, 12, "    if a < b:\n", "    if a <= b:\n", "t", 1.0)
    pairs = enlargements(edit, REGION)
    assert pairs[0] == (edit.old, edit.new)
    assert pairs[-1] == (SOURCE, SOURCE.replace("<", "<="))
    assert all(SOURCE.replace(old, new) == SOURCE.replace("<", "<=") for old, new in pairs)


@pytest.mark.parametrize("end", ["\x0c", "\u2028"])
def test_a_line_is_what_ends_with_a_line_feed(end):
    source = f'def f(a, b):\n    """Two{end}halves."""\n    return a < b\n'
    edit = Edit("a.py", 3, 3, "    return a < b\n", "    return a <= b\n", "t", 1.0)
    pairs = enlargements(edit, Region("a.py", 1, source, "f", ()))
    assert all(source.replace(old, new) == source.replace("<", "<=") != source for old, new in pairs)

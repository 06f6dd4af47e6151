"""The pair contract, one rule a test."""

import dataclasses
import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swegym.data.pairs import (
    ECHO,
    GUIDED_FAILURE,
    NO_FAILURE,
    OTHER_OPENING,
    SAME_ACTIONS,
    SAME_MESSAGES,
    SAME_PATCH,
    TOO_LONG,
    make_pairs,
)
from swegym.guidance import guidance_message
from swegym.types import Guidance, Trajectory, Verdict

HINT = Guidance(
    "oracle",
    {"plan": "area in shapes.py misbehaves there.", "interaction": "Look at: shapes.py, function area, lines 10-10"},
    True,
)
OPENING = ({"role": "system", "content": "You fix bugs."}, {"role": "user", "content": "area is wrong"})
TOOLS = ({"type": "function", "function": {"name": "write", "parameters": {}}},)


def attempt(number, resolved, *, guided=False, task="t", said=None, patch=None, **fields) -> Trajectory:
    said = f"I try way {number}{'g' if guided else ''}." if said is None else said
    written = json.dumps({"path": "a", "content": f"{said} {number}{guided}"})
    call = {"id": "c", "type": "function", "function": {"name": "write", "arguments": written}}
    spoken = {"role": "assistant", "content": said, "tool_calls": [call], "extra": {"token_ids": [1, 2]}}
    answer = {"role": "tool", "content": "written", "tool_call_id": "c"}
    values = {
        "id": f"{task}__{number}{'g' if guided else ''}",
        "task": task,
        "set": "s",
        "task_digest": f"digest of {task}",
        "attempt": number,
        "policy": "p",
        "policy_version": "v",
        "seed": number,
        "messages": (*OPENING, *([guidance_message(HINT)] if guided else []), spoken, answer),
        "tools": TOOLS,
        "patch": f"patch {number}{guided}" if patch is None else patch,
        "verdict": Verdict(resolved, None if resolved else "agent" if resolved is False else "sandbox", ""),
        "stop_reason": "submitted",
        "seconds": {},
        "guidance": HINT if guided else None,
        "parent": f"{task}__{number}" if guided else None,
    }
    return Trajectory(**(values | fields))


def ids(pairs):
    return [(row["chosen_id"], row["rejected_id"], row["kind"]) for row in pairs.rows]


def test_a_success_is_paired_with_a_failure_of_its_task():
    pairs = make_pairs([attempt(0, True), attempt(1, False), attempt(2, False, task="other")])
    assert ids(pairs) == [("t__0", "t__1", "plain")] and not pairs.dropped


def test_one_pair_for_each_success_not_all_combinations():
    pairs = make_pairs([attempt(n, n < 2) for n in range(5)])
    assert [chosen for chosen, _, _ in ids(pairs)] == ["t__0", "t__1"]


def test_a_guided_success_is_paired_with_the_failure_it_retried():
    group = [attempt(n, False) for n in range(8)] + [attempt(5, True, guided=True)]
    assert ids(make_pairs(group)) == [("t__5g", "t__5", "guided")]


def test_without_its_parent_a_guided_success_takes_another_failure():
    assert ids(make_pairs([attempt(3, False), attempt(5, True, guided=True)])) == [("t__5g", "t__3", "guided")]


def test_a_guided_failure_is_never_rejected():
    pairs = make_pairs([attempt(0, True), attempt(1, False, guided=True)])
    assert not pairs.rows and pairs.dropped == {GUIDED_FAILURE: 1, NO_FAILURE: 1}


def test_a_success_without_a_failure_yields_none_and_is_counted():
    assert make_pairs([attempt(0, True), attempt(1, True)]).dropped == {NO_FAILURE: 2}


@pytest.mark.parametrize("cause", ["sandbox", "provider", "grader", "task", "us"])
def test_what_nobody_judged_is_on_no_side(cause):
    unjudged = dataclasses.replace(attempt(1, None), verdict=Verdict(None, cause, "broken"))
    pairs = make_pairs([attempt(0, True), unjudged])
    assert not pairs.rows and pairs.dropped == {f"not judged: {cause}": 1, NO_FAILURE: 1}


def test_a_changed_task_is_another_task():
    assert not make_pairs([attempt(0, True), attempt(1, False, task_digest="older")]).rows


def test_no_trace_of_the_hint_is_left_and_both_sides_share_the_plain_opening():
    (row,) = make_pairs([attempt(0, False), attempt(0, True, guided=True)]).rows
    assert row["prompt"] == list(OPENING)
    text = json.dumps(row)
    assert not any(word in text for word in ("misbehaves", "Look at", "suggestion", "guidance", "extra"))


@pytest.mark.parametrize(
    "said",
    [
        "As the hint says, I change it.",
        "Following the guidance I change it.",
        "The reviewer's suggestion is right.",
        "suggestion from a   reviewer",
        "So: AREA in shapes.py\nmisbehaves there.",
        "I was told: Look at: shapes.py, function area, lines 10-10",
    ],
)
def test_a_chosen_side_that_speaks_of_the_hint_is_dropped(said):
    pairs = make_pairs([attempt(0, False), attempt(0, True, guided=True, said=said)])
    assert not pairs.rows and pairs.dropped == {ECHO: 1}


def test_an_echo_in_the_arguments_of_a_call_is_found():
    success = attempt(0, True, guided=True)
    call = {"name": "write", "arguments": json.dumps({"content": "# area in shapes.py\n misbehaves there."})}
    spoken = {"role": "assistant", "content": "", "tool_calls": [{"id": "c", "type": "function", "function": call}]}
    success = dataclasses.replace(success, messages=(*success.messages, spoken))
    assert make_pairs([attempt(0, False), success]).dropped == {ECHO: 1}


@pytest.mark.parametrize(
    "said", ["I add a type hint.", "I look at shapes.py, function area.", "Hints of trouble in area."]
)
def test_ordinary_words_are_no_echo(said):
    assert len(make_pairs([attempt(0, False), attempt(0, True, guided=True, said=said)])) == 1


def test_the_same_patch_on_both_sides_is_dropped():
    assert make_pairs([attempt(0, True, patch="p"), attempt(1, False, patch="p\n")]).dropped == {SAME_PATCH: 1}


def test_the_same_messages_on_both_sides_are_dropped():
    success = attempt(0, True)
    failure = dataclasses.replace(attempt(1, False), messages=success.messages)
    assert make_pairs([success, failure]).dropped == {SAME_MESSAGES: 1}


def test_the_same_actions_with_other_words_are_dropped():
    success = attempt(0, True)
    *opening, spoken, answer = success.messages
    failure = dataclasses.replace(attempt(1, False), messages=(*opening, {**spoken, "content": "Well."}, answer))
    assert make_pairs([success, failure]).dropped == {SAME_ACTIONS: 1}


def test_a_usable_failure_is_preferred_over_a_dropped_pair():
    group = [attempt(0, True, patch="p"), attempt(1, False, patch="p"), attempt(2, False)]
    assert ids(make_pairs(group)) == [("t__0", "t__2", "plain")]


def test_an_empty_patch_is_a_failure_like_any_other():
    assert ids(make_pairs([attempt(0, True), attempt(1, False, patch="")])) == [("t__0", "t__1", "plain")]


@pytest.mark.parametrize(
    "fields", [{"messages": ({"role": "user", "content": "x"}, {"role": "assistant", "content": "y"})}, {"tools": ()}]
)
def test_sides_under_different_prompts_are_not_paired(fields):
    assert make_pairs([attempt(0, True), attempt(1, False, **fields)]).dropped == {OTHER_OPENING: 1}


def test_sides_that_are_too_long_are_dropped():
    group = [attempt(0, True), attempt(1, False, said="x" * 5000)]
    assert make_pairs(group, max_characters=2000).dropped == {TOO_LONG: 1}
    assert make_pairs(group, max_characters=200).dropped == {TOO_LONG: 1}
    assert len(make_pairs(group, max_characters=19000)) == 1


def test_completions_end_with_what_the_policy_said():
    (row,) = make_pairs([attempt(0, True), attempt(1, False)]).rows
    assert [row[side][-1]["role"] for side in ("chosen", "rejected")] == ["assistant", "assistant"]
    assert json.loads(row["chosen"][0]["tool_calls"][0]["function"]["arguments"])["path"] == "a"


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans() | st.none(), st.booleans()), max_size=12), st.integers(0, 3), st.randoms())
def test_the_contract_holds_for_any_group(outcomes, seed, chance: random.Random):
    group = [attempt(n, resolved, guided=guided) for n, (resolved, guided) in enumerate(outcomes)]
    pairs = make_pairs(group, seed)
    by_id = {t.id: t for t in group}
    for row in pairs.rows:
        chosen, rejected = by_id[row["chosen_id"]], by_id[row["rejected_id"]]
        assert chosen.verdict.resolved is True and rejected.verdict.resolved is False and not rejected.guided
        assert (row["kind"] == "guided") is chosen.guided
    assert len({row["chosen_id"] for row in pairs.rows}) == len(pairs.rows)
    plain_failures = sum(t.verdict.resolved is False and not t.guided for t in group)
    assert len(pairs.rows) + sum(pairs.dropped.values()) + plain_failures == len(group)
    chance.shuffle(group)
    assert make_pairs(group, seed) == pairs


def test_the_seed_decides_which_failure():
    group = [attempt(0, True), *[attempt(n, False) for n in range(1, 9)]]
    assert len({ids(make_pairs(group, seed))[0][1] for seed in range(20)}) > 3


def test_rows_are_written_whole_as_jsonl(tmp_path):
    pairs = make_pairs([attempt(0, True), attempt(1, False)])
    pairs.write(tmp_path / "pairs.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "pairs.jsonl").read_text().splitlines()]
    assert rows == list(pairs.rows)
    assert [path.name for path in tmp_path.iterdir()] == ["pairs.jsonl"]
    assert json.loads(rows[0]["tools"]) == list(TOOLS)
    types = {key: type(value) for key, value in rows[0].items()}
    assert types == dict.fromkeys(types, str) | dict.fromkeys(("prompt", "chosen", "rejected"), list) | dict.fromkeys(
        ("chosen_tokens", "rejected_tokens"), type(None)
    )

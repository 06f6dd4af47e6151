"""Other tools' formats hold what happened."""

import dataclasses

import pytest

from swegym.data.atif import to_atif
from swegym.data.formats import make_messages, make_predictions
from swegym.data.pairs import ECHO
from swegym.data.sft import TOOK_OVER
from tests.data import token_turns
from tests.data.test_pairs import attempt


def test_an_atif_document_has_the_shape_of_its_format():
    document = to_atif(attempt(0, True, guided=True))
    assert document["schema_version"].startswith("ATIF-v1.")
    assert [step["step_id"] for step in document["steps"]] == [1, 2, 3, 4]
    assert [step["source"] for step in document["steps"]] == ["system", "user", "user", "agent"]
    assert document["steps"][2]["extra"] == {"source": "guidance"}
    agent = document["steps"][3]
    assert agent["tool_calls"][0]["arguments"]["path"] == "a"
    assert agent["observation"] == {"results": [{"source_call_id": "c", "content": "written"}]}
    assert document["extra"]["reward"] == 1.0


def test_what_a_policy_wrote_wrong_is_kept():
    call = {"id": "", "type": "function", "function": {"name": "edit", "arguments": "{broken"}}
    twice = {"role": "assistant", "content": "", "tool_calls": [call, call]}
    answers = [
        {"role": "tool", "tool_call_id": "", "content": "what?"},
        {"role": "tool", "tool_call_id": "", "content": "one"},
    ]
    document = to_atif(dataclasses.replace(attempt(0, False), messages=(twice, *answers)))
    (step,) = document["steps"]
    assert [call["tool_call_id"] for call in step["tool_calls"]] == ["call_0", "call_1"]
    assert step["tool_calls"][0]["extra"] == {"raw_arguments": "{broken"} and step["tool_calls"][0]["arguments"] == {}
    assert [result["source_call_id"] for result in step["observation"]["results"]] == ["call_0", "call_1"]


def test_token_ids_are_in_the_metrics():
    agent = to_atif(token_turns.plain())["steps"][2]
    assert agent["metrics"]["completion_token_ids"] == [200, 201] and agent["metrics"]["logprobs"] == [-0.2, -0.201]


def test_the_formats_own_models_accept_it():
    atif = pytest.importorskip("atif")
    for trajectory in (attempt(0, True, guided=True), token_turns.plain(), attempt(0, None)):
        atif.Trajectory.model_validate(to_atif(trajectory))


def test_messages_are_solved_attempts_without_hints_or_extra():
    made = make_messages([attempt(0, True, guided=True), attempt(1, False)])
    (row,) = made.rows
    assert set(row) == {"messages", "tools"} and len(row["messages"]) == 4
    assert not any("extra" in message for message in row["messages"]) and made.dropped == {"failed": 1}


def test_messages_leave_out_what_tells_of_its_hint_and_what_took_over_turns():
    spoken = attempt(0, True, guided=True, said="As the suggestion says.")
    taken = attempt(1, True)
    taken = dataclasses.replace(taken, messages=tuple({**one, "extra": {"replayed": True}} for one in taken.messages))
    assert make_messages([spoken, taken]).dropped == {ECHO: 1, TOOK_OVER: 1}


def test_predictions_are_the_first_judged_attempt_of_each_policy():
    group = [
        attempt(0, None),
        attempt(1, False),
        attempt(2, True),
        attempt(1, True, guided=True),
        attempt(0, True, policy="q", id="other"),
    ]
    rows = make_predictions(group).rows
    assert [(row["model_name_or_path"], row["model_patch"]) for row in rows] == [
        ("p/v", "patch 1False"),
        ("q/v", "patch 0False"),
    ]

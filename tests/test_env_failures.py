"""What policies, machines and graders get wrong, and what becomes of the episode."""

import copy

import pytest
from fake_episode import FILES, FIX, call, grade, make_env, open_fake, raw_call
from gymnasium.error import ResetNeeded

from swegym.errors import GraderError, SandboxDied
from swegym.messages import shorten
from swegym.sandbox.fake import FakeSandbox
from swegym.types import ExecResult

# --- what policies get wrong ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "action",
    [
        {"role": "assistant", "content": "I am thinking."},
        {"role": "assistant"},
        {"role": "assistant", "tool_calls": None},
        {"role": "assistant", "tool_calls": "submit"},
        {"role": "assistant", "tool_calls": [None]},
        {"role": "assistant", "tool_calls": [{"id": 3, "function": None}]},
        {},
        "submit",
        None,
        raw_call("nonsense", "{}"),
        raw_call(None, "{}"),
        raw_call(["bash"], "{}"),
        raw_call("bash", "{not json"),
        raw_call("bash", None),
        raw_call("bash", {"command": "true"}),
        raw_call("bash", "[]"),
        raw_call("bash", "[" * 100_000),
        raw_call("bash", '{"command": 1e999, "timeout": NaN}'),
        raw_call("bash", '{"command": "true", "timeout": NaN}'),
        raw_call("bash", '{"command": "\\ud800"}'),
        raw_call("bash", '{"command": "a\\u0000b"}'),
        raw_call("bash", '{"cmd": "ls"}'),
        raw_call("bash", "{}"),
        raw_call("submit", '{"\\ud800": 1}'),
        raw_call("submit", '{"now": true}'),
        raw_call("read", '{"path": "\\u0000"}'),
        raw_call("read", '{"path": ""}'),
        raw_call("read", '{"path": "a.py", "start": ' + "9" * 5000 + "}"),
        raw_call("edit", '{"path": "missing.py", "old": "a", "new": "b"}'),
    ],
)
def test_a_call_that_makes_no_sense_is_explained_and_the_episode_goes_on(action):
    env = make_env()
    env.reset()
    answers, reward, terminated, truncated, _ = env.step(action)
    assert (reward, terminated, truncated) == (0.0, False, False)
    assert answers in env.observation_space and answers[0]["content"]
    assert env.step(call("submit"))[2]


def test_an_unknown_tool_is_answered_with_the_known_ones():
    env = make_env()
    env.reset()
    assert "run_tests" in env.step(raw_call("python", "{}"))[0][0]["content"]


def test_of_several_calls_the_first_is_done_and_each_is_answered():
    env = make_env()
    env.reset()
    several = copy.deepcopy(FIX)
    several["tool_calls"].append(
        {"id": "call_2", "type": "function", "function": {"name": "submit", "arguments": "{}"}}
    )
    answers, _, terminated, _, _ = env.step(several)
    assert [answer["tool_call_id"] for answer in answers] == ["call_1", "call_2"]
    assert "Edited" in answers[0]["content"] and "Not done" in answers[1]["content"]
    assert not terminated


def test_a_message_without_a_call_is_answered_as_user_and_takes_a_turn():
    env = make_env()
    env.reset()
    answers, *_, info = env.step({"role": "assistant", "content": "hello"})
    assert answers[0]["role"] == "user" and "submit" in answers[0]["content"]
    assert info["turn"] == 1


def test_long_answers_keep_head_and_tail_and_say_what_is_cut():
    env = make_env(limits={"answer_characters": 200})
    env.reset()
    content = env.step(call("bash", command="echo START" + "x" * 1000 + "END"))[0][0]["content"]
    assert content.startswith("START") and "END" in content and "characters left out" in content
    assert len(content) < 300


def test_shorten_drops_half_surrogates():
    assert shorten("a\ud800b", 10) == "a?b"


# --- what machines and graders get wrong ---------------------------------------------------------------------------


def dying(after: int):
    def open_dying(image):
        calls = 0

        def commands(sandbox, line, stdin):
            nonlocal calls
            calls += 1
            if calls > after:
                raise SandboxDied("the machine is gone")
            return ExecResult(0, b"ok", b"", 0)

        return FakeSandbox(image, files=FILES, commands=commands)

    return open_dying


def test_a_sandbox_that_dies_ends_the_episode_unjudged():
    env = make_env(sandbox=dying(after=1))
    env.reset()
    assert not env.step(call("bash", command="make"))[3]
    answers, reward, terminated, truncated, info = env.step(call("bash", command="make"))
    assert (reward, terminated, truncated) == (0.0, False, True)
    assert (info["verdict"].resolved, info["verdict"].cause) == (None, "sandbox")
    assert info["stop_reason"] == "error" and "gone" in info["verdict"].reason
    assert answers in env.observation_space and answers[0]["tool_call_id"] == "call_1"


def test_a_sandbox_that_dies_while_the_patch_is_taken_out_is_unjudged():
    def extract_dying(sandbox, task):
        raise SandboxDied("gone")

    env = make_env(extract=extract_dying)
    env.reset()
    _, reward, terminated, _, info = env.step(call("submit"))
    assert (reward, terminated, info["verdict"].resolved, info["verdict"].cause) == (0.0, True, None, "sandbox")


def test_a_grader_that_fails_is_the_cause_and_the_patch_is_kept():
    def failing(task, patch, open_sandbox):
        raise GraderError("broken")

    env = make_env(grader=failing)
    env.reset()
    env.step(FIX)
    info = env.step(call("submit"))[4]
    assert (info["verdict"].resolved, info["verdict"].cause) == (None, "grader")
    assert "a + b" in info["patch"]


def test_the_agents_sandbox_is_closed_before_grading_and_never_given_to_the_grader():
    opened = []

    def open_noted(image):
        opened.append(open_fake(image))
        return opened[-1]

    def judge(task, patch, open_sandbox):
        with pytest.raises(SandboxDied):
            opened[0].exec("true")
        assert open_sandbox(task.image) is not opened[0]
        return grade(task, patch, open_sandbox)

    env = make_env(sandbox=open_noted, grader=judge)
    env.reset()
    env.step(call("submit"))
    assert len(opened) == 3


def test_a_bug_in_a_grader_judges_nobody_and_is_named_and_the_sandbox_is_freed():
    opened = []

    def open_noted(image):
        opened.append(open_fake(image))
        return opened[-1]

    def buggy(task, patch, open_sandbox):
        raise ZeroDivisionError("nothing to divide by")

    env = make_env(sandbox=open_noted, grader=buggy)
    env.reset()
    *_, info = env.step(call("submit"))
    assert (info["verdict"].resolved, info["verdict"].cause) == (None, "grader")
    assert info["verdict"].reason == "ZeroDivisionError: nothing to divide by"
    with pytest.raises(SandboxDied):
        opened[0].exec("true")


def test_reset_and_close_free_the_sandbox_and_closing_twice_is_fine():
    opened = []

    def open_noted(image):
        opened.append(open_fake(image))
        return opened[-1]

    with make_env(sandbox=open_noted) as env:
        env.reset()
        env.reset()
        with pytest.raises(SandboxDied):
            opened[0].exec("true")
    env.close()
    with pytest.raises(SandboxDied):
        opened[1].exec("true")


def test_stepping_without_an_episode_says_to_reset():
    env = make_env()
    with pytest.raises(ResetNeeded, match="reset"):
        env.step(FIX)
    env.reset()
    env.step(call("submit"))
    with pytest.raises(ResetNeeded):
        env.step(FIX)

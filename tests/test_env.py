"""The episode of an env, how it is chosen and set up, and what it shows."""

import time

import pytest
from fake_episode import FIX, TaskList, call, extract, make_env, make_task, open_fake

from swegym.env import EpisodeLimits
from swegym.errors import InputError, SwegymError, UnknownName
from swegym.grading import Extraction
from swegym.messages import tokens_of
from swegym.tools import ToolContext, tool

# --- the episode ---------------------------------------------------------------------------------------------------


def test_solving_the_task_gives_reward_one():
    env = make_env()
    env.reset(seed=1)
    assert env.step(FIX)[1:4] == (0.0, False, False)
    _, reward, terminated, truncated, info = env.step(call("submit"))
    assert (reward, terminated, truncated) == (1.0, True, False)
    assert info["verdict"].resolved is True
    assert "a + b" in info["patch"]
    assert info["verdict"].notes == ("from a test",)


def test_submitting_nothing_gives_reward_zero_with_the_agent_as_the_cause():
    env = make_env()
    env.reset(seed=1)
    _, reward, terminated, _, info = env.step(call("submit"))
    assert (reward, terminated) == (0.0, True)
    assert (info["verdict"].resolved, info["verdict"].cause) == (False, "agent")


def test_info_has_the_same_keys_in_every_step_and_two_more_at_the_end():
    env = make_env()
    keys = {"task", "turn", "seconds", "stop_reason"}
    assert env.reset()[1].keys() == keys
    info = env.step(FIX)[4]
    assert info.keys() == keys and info["stop_reason"] is None and info["turn"] == 1
    info = env.step(call("submit"))[4]
    assert info.keys() == keys | {"patch", "verdict"} and info["stop_reason"] == "submitted"
    assert info["seconds"].keys() == {"reset", "tools", "grade"}


def test_running_out_of_turns_truncates_and_still_grades():
    env = make_env(limits={"turns": 2})
    env.reset()
    env.step(FIX)
    _, reward, terminated, truncated, info = env.step(call("bash", command="true"))
    assert (reward, terminated, truncated, info["stop_reason"]) == (1.0, False, True, "turns")


def test_submitting_in_the_last_turn_counts_as_submitted():
    env = make_env(limits={"turns": 1})
    env.reset()
    assert env.step(call("submit"))[2:4] == (True, False)


def test_running_out_of_time_stops_a_tool_and_still_grades():
    env = make_env(limits={"seconds": 0.2})
    env.reset()
    started = time.monotonic()
    answers, reward, _, truncated, info = env.step(call("bash", command="sleep 5"))
    assert time.monotonic() - started < 3
    assert (reward, truncated, info["stop_reason"]) == (0.0, True, "seconds")
    assert "stopped after" in answers[0]["content"]


def test_what_comes_after_the_time_is_over_is_not_carried_out():
    env = make_env(limits={"seconds": 0.01})
    env.reset()
    time.sleep(0.02)
    answers, reward, _, truncated, info = env.step(FIX)
    assert (reward, truncated, info["stop_reason"]) == (0.0, True, "seconds")
    assert "time" in answers[0]["content"]


def test_running_out_of_tokens_truncates():
    env = make_env(limits={"tokens": 100})
    env.reset()
    spent = {**call("bash", command="true"), "extra": {"usage": {"completion_tokens": 60}}}
    assert not env.step(spent)[3]
    _, _, _, truncated, info = env.step(spent)
    assert (truncated, info["stop_reason"]) == (True, "tokens")


def test_tokens_are_what_the_policy_reports_else_an_estimate():
    assert tokens_of({"role": "assistant", "extra": {"usage": {"completion_tokens": 7}}}) == 7
    assert tokens_of({"role": "assistant", "extra": {"token_ids": [1, 2, 3]}}) == 3
    assert tokens_of({"role": "assistant", "content": "x" * 40}) == 10
    assert tokens_of({"role": "assistant", "content": None, "extra": {"usage": None}}) == 0
    assert tokens_of("nonsense") == 0


def test_extraction_notes_come_before_the_graders():
    env = make_env(extract=lambda sandbox, task: Extraction("", ("x",)))
    env.reset()
    assert env.step(call("submit"))[4]["verdict"].notes == ("x",)
    assert extract(open_fake(), make_task("one")).notes


# --- choice, seeds, arguments --------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_opening():
    first, second = make_env(), make_env()
    openings = [first.reset(seed=seed)[0] for seed in range(20)]
    assert openings == [second.reset(seed=seed)[0] for seed in range(20)]
    assert len({str(opening) for opening in openings}) == 3


def test_a_named_task_wins_over_the_seed():
    env = make_env()
    for seed in range(5):
        opening, info = env.reset(seed=seed, options={"task": "two"})
        assert info["task"] == "two" and make_task("two").issue in opening[-1]["content"]


def test_an_unknown_task_is_an_error_with_near_matches():
    with pytest.raises(UnknownName, match="three"):
        make_env().reset(options={"task": "thre"})


def test_an_unknown_option_is_an_error():
    with pytest.raises(InputError, match="taks"):
        make_env().reset(options={"taks": "two"})


def test_an_empty_set_is_an_error():
    with pytest.raises(InputError, match="empty"):
        make_env(tasks=TaskList()).reset()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"limits": {"turns": 0}}, "turns"),
        ({"limits": {"turn": 5}}, "turn"),
        ({"sandbox": "bublewrap"}, "bubblewrap"),
        ({"sandbox_limits": {"memory": 5}, "sandbox": "fake"}, "memory"),
        ({"tools": ["bsh"]}, "bash"),
        ({"tools": ["no.such:tool"]}, "no.such:tool"),
        ({"tools": ["bash", "bash"]}, "two are named"),
        ({"render_mode": "rgb_array"}, "ansi"),
    ],
)
def test_a_wrong_argument_fails_when_the_env_is_made(changes, said):
    with pytest.raises(SwegymError, match=said):
        make_env(**changes)


def test_limits_can_be_given_as_such_or_as_a_dict():
    assert make_env(limits=EpisodeLimits(turns=3)).limits == make_env(limits={"turns": 3}).limits


@tool
def count(context: ToolContext, text: str) -> str:
    """Count characters.

    Args:
        text: Any text.
    """
    return str(len(text))


def test_a_tool_of_ones_own_can_be_given_as_a_function():
    env = make_env(tools=[count, "submit"])
    env.reset()
    assert env.step(call("count", text="abc"))[0][0]["content"] == "3"
    assert [schema["function"]["name"] for schema in env.tool_schemas] == ["count", "submit"]
    assert env.action_space.sample() in env.action_space


def test_the_system_prompt_can_be_changed_or_left_out():
    assert make_env(system_prompt="Be brief.").reset()[0][0] == {"role": "system", "content": "Be brief."}
    assert [message["role"] for message in make_env(system_prompt="").reset()[0]] == ["user"]


# --- rendering -----------------------------------------------------------------------------------------------------


def test_ansi_renders_the_last_exchange():
    env = make_env(render_mode="ansi")
    env.reset(options={"task": "one"})
    assert "naïve" in env.render()
    env.step(call("bash", command="echo hi"))
    assert "echo hi" in env.render() and "hi" in env.render()


def test_human_prints_each_exchange(capsys):
    env = make_env(render_mode="human")
    env.reset()
    env.step(call("submit"))
    assert env.render() is None
    printed = capsys.readouterr().out
    assert "> submit" in printed and "test_add failed" in printed

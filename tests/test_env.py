import copy
import pickle
import time
import warnings

import cloudpickle
import gymnasium
import pytest
from fake_episode import FILES, TaskList, call, extract, grade, make_env, make_task, open_fake, raw_call
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import RecordEpisodeStatistics

from swegym.env import EpisodeLimits
from swegym.errors import GraderError, InputError, SandboxDied, SwegymError, UnknownName
from swegym.grading import Extraction
from swegym.messages import shorten, tokens_of
from swegym.sandbox.fake import FakeSandbox
from swegym.tools import ToolContext, tool
from swegym.types import ExecResult

FIX = call("edit", path="a.py", old="a - b", new="a + b")


@pytest.fixture(scope="module", autouse=True)
def fake_id():
    gymnasium.register("swegymtest/Fake-v0", "fake_episode:make_env", nondeterministic=True)
    yield "swegymtest/Fake-v0"
    gymnasium.registry.pop("swegymtest/Fake-v0")


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


# --- as Gymnasium wants it -----------------------------------------------------------------------------------------


def test_check_env(fake_id, capsys):
    env = gymnasium.make(fake_id).unwrapped
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_env(env)
    assert [str(warning.message) for warning in caught] == []


def test_the_passive_checker_and_a_time_limit_find_nothing_wrong(fake_id):
    env = gymnasium.make(fake_id, max_episode_steps=5)
    env.reset(seed=0)
    env.step(FIX)
    assert env.step(call("submit"))[1] == 1.0
    env.close()


def test_spec_rebuilds_the_env_with_its_wrappers(fake_id):
    env = RecordEpisodeStatistics(gymnasium.make(fake_id, limits={"turns": 3}))
    spec = gymnasium.envs.registration.EnvSpec.from_json(env.spec.to_json())
    rebuilt = gymnasium.make(spec)
    assert isinstance(rebuilt, RecordEpisodeStatistics)
    assert rebuilt.unwrapped.limits.turns == 3


def test_record_episode_statistics(fake_id):
    env = RecordEpisodeStatistics(gymnasium.make(fake_id))
    env.reset()
    env.step(FIX)
    info = env.step(call("submit"))[4]
    assert (info["episode"]["r"], info["episode"]["l"]) == (1.0, 2)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_vector_envs(kind):
    makers = [make_env] * 3
    if kind == "sync":
        envs = SyncVectorEnv(makers, autoreset_mode=AutoresetMode.DISABLED)
    else:
        envs = AsyncVectorEnv(makers, shared_memory=False, autoreset_mode=AutoresetMode.DISABLED)
    try:
        openings, infos = envs.reset(seed=5)
        assert len(openings) == 3 and openings[0] == make_env().reset(seed=5)[0]
        envs.step((FIX, FIX, call("bash", command="true")))
        answers, rewards, terminated, _, infos = envs.step([call("submit")] * 3)
        assert answers[2][0]["content"] == "Submitted."
        assert rewards.tolist() == [1.0, 1.0, 0.0] and terminated.all()
        assert [verdict.resolved for verdict in infos["verdict"]] == [True, True, False]
        assert infos["stop_reason"].tolist() == ["submitted"] * 3
    finally:
        envs.close()


def test_an_env_can_be_pickled_before_its_first_episode():
    for dumps in (pickle.dumps, cloudpickle.dumps):
        env = pickle.loads(dumps(make_env(limits={"turns": 4})))
        env.reset()
        env.step(FIX)
        assert env.step(call("submit"))[1] == 1.0


def test_wrappers_can_reach_the_task_and_the_tools(fake_id):
    env = RecordEpisodeStatistics(gymnasium.make(fake_id))
    env.reset(options={"task": "two"})
    assert env.get_wrapper_attr("task").id == "two"
    assert len(env.get_wrapper_attr("tool_schemas")) == 7


def test_extraction_notes_come_before_the_graders():
    env = make_env(extract=lambda sandbox, task: Extraction("", ("x",)))
    env.reset()
    assert env.step(call("submit"))[4]["verdict"].notes == ("x",)
    assert extract(open_fake(), make_task("one")).notes

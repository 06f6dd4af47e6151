"""A real package, a real sandbox, the real grader, through `gymnasium.make`."""

import gymnasium
import pytest
from fake_episode import call

import swegym  # noqa: F401 (registers the ids)
from swegym.tasks import load_task_set
from swegym.tasks.build import build
from swegym.text import TextAction

TASK = "sqlparse-0.5.1-0.5.2"
pytestmark = pytest.mark.network


@pytest.fixture(scope="module")
def task(store):
    tasks = load_task_set("pypi")
    (result,) = build(tasks, [TASK])
    assert result.error is None
    return tasks.load(TASK)


@pytest.fixture
def env(task):
    env = gymnasium.make("swegym/PyPI-v0")
    env.reset(seed=0, options={"task": TASK})
    yield env
    env.close()


def test_the_reference_fix_applied_by_tool_calls_gets_reward_one(env, task):
    env.step(call("write", path="/tmp/fix.patch", content=task.gold_patch))
    applied = env.step(call("bash", command="git apply /tmp/fix.patch && git status --short"))[0][0]["content"]
    assert " M sqlparse/" in applied
    _, reward, terminated, truncated, info = env.step(call("submit"))
    assert (reward, terminated, truncated) == (1.0, True, False), info["verdict"].reason
    assert info["verdict"].resolved is True and "sqlparse/" in info["patch"]
    assert {info["verdict"].statuses[test] for test in task.hidden.fail_to_pass} == {"passed"}
    assert info["seconds"]["grade"] > info["seconds"]["reset"]


def test_doing_nothing_gets_reward_zero(env):
    _, reward, terminated, _, info = env.step(call("submit"))
    assert (reward, terminated, info["patch"], info["verdict"].resolved) == (0.0, True, "", False)
    assert info["verdict"].cause == "agent"


def test_an_unfinished_episode_is_graded_as_it_stands(task):
    env = gymnasium.make("swegym/PyPI-v0", limits={"turns": 2})
    env.reset(options={"task": TASK})
    env.step(call("write", path="/tmp/fix.patch", content=task.gold_patch))
    _, reward, terminated, truncated, info = env.step(call("bash", command="git apply /tmp/fix.patch"))
    assert (reward, terminated, truncated, info["stop_reason"]) == (1.0, False, True, "turns")


def test_every_tool_works_on_the_package_and_tells_nothing_of_the_hidden_tests(env, task):
    def say(tool, /, **arguments):
        return env.step(call(tool, **arguments))[0][0]["content"]

    assert "sqlparse/filters/others.py:" in say("search", pattern=r"class \w*Comments\w*", glob="*.py")
    assert "     1\t#" in say("read", path="sqlparse/__init__.py", lines=5)
    # By default a run has the visible tests only: they pass, although the package has the bug.
    shown = say("run_tests")
    assert " passed, " in shown.splitlines()[0] and "FAILED" not in shown
    hidden = task.hidden.fail_to_pass[0].split("::")[-1]
    assert "no match" in say("search", pattern=hidden)
    assert "passed" in say("run_tests", paths=["tests/test_split.py"]).splitlines()[0]
    # The edited package is what a command imports, from anywhere.
    say("edit", path="sqlparse/__init__.py", old="__version__ = '0.5.1'", new="__version__ = 'edited'")
    assert "edited" in say("bash", command="cd /tmp && python -c 'import sqlparse; print(sqlparse.__version__)'")
    assert "exit code" in say("bash", command="timeout 5 bash -c 'echo > /dev/tcp/1.1.1.1/53'")
    _, reward, *_ = env.step(call("submit"))
    assert reward == 0.0


def test_the_same_episode_in_plain_strings(env, task):
    text = TextAction(env)
    text.reset(options={"task": TASK})
    assert "sqlparse" in text.step("```bash\nls\n```")[0]
    text.step(f"```bash\ngit apply - <<'PATCH'\n{task.gold_patch}PATCH\n```")
    assert text.step('{"tool": "submit", "arguments": {}}')[1] == 1.0


def test_openings_of_two_envs_are_the_same(task):
    openings = []
    for _ in range(2):
        with gymnasium.make("swegym/PyPI-v0") as env:
            openings.append(env.reset(seed=7, options={"task": TASK})[0])
    assert openings[0] == openings[1]
    assert "optimizer hints" in openings[0][-1]["content"]


def test_two_at_once_in_worker_processes(task):
    envs = gymnasium.make_vec(
        "swegym/PyPI-v0",
        num_envs=2,
        vectorization_mode="async",
        vector_kwargs={"shared_memory": False, "autoreset_mode": gymnasium.vector.AutoresetMode.DISABLED},
    )
    try:
        envs.reset(options={"task": TASK})
        envs.step([call("write", path="/tmp/fix.patch", content=task.gold_patch)] * 2)
        envs.step([call("bash", command="git apply /tmp/fix.patch"), call("bash", command="true")])
        _, rewards, terminated, _, infos = envs.step([call("submit")] * 2)
        assert rewards.tolist() == [1.0, 0.0] and terminated.all()
        # Only the env that is done starts again; the other would go on where it is.
        envs.reset(options={"task": TASK, "reset_mask": terminated})
        assert infos["task"].tolist() == [TASK] * 2
    finally:
        envs.close()

"""A branch of an episode is the episode: the same files, turns, tokens, time and random state; then it is its own."""

import pickle
from pathlib import Path

import gymnasium
import pytest
from fake_episode import TaskList, call, extract, grade, make_env, make_task
from gymnasium.error import ResetNeeded

from swegym.errors import InputError
from swegym.guidance import GuidanceWrapper
from swegym.rollout import Record
from swegym.sandbox import open_sandbox
from swegym.types import Image, Sandbox, Snapshot, Task

WRONG = b"def add(a, b):\n    return a - b\n"
RIGHT = "def add(a, b):\n    return a + b\n"


class RealTasks(TaskList):
    def load(self, id: str) -> Task:
        task = make_task(id)
        return task.__class__(
            **{name: getattr(task, name) for name in task.__slots__} | {"image": Image("fork", "host")}
        )


def open_real(source: Image | Snapshot) -> Sandbox:
    box = open_sandbox(source)
    if isinstance(source, Image):
        box.write("a.py", WRONG)
    return box


@pytest.fixture(params=["fake", "real"])
def env(request: pytest.FixtureRequest):
    limits = {"turns": 5, "seconds": 600.0}
    if request.param == "fake":
        made = make_env(limits=limits)
    else:
        made = make_env(limits=limits, tasks=RealTasks("one", "two"), sandbox=open_real, extract=extract, grader=grade)
    yield made
    made.close()


def submit(env) -> tuple[float, dict]:
    _, reward, terminated, _, info = env.step(call("submit"))
    assert terminated
    return reward, info


def test_a_fork_goes_its_own_way_from_where_it_was_taken(env):
    env.reset(seed=3)
    env.step(call("bash", command="true"))
    other = env.fork()
    other.step(call("write", path="a.py", content=RIGHT))
    assert env.unwrapped._sandbox.read("/testbed/a.py") == WRONG
    reward, info = submit(other)
    assert (reward, info["turn"], info["task"]) == (1.0, 3, env.task.id)
    reward, info = submit(env)
    assert (reward, info["turn"]) == (0.0, 2)
    other.close()


def test_restoring_undoes_and_may_be_done_again_and_again(env):
    env.reset(seed=3)
    frozen = env.snapshot()
    for _ in range(2):
        assert env.restore(frozen)["turn"] == 0
        env.step(call("write", path="a.py", content=RIGHT))
        assert submit(env)[0] == 1.0
    env.restore(frozen)
    assert submit(env)[0] == 0.0


def test_limits_are_carried(env):
    env.reset(seed=3)
    for _ in range(3):
        env.step(call("bash", command="true"))
    env._deadline -= 200.0  # as if that much had passed
    frozen = env.snapshot()
    assert 200 <= frozen.elapsed < 260 and frozen.tokens == env._tokens > 0
    other = env.fork()
    assert 340 < other._deadline - env._deadline + 400 < 460
    other.step(call("bash", command="true"))
    *_, truncated, info = other.step(call("bash", command="true"))
    assert truncated and info["stop_reason"] == "turns" and info["turn"] == 5


def test_random_state_is_carried_and_then_apart(env):
    env.reset(seed=11)
    frozen = env.snapshot()
    drawn = [env.np_random.random() for _ in range(3)]
    other = env.fork()
    assert other.np_random.random() == env.np_random.random()
    env.restore(frozen)
    assert [env.np_random.random() for _ in range(3)] == drawn
    other.close()


def test_it_works_through_wrappers(env):
    wrapped: gymnasium.Env = Record(GuidanceWrapper(env))
    wrapped.reset(seed=3)
    frozen = wrapped.unwrapped.snapshot()
    wrapped.unwrapped.step(call("write", path="a.py", content=RIGHT))
    wrapped.unwrapped.restore(frozen)
    assert wrapped.step(call("submit"))[1] == 0.0


def test_another_env_goes_on_from_a_pickled_snapshot(env):
    env.reset(seed=3)
    env.step(call("write", path="a.py", content=RIGHT))
    frozen = env.snapshot()
    second = env.fork()
    second.close()
    if second.task.image.base == "host":  # what the fake one holds is in memory only
        frozen = pickle.loads(pickle.dumps(frozen))
    assert second.restore(frozen)["turn"] == 1
    assert submit(second)[0] == 1.0


def test_there_is_nothing_to_snapshot_without_an_episode(env):
    with pytest.raises(ResetNeeded):
        env.snapshot()
    env.reset()
    submit(env)
    with pytest.raises(ResetNeeded):
        env.fork()


def test_a_task_that_has_changed_is_refused(env):
    env.reset()
    frozen = env.snapshot()
    object.__setattr__(frozen, "task_digest", "other")
    with pytest.raises(InputError, match="has changed"):
        env.restore(frozen)


def test_the_page_shows_what_works(env, monkeypatch):
    page = (Path(__file__).parent.parent / "docs/gym.md").read_text("utf-8")
    code = page[page.index("## Branches") :].split("```python\n")[1].split("```")[0]
    monkeypatch.setattr("gymnasium.make", lambda identity: env)

    def student(messages, tools):
        return call("bash", command="true")

    def teacher(messages, tools):
        return call("write", path="a.py", content=RIGHT) if messages[-1]["role"] == "tool" else call("submit")

    names = {"student": student, "teacher": teacher}
    exec(code, names)
    assert names["better"] == 1.0 and names["worse"] == 0.0

"""Send and receive without a barrier: whoever is ready first is received first, and nothing is lost or mixed up."""

import threading

import gymnasium
import pytest
from fake_episode import call, make_env
from gymnasium.error import ResetNeeded

from swegym.errors import InputError
from swegym.vector import ReadyVectorEnv


class Gate(gymnasium.Wrapper):
    """An env whose steps wait until the gate is opened."""

    def __init__(self, env, opened):
        super().__init__(env)
        self.opened = opened

    def step(self, action):
        assert self.opened.wait(60)
        return self.env.step(action)


@pytest.fixture
def gates():
    return [threading.Event() for _ in range(3)]


@pytest.fixture
def envs(gates):
    with ReadyVectorEnv([lambda gate=gate: Gate(make_env(), gate) for gate in gates]) as made:
        made.reset(options=[{"task": name} for name in ("one", "two", "three")])
        assert sorted(ready.id for ready in made.recv(least=3)) == [0, 1, 2]
        yield made
        for gate in gates:
            gate.set()


def test_a_slow_env_holds_up_nobody(envs, gates):
    envs.send([call("bash", command="true")] * 3, [0, 1, 2])
    gates[2].set()
    assert [ready.id for ready in envs.recv()] == [2]
    envs.send([call("submit")], [2])
    (ready,) = envs.recv()
    assert (ready.id, ready.over, envs.busy) == (2, True, {0, 1})
    gates[0].set(), gates[1].set()
    assert sorted(ready.id for ready in envs.recv(least=2)) == [0, 1]


def test_answers_are_those_of_a_single_env(envs, gates):
    for gate in gates:
        gate.set()
    actions = [call("bash", command=f"echo {number}") for number in range(3)]
    envs.send(actions, [2, 0, 1])
    answers = {ready.id: ready for ready in envs.recv(least=3)}
    for action, id, name in zip(actions, [2, 0, 1], ["three", "one", "two"], strict=True):
        single = make_env()
        single.reset(options={"task": name})
        observation, reward, terminated, truncated, _ = single.step(action)
        ready = answers[id]
        assert (ready.observation, ready.reward, ready.terminated, ready.truncated) == (
            observation,
            reward,
            terminated,
            truncated,
        )
        assert ready.info["task"] == name


def test_a_run_of_many_episodes_ends_each(gates):
    for gate in gates:
        gate.set()
    with ReadyVectorEnv([make_env] * 3) as envs:
        envs.reset(seeds=[1, 2, 3])
        begun, ended = 3, []
        while envs.busy:
            for ready in envs.recv():
                if not ready.over:
                    envs.send([call("submit")], [ready.id])
                    continue
                ended.append(ready.info["verdict"].resolved)
                if begun < 20:
                    envs.reset([ready.id])
                    begun += 1
    assert ended == [False] * 20


def test_what_an_env_raises_is_raised_once_and_takes_no_answer_along(envs, gates):
    for gate in gates:
        gate.set()
    envs.send([call("submit")], [1])
    envs.recv()
    envs.send([call("submit")] * 3, [0, 1, 2])  # the episode of 1 is over
    received, raised = [], 0
    while envs.busy:
        try:
            received += [ready.id for ready in envs.recv()]
        except ResetNeeded as error:
            raised += 1
            assert error.__notes__ == ["in env 1 of a ReadyVectorEnv"]
    assert (sorted(received), raised) == ([0, 2], 1)
    envs.reset([1])
    assert [ready.id for ready in envs.recv()] == [1]


def test_a_timeout_returns_what_there_is(envs):
    envs.send([call("submit")], [0])
    assert envs.recv(timeout=0.05) == [] and envs.busy == {0}


def test_more_than_work_are_not_waited_for(envs, gates):
    gates[0].set()
    envs.send([call("submit")], [0])
    assert len(envs.recv(least=3)) == 1


@pytest.mark.parametrize(
    ("actions", "ids", "says"),
    [
        ([{}], [3], r"ids\[0\] = 3: there are envs 0 to 2"),
        ([{}], [-1], r"ids\[0\] = -1"),
        ([{}, {}], [1, 1], r"ids\[1\] = 1: named twice"),
        ([{}], [0], r"ids\[0\] = 0: that env is at work"),
        ([{}], [1, 2], "actions: 1 for 2 envs"),
    ],
)
def test_a_wrong_send_starts_nothing(envs, actions, ids, says):
    envs.send([call("submit")], [0])
    with pytest.raises(InputError, match=says):
        envs.send(actions, ids)
    assert envs.busy == {0}


def test_receiving_from_nobody_is_refused_rather_than_waited_for(envs):
    with pytest.raises(InputError, match="no env is at work"):
        envs.recv()
    with pytest.raises(InputError, match="at least one"):
        ReadyVectorEnv([])


def test_closing_ends_everything_and_twice_is_fine(gates):
    envs = ReadyVectorEnv([make_env] * 2)
    envs.reset()
    envs.recv(least=2)
    envs.close()
    envs.close()
    assert all(env._sandbox is None for env in envs.envs)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("env_")]
    with pytest.raises(InputError, match="closed"):
        envs.send([call("submit")], [0])

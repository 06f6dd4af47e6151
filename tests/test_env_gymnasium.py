"""The env as Gymnasium, its checkers, wrappers and vectors want it."""

import pickle
import warnings

import cloudpickle
import gymnasium
import pytest
from fake_episode import FIX, call, make_env
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import RecordEpisodeStatistics


@pytest.fixture(scope="module", autouse=True)
def fake_id():
    gymnasium.register("swegymtest/Fake-v0", "fake_episode:make_env", nondeterministic=True)
    yield "swegymtest/Fake-v0"
    gymnasium.registry.pop("swegymtest/Fake-v0")


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

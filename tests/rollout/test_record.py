"""What Record keeps of an episode, and what it refuses."""

import gymnasium
import pytest
from gymnasium.wrappers import TimeLimit
from toy_env import Tasks, extract, grade, student, task, toy_env

from swegym.errors import GuidanceError, InputError, RunError, SandboxUnavailable, UnknownName
from swegym.guidance import GuidanceWrapper
from swegym.policies import PolicyContext
from swegym.rollout import Record, rollout
from swegym.rollout.serialise import from_line, to_line
from swegym.sandbox.fake import FakeSandbox
from swegym.spaces import is_message
from swegym.types import Guidance

HINT = Guidance("toy", {"plan": "Write the number of the issue."}, False)


def act(number=1, **options):
    return student(PolicyContext(task(number).public(), 0, options))


def stack(**settings):
    return Record(GuidanceWrapper(toy_env(**settings)), policy="toy", policy_version="v1")


def test_an_episode_becomes_a_trajectory():
    trajectory = rollout(stack(), act(), task="number-1", seed=7, attempt=2)
    assert (trajectory.id, trajectory.task, trajectory.task_digest) == ("number-1__2", "number-1", "digest-1")
    assert (trajectory.policy, trajectory.policy_version, trajectory.seed) == ("toy", "v1", 7)
    assert trajectory.verdict.resolved is True
    assert trajectory.patch == "1"
    assert trajectory.stop_reason == "submitted"
    assert [m["role"] for m in trajectory.messages] == ["system", "user", "assistant", "tool", "assistant", "tool"]
    assert {schema["function"]["name"] for schema in trajectory.tools} >= {"write", "submit"}
    assert not trajectory.guided and trajectory.parent is None
    assert trajectory.created.endswith("+00:00")


def test_seconds_are_told_apart_by_phase():
    trajectory = rollout(stack(), act(seconds=0.05), task="number-1", seed=0)
    assert set(trajectory.seconds) == {"reset", "policy", "tools", "grade"}
    assert 0.1 <= trajectory.seconds["policy"] < 0.5
    assert trajectory.seconds["tools"] < 0.1


def test_the_policys_time_counts_without_rollout_too():
    env = Record(toy_env())
    env.reset(options={"task": "number-0"})
    env.step({"role": "assistant", "content": "", "tool_calls": []})
    with pytest.raises(RunError, match="not over"):
        _ = env.trajectory


def test_a_hint_is_in_the_record_marked_and_the_id_says_so():
    trajectory = rollout(stack(), act(plan="hint"), task="number-1", seed=0, guidance=HINT, parent="number-1__0")
    assert trajectory.id == "number-1__0g" and trajectory.parent == "number-1__0"
    assert trajectory.guidance == HINT and trajectory.verdict.resolved
    assert [m.get("extra", {}).get("source") for m in trajectory.messages[:3]] == [None, None, "guidance"]


def test_the_record_is_a_copy():
    messages = []

    def policy(conversation, tools):
        message = act()(conversation, tools)
        messages.append(message)
        return message

    trajectory = rollout(stack(), policy, task="number-1", seed=0)
    messages[0]["content"] = "changed afterwards"
    assert trajectory.messages[2]["content"] == "I write it."


@pytest.mark.parametrize(
    "said",
    [
        None,
        {"role": "tool", "tool_call_id": "c", "content": "all tests passed", "extra": {"usage": {}}},
        {"role": "assistant", "content": ["a", 1], "extra": None},
        {"role": "assistant", "content": "\ud800", "tool_calls": [{"id": 7, "function": {"arguments": {"a": 1}}}]},
    ],
    ids=repr,
)
def test_what_a_policy_said_is_kept_in_the_shape_of_a_message(said):
    """Not as a tool's answer, and not as what nobody could read who makes data of it."""
    env = stack(limits={"turns": 1})
    env.reset(options={"task": "number-1"})
    env.step(said)
    kept = env.trajectory.messages[2]
    assert is_message(kept, ("assistant",)) and from_line(to_line(env.trajectory), "here") == env.trajectory


def test_turns_that_run_out_are_graded():
    trajectory = rollout(stack(limits={"turns": 1}), act(), task="number-1", seed=0)
    assert trajectory.stop_reason == "turns" and trajectory.verdict.resolved is True


@pytest.mark.parametrize(
    ("plan", "cause", "stop"), [("provider", "provider", "policy"), ("boom", "grader", "submitted")]
)
def test_failures_that_are_not_the_agents_are_no_zero(plan, cause, stop):
    trajectory = rollout(stack(), act(plan=plan), task="number-1", seed=0)
    assert trajectory.verdict.resolved is None and trajectory.verdict.reward is None
    assert trajectory.verdict.cause == cause and trajectory.stop_reason == stop


def test_a_machine_that_does_not_open_is_the_sandboxs_failure():
    def broken(image):
        from swegym.errors import SandboxDied

        raise SandboxDied("gone")

    trajectory = rollout(stack(sandbox=broken), act(), task="number-1", seed=0, attempt=3)
    assert (trajectory.id, trajectory.verdict.cause, trajectory.messages) == ("number-1__3", "sandbox", ())


def test_a_host_that_can_run_nothing_ends_everything():
    def refused(image):
        raise SandboxUnavailable("no user namespaces")

    with pytest.raises(SandboxUnavailable):
        rollout(stack(sandbox=refused), act(), task="number-1", seed=0)


def test_wrong_input_and_bugs_raise():
    with pytest.raises(UnknownName):
        rollout(stack(), act(), task="number-9", seed=0)
    with pytest.raises(ZeroDivisionError):
        rollout(stack(), act(plan="crash"), task="number-1", seed=0)


def test_a_hint_needs_an_env_that_takes_one():
    with pytest.raises(GuidanceError, match="GuidanceWrapper"):
        rollout(Record(toy_env()), act(), task="number-1", seed=0, guidance=HINT)


def test_guidance_outside_record_is_refused():
    with pytest.raises(GuidanceError, match=r"Record\(GuidanceWrapper\(env\)\)"):
        GuidanceWrapper(Record(toy_env()))


@pytest.mark.parametrize(
    "wrap", [lambda env: Record(TimeLimit(env, 5)), lambda env: rollout_over(TimeLimit(Record(env), 5))]
)
def test_gymnasiums_time_limit_is_refused(wrap):
    with pytest.raises(InputError, match=r"limits\.turns"):
        wrap(toy_env())


def rollout_over(env):
    return rollout(env, act(), task="number-1", seed=0)


def test_a_limit_given_to_make_is_refused():
    gymnasium.register("swegym-test/Toy-v0", entry_point=toy_env)
    try:
        env = gymnasium.make("swegym-test/Toy-v0", max_episode_steps=5)
        with pytest.raises(InputError, match=r"limits\.turns"):
            Record(env)
    finally:
        del gymnasium.registry["swegym-test/Toy-v0"]


def test_the_stack_can_be_rebuilt_from_its_spec():
    gymnasium.register("swegym-test/Toy-v1", entry_point=toy_env)
    try:
        env = Record(GuidanceWrapper(gymnasium.make("swegym-test/Toy-v1")), policy="p")
        again = gymnasium.make(env.spec)
        assert isinstance(again, Record) and again.policy == "p"
    finally:
        del gymnasium.registry["swegym-test/Toy-v1"]


def test_any_env_with_the_same_attributes_will_do():
    from swegym.env import SWEEnv

    env = SWEEnv(Tasks(2), sandbox=FakeSandbox, grader=grade, extract=extract)
    assert rollout(env, act(), task="number-1", seed=0).verdict.resolved

"""Branches: an episode that takes over an earlier attempt's turns and goes on with a hint."""

import dataclasses

import pytest
import toy_env
from toy_env import Tasks, toy_config

from swegym.data.pairs import make_pairs
from swegym.data.steps import make_steps
from swegym.errors import GuidanceError
from swegym.guidance import GuidanceWrapper, guidance_message
from swegym.policies.messages import call, say
from swegym.rollout import Record, collect, rollout
from swegym.rollout.branch import find_branch, rollout_branch
from swegym.rollout.engines import Order, carry_out
from swegym.types import Guidance

HINT = Guidance("toy", {"plan": "Look at the issue again."}, False)


def student(context):
    """Reads, writes -1 and submits; once it has a hint it writes the right number and submits."""
    number = context.task.id.rpartition("-")[2]

    def act(messages, tools):
        turn = sum(message["role"] == "assistant" for message in messages)
        hints = [
            place for place, message in enumerate(messages) if message.get("extra", {}).get("source") == "guidance"
        ]
        if hints:
            own = sum(message["role"] == "assistant" for message in messages[hints[0] :])
            calls = [call("write", path=toy_env.ANSWER, content=number), call("submit")]
            return say("Now then.", calls[min(own, 1)], turn=turn)
        calls = [call("search", pattern="x"), call("write", path=toy_env.ANSWER, content="-1"), call("submit")]
        return say(f"Step {turn}.", calls[min(turn, 2)], turn=turn)

    return act


def make_env(**settings):
    return Record(GuidanceWrapper(toy_env.toy_env(**settings)), policy="p")


def policy(env, task="number-1"):
    from swegym.policies import PolicyContext

    return student(PolicyContext(Tasks(3).load(task).public(), seed=0, options={}))


@pytest.fixture
def failed():
    env = make_env()
    attempt = rollout(env, policy(env), task="number-1", seed=1)
    env.close()
    assert attempt.verdict.resolved is False and attempt.stop_reason == "submitted"
    return attempt


def roles(messages):
    return [(message["role"], bool(message.get("extra", {}).get("replayed"))) for message in messages]


@pytest.mark.parametrize(
    ("hint_at", "turns", "submitted"),
    [("takeover", 1, False), ("takeover:2", 2, False), ("takeover:9", 2, False), ("feedback", 3, True)],
)
def test_where_an_attempt_is_branched(failed, hint_at, turns, submitted):
    branch = find_branch(failed, hint_at)
    assert (branch.turns, branch.submitted) == (turns, submitted)


@pytest.mark.parametrize("hint_at", ["start", "takeover:0"])
def test_nothing_to_take_over_is_a_new_attempt(failed, hint_at):
    assert find_branch(failed, hint_at) is None


def test_what_was_never_submitted_gets_no_feedback(failed):
    assert find_branch(dataclasses.replace(failed, stop_reason="turns"), "feedback") is None


@pytest.mark.parametrize("hint_at", ["takeover", "feedback"])
def test_a_branch_goes_on_from_the_state_of_the_attempt(failed, hint_at):
    env = make_env()
    branch = find_branch(failed, hint_at)
    made = rollout_branch(env, policy(env), branch, HINT, seed=2)
    env.close()
    assert made.verdict.resolved is True and made.guided and made.id == "number-1__0g" and made.parent == "number-1__0"
    before = len(branch.messages)
    assert [message.get("content") for message in made.messages[:before]] == [
        message.get("content") for message in failed.messages[:before]
    ]
    assert roles(made.messages[2:before]) == [(message["role"], True) for message in failed.messages[2:before]]
    assert made.messages[before] == guidance_message(HINT, hint_at)
    assert not any(replayed for _, replayed in roles(made.messages[before:]))


def test_the_machine_is_where_the_attempt_left_it(failed):
    env = make_env()
    seen = []

    def look(messages, tools):
        seen.append(env.unwrapped._sandbox.read(f"/testbed/{toy_env.ANSWER}"))
        return say("Enough.", call("submit"), turn=9)

    rollout_branch(env, look, find_branch(failed, "takeover:2"), HINT, seed=2)
    env.close()
    assert seen == [b"-1"]


def test_a_snapshot_takes_the_place_of_repeating(failed):
    env, source = make_env(), toy_env.toy_env()
    source.reset(options={"task": "number-1"})
    source.step(failed.messages[2])
    frozen = source.snapshot()
    source.close()
    steps = []
    unwrapped = env.unwrapped.step
    env.unwrapped.step = lambda action: steps.append(action) or unwrapped(action)
    made = rollout_branch(env, policy(env), find_branch(failed, "takeover"), HINT, seed=2, snapshot=frozen)
    env.close()
    assert made.verdict.resolved is True and len(steps) == 2  # its own turns only


def test_an_answer_that_comes_out_otherwise_is_marked(failed):
    messages = list(failed.messages)
    place = next(place for place, message in enumerate(messages) if message["role"] == "tool")
    messages[place] = {**messages[place], "content": "something quite different"}
    env = make_env()
    changed = dataclasses.replace(failed, messages=tuple(messages))
    made = rollout_branch(env, policy(env), find_branch(changed, "takeover"), HINT, seed=2)
    env.close()
    assert made.messages[place]["content"] == "something quite different"
    assert made.messages[place]["extra"]["replayed_differently"] is True


def test_turns_that_end_the_episode_cannot_be_taken_over(failed):
    env = make_env(limits={"turns": 2})
    with pytest.raises(GuidanceError, match="nothing can follow"):
        rollout_branch(env, policy(env), find_branch(failed, "takeover:2"), HINT, seed=2)
    env.close()


def test_an_evaluation_takes_no_branch(failed):
    env = Record(GuidanceWrapper(toy_env.toy_env(), training=False))
    with pytest.raises(GuidanceError, match="while training"):
        rollout_branch(env, policy(env), find_branch(failed, "takeover"), HINT, seed=2)


def run(out, **fields):
    config = toy_config(out, policy=f"{__name__}:student", guide="on-failure", teacher="toy_env:teacher", **fields)
    return collect(config, make_env=toy_env.toy_env)


@pytest.mark.parametrize("hint_at", ["start", "takeover", "feedback"])
def test_a_run_puts_the_hint_where_it_is_told(tmp_path, hint_at):
    found = run(tmp_path / "run", hint_at=hint_at).trajectories()
    guided = [attempt for attempt in found if attempt.guided]
    assert len(guided) == 3 and all(attempt.verdict.resolved for attempt in guided)
    assert [sum(replayed for _, replayed in roles(attempt.messages)) > 0 for attempt in guided] == [
        hint_at != "start"
    ] * 3
    pairs, steps = make_pairs(found), make_steps(found)
    # Behind a submission the failure has no turn left that could be the other side.
    assert len(pairs) == (0 if hint_at == "feedback" else 3) and len(steps) == (3 if hint_at == "takeover" else 0)
    assert all(len(row["prompt"]) == {"start": 2, "takeover": 4}[hint_at] for row in pairs.rows)


def test_where_nothing_can_follow_the_hint_stands_at_the_start(failed, tmp_path):
    env = make_env(limits={"turns": 2})
    config = toy_config(tmp_path, policy=f"{__name__}:student", guide="on-failure")
    order = Order("number-1", 0, 2, HINT, failed.id, find_branch(failed, "takeover:2"))
    made = carry_out(env, config, order, Tasks(3).load("number-1"), lambda: None)
    assert made.guided and made.verdict.resolved and not any(replayed for _, replayed in roles(made.messages))


def test_a_budget_of_hints_holds_over_all_starts(tmp_path):
    first = run(tmp_path / "run", hint_budget=2)
    again = run(tmp_path / "run", hint_budget=2)
    for folder in (first, again):
        assert sum(attempt.guided for attempt in folder.trajectories()) == 2
    assert again.report()["hints_refused"] == {"budget": 1} and again.report()["hints"]["given"] == 2


def test_a_share_of_the_hints_is_drawn_and_stays_drawn(tmp_path):
    assert not any(attempt.guided for attempt in run(tmp_path / "none", hint_share=0.0).trajectories())
    some = {attempt.id for attempt in run(tmp_path / "a", hint_share=0.5).trajectories()}
    assert some == {attempt.id for attempt in run(tmp_path / "b", hint_share=0.5).trajectories()}

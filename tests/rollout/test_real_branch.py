"""A branch in real machines: the state of a failed attempt is carried out again, and the hint leads on from there."""

import pytest

from swegym.data.steps import make_steps
from swegym.env import SWEEnv
from swegym.guidance import is_guidance
from swegym.policies.messages import call, say, turns_taken
from swegym.rollout import RunConfig, collect
from tests import tiny_set

FILE = "tiny/numbers.py"


def student(context):
    """Edits the wrong thing and submits; with a hint it puts that back and repairs the bug."""

    def act(messages, tools):
        turn = turns_taken(messages)
        hints = [place for place, message in enumerate(messages) if is_guidance(message)]
        if not hints:
            plan = [
                call("run_tests"),
                call("edit", path=FILE, old="best = numbers[0]", new="best = numbers[-1]"),
                call("submit"),
            ]
            return say("I try something.", plan[min(turn, 2)], turn=turn)
        own = sum(message["role"] == "assistant" for message in messages[hints[0] :])
        plan = [
            call("bash", command=f"git diff --quiet || git checkout -q {FILE}"),
            call("edit", path=FILE, old="number < best", new="number > best"),
            call("submit"),
        ]
        return say("I follow what I find.", plan[min(own, 2)], turn=turn)

    return act


@pytest.mark.parametrize("hint_at", ["takeover", "feedback"])
def test_a_hint_inside_an_attempt_leads_on_from_its_state(hint_at, tmp_path):
    tasks = tiny_set.build(tiny_set.write(tmp_path)).select(["tiny-2"])
    config = RunConfig(
        tasks=str(tmp_path / "tiny"),
        patterns=("tiny-2",),
        policy=f"{__name__}:student",
        guide="on-failure",
        hint_at=hint_at,
        jobs=1,
        out=tmp_path / "run",
    )
    plain, guided = collect(config, make_env=lambda: SWEEnv(tasks)).trajectories()
    assert (plain.verdict.resolved, guided.verdict.resolved) == (False, True), guided.verdict.reason
    replayed = [message for message in guided.messages if message.get("extra", {}).get("replayed")]
    assert len(replayed) == {"takeover": 2, "feedback": 6}[hint_at]
    assert not any(message["extra"].get("replayed_differently") for message in replayed)
    rows = make_steps([plain, guided]).rows
    assert len(rows) == (1 if hint_at == "takeover" else 0)

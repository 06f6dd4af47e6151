"""The env with a hint in its opening."""

from typing import Any

import gymnasium
import pytest
from gymnasium.spaces import Text

from swegym.errors import GuidanceError
from swegym.guidance import GuidanceWrapper, without_guidance
from swegym.types import Guidance

GUIDANCE = Guidance("oracle", {"plan": "f misbehaves."}, True)
OPENING = [{"role": "system", "content": "s"}, {"role": "user", "content": "issue"}]


class Opening(gymnasium.Env):
    """Answers every reset with OPENING and keeps the options that reached it."""

    observation_space = action_space = Text(10)
    seen: Any = "nothing"

    def reset(self, *, seed=None, options=None):
        self.seen = options
        return list(OPENING), {"task": "t"}


def test_a_hint_ends_the_opening_and_nothing_else_changes():
    env = GuidanceWrapper(Opening())
    opening, info = env.reset(options={"task": "t", "guidance": GUIDANCE})
    assert opening[:-1] == OPENING == without_guidance(opening)
    assert info == {"task": "t", "guidance": GUIDANCE}
    assert env.unwrapped.seen == {"task": "t"}


@pytest.mark.parametrize("options", [None, {}, {"task": "t"}, {"task": "t", "guidance": None}])
def test_without_a_hint_nothing_is_added(options):
    assert GuidanceWrapper(Opening(), training=False).reset(options=options)[0] == OPENING


def test_an_evaluation_refuses_a_hint_before_anything_starts():
    env = GuidanceWrapper(Opening(), training=False)
    with pytest.raises(GuidanceError, match="evaluation"):
        env.reset(options={"guidance": GUIDANCE})
    assert env.unwrapped.seen == "nothing"


def test_a_hint_of_the_wrong_type_is_refused():
    with pytest.raises(GuidanceError, match="is a str"):
        GuidanceWrapper(Opening()).reset(options={"guidance": "look there"})

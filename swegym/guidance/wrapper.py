"""`GuidanceWrapper`: the env with a hint in its opening, when `reset` is handed one. Only while training."""

from __future__ import annotations

from typing import Any

import gymnasium
from gymnasium.utils import RecordConstructorArgs

from swegym.errors import GuidanceError
from swegym.guidance.message import guidance_message
from swegym.types import Guidance, Message


class GuidanceWrapper(gymnasium.Wrapper[list[Message], Message, list[Message], Message], RecordConstructorArgs):
    """Appends the hint of `reset(options={"guidance": Guidance(...)})` to the opening as one marked user message.

    Without a hint the env is passed through unchanged. With `training=False`, as for an evaluation, a hint raises
    `GuidanceError`. `info["guidance"]` of the reset is the hint or None. Put `Record` outside, never inside.
    """

    takes_guidance = True  # `rollout` looks for it before it hands in a hint

    def __init__(self, env: gymnasium.Env[list[Message], Message], *, training: bool = True) -> None:
        RecordConstructorArgs.__init__(self, training=training)
        super().__init__(env)
        if env.has_wrapper_attr("records_conversation"):
            raise GuidanceError(
                "GuidanceWrapper goes inside Record: Record(GuidanceWrapper(env)). "
                "The other way round the record would miss the hint that the policy saw."
            )
        self.training = training

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[list[Message], dict[str, Any]]:
        passed_on = dict(options or {})
        guidance = passed_on.pop("guidance", None)
        if guidance is not None and not isinstance(guidance, Guidance):
            raise GuidanceError(
                f"options['guidance'] is a {type(guidance).__name__}. Hand in a swegym.types.Guidance or nothing."
            )
        if guidance is not None and not self.training:
            raise GuidanceError(
                f"a hint of {guidance.teacher!r} was handed to an evaluation. Evaluate without hints, "
                "or make GuidanceWrapper(env, training=True) to collect training data."
            )
        hint = [] if guidance is None else [guidance_message(guidance)]
        opening, info = self.env.reset(seed=seed, options=passed_on or None)
        return [*opening, *hint], {**info, "guidance": guidance}

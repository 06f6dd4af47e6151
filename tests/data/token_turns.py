"""Trajectories with token ids, made by hand: each id says what it is (hundreds: which message)."""

import dataclasses

from swegym.guidance import guidance_message
from swegym.types import Guidance, Message, Trajectory, Verdict

HINT = Guidance("oracle", {"plan": "area in shapes.py misbehaves there."}, True)
SYSTEM: Message = {"role": "system", "content": "You fix bugs."}
ISSUE: Message = {"role": "user", "content": "<issue>\narea is wrong\n</issue>"}
ANSWER: Message = {"role": "tool", "tool_call_id": "c", "content": "written"}
PROMPT = [100, 101, 102]  # the plain opening
HINT_IDS = [900, 901]


def spoken(output: list[int], **extra) -> Message:
    """An assistant message that sampled `output`; log-probs are minus the id over a thousand."""
    logprobs = [-token / 1000 for token in output]
    return {
        "role": "assistant",
        "content": f"said {output}",
        "extra": {"token_ids": output, "logprobs": logprobs} | extra,
    }


def trajectory(
    *messages: Message, resolved: bool | None = True, guidance: Guidance | None = None, **fields
) -> Trajectory:
    values = {
        "id": "t__0",
        "task": "t",
        "set": "s",
        "task_digest": "d",
        "attempt": 0,
        "policy": "p",
        "policy_version": "v",
        "seed": 0,
        "messages": messages,
        "tools": (),
        "patch": "p",
        "verdict": Verdict(resolved, None if resolved else "agent" if resolved is False else "sandbox", ""),
        "stop_reason": "submitted",
        "seconds": {},
        "guidance": guidance,
    }
    return Trajectory(**(values | fields))


def plain(**fields) -> Trajectory:
    """Two turns in one sequence."""
    first = spoken([200, 201], prompt_token_ids=PROMPT, temperature=0.7, policy_version="v3")
    second = spoken([400], context_token_ids=[300, 301], temperature=0.7, policy_version="v3")
    return trajectory(SYSTEM, ISSUE, first, ANSWER, second, **fields)


def guided(**fields) -> Trajectory:
    """The same with a hint between the issue and the generation prompt (102)."""
    first = spoken([200, 201], prompt_token_ids=[100, 101, *HINT_IDS, 102], guidance_span=[2, 4])
    second = spoken([400], context_token_ids=[300, 301])
    return trajectory(SYSTEM, ISSUE, guidance_message(HINT), first, ANSWER, second, guidance=HINT, **fields)


def with_extra(trajectory: Trajectory, number: int, **changes) -> Trajectory:
    """`trajectory` with other values in the extra of its `number`th assistant message; None removes one."""
    messages = list(trajectory.messages)
    place = [place for place, message in enumerate(messages) if message["role"] == "assistant"][number]
    extra = {key: value for key, value in {**messages[place]["extra"], **changes}.items() if value is not None}
    messages[place] = {**messages[place], "extra": extra}
    return dataclasses.replace(trajectory, messages=tuple(messages))

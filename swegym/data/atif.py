"""An attempt in the Agent Trajectory Interchange Format (ATIF), which viewers and other trainers read.

One step for each message of system, user and policy; what answered a policy's calls is the observation of its step.
Hints stay, marked in `extra`: this is the record of what happened. Arguments that are no JSON object, which the format
cannot hold, are kept as text in the call's `extra`.
"""

from __future__ import annotations

import json
from typing import Any

from swegym.messages import calls_of
from swegym.types import Message, ToolCall, Trajectory

VERSION = "ATIF-v1.8"

_METRICS = {"token_ids": "completion_token_ids", "prompt_token_ids": "prompt_token_ids", "logprobs": "logprobs"}


def to_atif(trajectory: Trajectory) -> dict[str, Any]:
    """The trajectory as an ATIF document."""
    from swegym import __version__

    steps: list[dict[str, Any]] = []
    for message in trajectory.messages:
        if message["role"] == "tool" and steps and steps[-1]["source"] == "agent":
            _observe(steps[-1], message)
        else:
            steps.append({"step_id": len(steps) + 1, **_step(message)})
    metrics = [step["metrics"] for step in steps if "metrics" in step]
    return {
        "schema_version": VERSION,
        "session_id": trajectory.id,
        "trajectory_id": trajectory.id,
        "agent": {
            "name": trajectory.policy or "unknown",
            "version": trajectory.policy_version or __version__,
            "tool_definitions": list(trajectory.tools),
        },
        "steps": steps,
        "final_metrics": {
            "total_prompt_tokens": sum(step.get("prompt_tokens") or 0 for step in metrics),
            "total_completion_tokens": sum(step.get("completion_tokens") or 0 for step in metrics),
            "total_steps": len(steps),
        },
        "extra": {
            "task": trajectory.task,
            "task_digest": trajectory.task_digest,
            "set": trajectory.set,
            "reward": trajectory.verdict.reward,
            "resolved": trajectory.verdict.resolved,
            "cause": trajectory.verdict.cause,
            "stop_reason": trajectory.stop_reason,
            "guided": trajectory.guided,
            "parent": trajectory.parent,
            "seed": trajectory.seed,
            "seconds": dict(trajectory.seconds),
            "patch": trajectory.patch,
        },
    }


def _step(message: Message) -> dict[str, Any]:
    extra = message.get("extra", {})
    source = {"system": "system", "assistant": "agent"}.get(message["role"], "user")
    step: dict[str, Any] = {"source": source, "message": message.get("content") or ""}
    if extra.get("source"):
        step["extra"] = {"source": extra["source"]}
    if source != "agent":
        return step
    if extra.get("replayed"):
        step["is_copied_context"] = True
    calls = calls_of(message)
    if calls:
        step["tool_calls"] = [_call(call, number) for number, call in enumerate(calls)]
    usage = extra.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    metrics = {
        name: usage[name] for name in ("prompt_tokens", "completion_tokens") if isinstance(usage.get(name), int)
    } | {ours: extra[key] for key, ours in _METRICS.items() if isinstance(extra.get(key), list)}
    if metrics:
        step["metrics"] = metrics
    return step


def _call(call: ToolCall, number: int) -> dict[str, Any]:
    """A call with an id of its own and arguments that are an object, whatever the policy wrote."""
    function = call["function"]
    try:
        arguments = json.loads(function["arguments"])
    except (TypeError, ValueError, RecursionError):
        arguments = None
    made: dict[str, Any] = {
        "tool_call_id": call["id"] or f"call_{number}",
        "function_name": str(function["name"]),
        "arguments": arguments if isinstance(arguments, dict) else {},
    }
    if not isinstance(arguments, dict):
        made["extra"] = {"raw_arguments": str(function["arguments"])}
    return made


def _observe(step: dict[str, Any], answer: Message) -> None:
    """Put the answer to a call into the observation of the step that made it."""
    results = step.setdefault("observation", {"results": []})["results"]
    ids = [call["tool_call_id"] for call in step.get("tool_calls", ())]
    asked = answer.get("tool_call_id") or (ids[len(results)] if len(results) < len(ids) else "")
    result = {"content": answer.get("content") or ""}
    results.append({"source_call_id": asked, **result} if asked in ids else result)

"""Any model that litellm reaches, with tool calling: providers, and any server that speaks OpenAI's protocol.

What the model answers is passed on as it is, be it several tool calls, none, or broken ones: the environment explains.
Failures of the server are tried again by `swegym.model_request`; what does not pass becomes a `ProviderError`.

`extra` of each message: finish_reason, usage (tokens), cost (dollars, None where no price is known), seconds; elided
where outputs were left out. With `token_ids`, of servers that return them (vLLM and the like): token_ids, logprobs,
prompt_token_ids or context_token_ids, guidance_span, as the hf policy keeps them.
"""

from __future__ import annotations

import math
import time
from importlib.util import find_spec
from typing import Any

from pydantic import Field, model_validator

from swegym.config import validate
from swegym.errors import InputError
from swegym.guidance import is_guidance, without_guidance
from swegym.messages import carried
from swegym.model_request import ContextExceeded, Requesting, complete, cost_of
from swegym.policies import PolicyContext
from swegym.policies.context import outputs_of, outputs_to_elide, without_outputs
from swegym.policies.messages import call, say, turns_taken
from swegym.policies.prompt_ids import known_ids, span_between
from swegym.policies.spending import DEFAULT_LIMIT, charge, check_spending
from swegym.types import Message, Policy, ToolCall, ToolSchema

SHARE = 0.75  # of a conversation that was too long, what is left of it
_ROUNDING = 1e-3  # by which a log-prob may be above 0


class Options(Requesting):
    temperature: float | None = None
    max_tokens: int | None = None
    """Of one answer."""
    seeded: bool = False
    """Send the episode's seed along; not every server takes one."""
    max_cost: float | None = Field(DEFAULT_LIMIT, ge=0)
    """Dollars that one start of a run may cost, where the model has a price; 0 for no limit."""
    context_tokens: int | None = Field(None, ge=16)
    """Tokens that a conversation may have, for servers that cut it silently; others refuse, and that is enough."""
    token_ids: bool = False
    """Ask for token ids and log-probs, and keep them. Samples at temperature 1 with nothing cut off."""
    version: str | None = None
    """Names the weights that the server has, for `extra`."""

    @model_validator(mode="after")
    def _exact(self) -> Options:
        if self.token_ids and self.temperature not in (None, 1.0):
            raise ValueError("with token_ids the temperature is 1, since servers report log-probs at 1; leave it out")
        return self


def policy(context: PolicyContext) -> Policy:
    options = validate(Options, context.options, "options of policy litellm")
    if find_spec("litellm") is None:
        raise InputError("policy litellm needs litellm. Install swegym with its extra: swegym[llm].")

    def act(messages: list[Message], tools: list[ToolSchema]) -> Message:
        started = time.monotonic()
        elided = max((message.get("extra", {}).get("elided", 0) for message in messages), default=0)
        elided = _foreseen(messages, elided, options)
        while True:
            check_spending(options.max_cost)
            shown = without_outputs(messages, elided)
            try:
                response = complete(_request(shown, tools, options, context.seed), options)
                break
            except ContextExceeded:
                if not outputs_of(messages) and not turns_taken(messages):
                    raise  # the opening alone is too long, which no episode can help
                fewer = _fewer(messages, elided)
                if fewer is None:
                    ending = say("The conversation has outgrown the model.", call("submit"), turn=turns_taken(messages))
                    return {**ending, "extra": {"finish_reason": "context"}}
                elided = fewer
        message = received(response)
        cost = _paid(response, options)
        extra = {**message.get("extra", {}), "cost": cost, "seconds": time.monotonic() - started}
        extra |= {"elided": elided} if elided else {}
        extra |= _tokens(response, shown, tools, options) if options.token_ids else {}
        message["extra"] = extra
        return message

    return act


def _request(messages: list[Message], tools: list[ToolSchema], options: Options, seed: int) -> dict[str, Any]:
    request: dict[str, Any] = {"messages": [sendable(message) for message in messages]}
    request |= {"tools": tools} if tools else {}
    request |= {"temperature": options.temperature} if options.temperature is not None else {}
    request |= {"max_tokens": options.max_tokens} if options.max_tokens is not None else {}
    request |= {"seed": seed} if options.seeded else {}
    if options.token_ids:
        # A server may cut off improbable tokens by default, and then its log-probs are not those of what it samples.
        request |= {"temperature": 1.0, "top_p": 1.0, "logprobs": True}
        request |= {"extra_body": {"return_token_ids": True, "top_k": -1}}
    return request


def sendable(message: Message) -> dict[str, Any]:
    """The message as a server may see it: without `extra`."""
    return {key: value for key, value in message.items() if key != "extra"}


def received(response: Any) -> Message:
    """The first choice of a litellm response as a `Message`; tool calls keep their argument text exactly.

    But for halves of surrogate pairs: no request can carry one, and so a model could end its episode unjudged.
    """
    reply = response.choices[0].message
    message: Message = {"role": "assistant", "content": carried(str(reply.content or ""))}
    calls: list[ToolCall] = [
        {
            "id": carried(str(one.id or f"call_{index}")),
            "type": "function",
            "function": {
                "name": carried(str(getattr(one.function, "name", None) or "")),
                "arguments": carried(str(getattr(one.function, "arguments", None) or "")),
            },
        }
        for index, one in enumerate(reply.tool_calls or [])
        if hasattr(one, "function")  # a call of another kind was not asked for
    ]
    if calls:
        message["tool_calls"] = calls
    usage = getattr(response, "usage", None)
    message["extra"] = {
        "finish_reason": response.choices[0].finish_reason,
        "usage": {
            "prompt_tokens": _count(getattr(usage, "prompt_tokens", None)),
            "completion_tokens": _count(getattr(usage, "completion_tokens", None)),
        },
    }
    reasoning = getattr(reply, "reasoning_content", None)
    if reasoning:
        message["extra"]["reasoning"] = reasoning
    return message


def _count(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None


def _paid(response: Any, options: Options) -> float | None:
    cost = cost_of(response, options.model)
    charge(cost or 0.0)
    return cost


# --- conversations that grow too long ---------------------------------------------------------------------------------


def _characters(messages: list[Message]) -> int:
    return sum(len(message.get("content") or "") + len(str(message.get("tool_calls") or "")) for message in messages)


def _fewer(messages: list[Message], elided: int) -> int | None:
    """How many outputs to elide so that the conversation shrinks to `SHARE`; all of them where that is not enough."""
    most = SHARE * _characters(without_outputs(messages, elided))
    needed = outputs_to_elide(messages, lambda shorter: _characters(shorter) <= most, elided + 1)
    if needed is None:
        needed = len(outputs_of(messages))
    return needed if needed > elided else None


def _foreseen(messages: list[Message], elided: int, options: Options) -> int:
    """Elide more where the tokens that the server counted, and those since, will not fit into `context_tokens`."""
    if options.context_tokens is None:
        return elided
    room = options.context_tokens - (options.max_tokens or options.context_tokens // 8)

    def estimated(shorter: list[Message]) -> float:
        return _characters(shorter) / 3  # few tokenizers need more than one for three characters of code

    counted = 0.0
    for index in range(len(messages) - 1, -1, -1):
        usage = messages[index].get("extra", {}).get("usage") or {}
        if isinstance(usage.get("prompt_tokens"), int):
            counted = usage["prompt_tokens"] + (usage.get("completion_tokens") or 0)
            counted += estimated(messages[index + 1 :])
            break
    counted = counted or estimated(messages)
    if counted <= room:
        return elided
    needed = outputs_to_elide(messages, lambda shorter: estimated(shorter) <= room * SHARE, elided + 1)
    return len(outputs_of(messages)) if needed is None else needed


# --- token ids of servers that return them ----------------------------------------------------------------------------


def _tokens(response: Any, shown: list[Message], tools: list[ToolSchema], options: Options) -> dict[str, Any]:
    """What of contract and trainers' `extra` the response holds; `tokens_missing` says why there is nothing."""
    sampled = sampled_tokens(response)
    if isinstance(sampled, str):
        return {"tokens_missing": sampled}
    prompt, ids, logprobs = sampled
    mark = f"{options.model} at {options.api_base}"
    known = known_ids(shown, mark)
    going_on = known is not None and tuple(prompt[: len(known.ids)]) == known.ids
    start = len(known.ids) if known is not None and going_on else 0
    new = shown[known.turn + 1 :] if known is not None and going_on else shown
    extra: dict[str, Any] = {
        "token_ids": ids,
        "logprobs": logprobs,
        "temperature": 1.0,
        "policy_version": options.version or options.model,
        "tokenizer": mark,
        "context_token_ids" if going_on else "prompt_token_ids": prompt[start:],
    }
    if not going_on and turns_taken(shown):
        extra["restart"] = "template" if known is not None else "history"
    if any(is_guidance(message) for message in new):
        unhinted = [*shown[: len(shown) - len(new)], *without_guidance(new)]
        plain = _plain_prompt(unhinted, tools, options)
        span = span_between(prompt, plain) if plain is not None else None
        if span is None or span[0] < start:
            return {"tokens_missing": "the server's ids do not show which of them are the hint's"}
        extra["guidance_span"] = [span[0] - start, span[1] - start]
    return extra


def sampled_tokens(response: Any) -> tuple[list[int], list[int], list[float]] | str:
    """Prompt ids, sampled ids and their log-probs in a response, or why they are not there."""
    choice = response.choices[0]
    prompt = getattr(response, "prompt_token_ids", None)
    ids = (getattr(choice, "provider_specific_fields", None) or {}).get("token_ids") or getattr(
        choice, "token_ids", None
    )
    content = getattr(getattr(choice, "logprobs", None), "content", None)
    if not prompt or not ids or not content:
        given = {"prompt_token_ids": prompt, "token_ids": ids, "logprobs": content}
        missing = [name for name, value in given.items() if not value]
        return f"the server returned no {' and no '.join(missing)}"
    if not all(isinstance(some, list) and all(type(id) is int and id >= 0 for id in some) for some in (prompt, ids)):
        return "the server returned token ids that are none"
    logprobs = [float(one.logprob) for one in content]
    if not all(-math.inf < logprob <= _ROUNDING for logprob in logprobs):
        return "the server returned log-probs that are none"  # one that is no number would be the loss's, too
    if len(logprobs) != len(ids):
        return f"the server returned {len(logprobs)} log-probs for {len(ids)} tokens"
    return prompt, ids, logprobs


def _plain_prompt(messages: list[Message], tools: list[ToolSchema], options: Options) -> list[int] | None:
    """The server's ids of a prompt, at the price of one sampled token; None where it returns none this time."""
    request = _request(messages, tools, options, 0) | {"max_tokens": 1}
    response = complete(request, options)
    _paid(response, options)
    ids = getattr(response, "prompt_token_ids", None)
    return list(ids) if isinstance(ids, list) and ids else None

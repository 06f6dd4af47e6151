"""Any model that litellm reaches, with tool calling.

What the model answers is passed on as it is, be it several tool calls, none, or broken ones: the environment explains.
Failures of the server are retried here and nowhere else, by cause; what does not pass becomes a `ProviderError`.
"""

from __future__ import annotations

import os
import time
from typing import Any, Literal

from swegym.config import Config, validate
from swegym.errors import ProviderError
from swegym.policies import PolicyContext
from swegym.types import Message, Policy, ToolCall, ToolSchema


class Options(Config):
    model: str
    """As litellm names it, e.g. "anthropic/claude-sonnet-4-5" or "openai/my-model" together with `api_base`."""
    api_base: str | None = None
    """Address of an OpenAI-compatible server."""
    temperature: float | None = None
    max_tokens: int | None = None
    request_seconds: float = 600.0
    """How long one request may take."""
    attempts: int = 6
    """Requests at most per turn, the first included."""
    backoff_seconds: float = 1.0
    """First pause between attempts; it doubles, up to a minute."""
    seeded: bool = False
    """Send the episode's seed along; not every server takes one."""


REMEDIES: dict[str, str] = {
    "AuthenticationError": "Set the provider's key in the environment, e.g. OPENAI_API_KEY.",
    "PermissionDeniedError": "The key may not use this model; use another key or model.",
    "NotFoundError": "No such model there; correct `model` or `api_base`.",
    "ContextWindowExceededError": "The conversation outgrew the model; lower limits.tokens or take another model.",
    "BadRequestError": "The server refuses the request as it is; correct `model` and the other options.",
    "RateLimitError": "Run fewer jobs at once, or raise `attempts`.",
    "Timeout": "Raise `request_seconds`, or see whether the server is overloaded.",
    "InternalServerError": "See that the server runs, that `api_base` is right, and what its log says.",
    "APIConnectionError": "See that the server runs and that `api_base` is right.",
}


def policy(context: PolicyContext) -> Policy:
    options = validate(Options, context.options, "options of policy litellm")

    def act(messages: list[Message], tools: list[ToolSchema]) -> Message:
        started = time.monotonic()
        request: dict[str, Any] = {
            "model": options.model,
            "messages": [sendable(message) for message in messages],
            "timeout": options.request_seconds,
            **({"tools": tools} if tools else {}),
            **{
                key: value
                for key in ("api_base", "temperature", "max_tokens")
                if (value := getattr(options, key)) is not None
            },
            **({"seed": context.seed} if options.seeded else {}),
        }
        response = _complete(request, options)
        message = received(response)
        message["extra"] = {**message.get("extra", {}), "seconds": time.monotonic() - started}
        return message

    return act


def sendable(message: Message) -> dict[str, Any]:
    """The message as a server may see it: without `extra`."""
    return {key: value for key, value in message.items() if key != "extra"}


def received(response: Any) -> Message:
    """The first choice of a litellm response as a `Message`; tool calls keep their argument text exactly."""
    reply = response.choices[0].message
    message: Message = {"role": "assistant", "content": reply.content or ""}
    calls: list[ToolCall] = [
        {
            "id": call.id or f"call_{index}",
            "type": "function",
            "function": {"name": call.function.name or "", "arguments": call.function.arguments or ""},
        }
        for index, call in enumerate(reply.tool_calls or [])
    ]
    if calls:
        message["tool_calls"] = calls
    usage = getattr(response, "usage", None)
    message["extra"] = {
        "finish_reason": response.choices[0].finish_reason,
        "usage": {
            "prompt_tokens": getattr(usage, "prompt_tokens", None),
            "completion_tokens": getattr(usage, "completion_tokens", None),
        },
    }
    return message


def cause_of(error: Exception) -> Literal["retry", "abort"]:
    """Whether trying again can help: yes for rate limits, timeouts, connections and 5xx; no for the rest."""
    import litellm.exceptions as known

    passing = (
        known.RateLimitError,
        known.Timeout,
        known.APIConnectionError,
        known.InternalServerError,
        known.ServiceUnavailableError,
        known.BadGatewayError,
    )
    if isinstance(error, passing):
        return "retry"
    status = getattr(error, "status_code", None)
    return "retry" if isinstance(status, int) and status >= 500 else "abort"


def _complete(request: dict[str, Any], options: Options) -> Any:
    # litellm otherwise fetches its price list from the network while it is imported.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    import litellm
    import openai
    import tenacity

    litellm.suppress_debug_info = True  # it prints advertisements on errors
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(lambda error: isinstance(error, Exception) and cause_of(error) == "retry"),
        stop=tenacity.stop_after_attempt(options.attempts),
        wait=tenacity.wait_exponential(multiplier=options.backoff_seconds, max=60.0)
        + tenacity.wait_random(0.0, options.backoff_seconds),
        reraise=True,
    )
    try:
        # Its handler of MCP tools, which are not ours, needs a package that litellm does not bring along.
        return retrying(litellm.completion, **request, num_retries=0, max_retries=0, _skip_mcp_handler=True)
    except openai.OpenAIError as error:  # the base of every error that litellm raises for a provider
        raise provider_error(error, options) from error


def provider_error(error: Exception, options: Options) -> ProviderError:
    name = type(error).__name__
    remedy = REMEDIES.get(name, "See the server's log.")
    where = f" at {options.api_base}" if options.api_base else ""
    tried = f" after {options.attempts} attempts" if cause_of(error) == "retry" else ""
    return ProviderError(f"model {options.model}{where}: {name}{tried}: {str(error)[:500]}. {remedy}")

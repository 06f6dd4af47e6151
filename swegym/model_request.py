"""One request to a model through litellm: sent, tried again by cause, its failure told with a remedy, its cost.

Policies and teachers ask in this way, and nothing else tries a request again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from swegym.config import Config
from swegym.errors import InputError, ProviderError
from swegym.model_client import ready

DENIED = (401, 403, 404)  # status codes of a key or a model that is none, which no later request changes
LONGEST_WAIT = 60.0  # seconds between two attempts, unless the server asks for more
ASKED_WAIT = 300.0  # seconds that a server may ask for


class Requesting(Config):
    """How requests are sent."""

    model: str
    """As litellm names it, e.g. "anthropic/claude-sonnet-4-5", or "hosted_vllm/my-model" together with `api_base`."""
    api_base: str | None = None
    """Address of an OpenAI-compatible server."""
    request_seconds: float = Field(600.0, gt=0)
    """How long one request may take."""
    attempts: int = Field(6, ge=1)
    """Requests at most for one answer, the first included."""
    backoff_seconds: float = Field(1.0, ge=0)
    """First pause between attempts; it doubles, up to a minute. A server's Retry-After counts if it is longer."""


REMEDIES: dict[str, str] = {
    "AuthenticationError": "Set the provider's key in the environment, e.g. OPENAI_API_KEY.",
    "NotFoundError": "No such model there; correct `model` or `api_base`.",
    "ContextWindowExceededError": "The conversation outgrew the model; lower limits.tokens or take another model.",
    "BadRequestError": "The server refuses the request as it is; correct `model` and the other options.",
    "RateLimitError": "Run fewer jobs at once, or raise `attempts`.",
    "Timeout": "Raise `request_seconds`, or see whether the server is overloaded.",
    "InternalServerError": "See that the server runs, that `api_base` is right, and what its log says.",
    "APIConnectionError": "See that the server runs and that `api_base` is right.",
}
DENIAL = "The key may not use this model; use another key or model."


class ContextExceeded(ProviderError):
    """The server says that the conversation is longer than its model can take."""


def complete(
    request: dict[str, Any],
    options: Requesting,
    *,
    whose: str = "model",
    remedies: Mapping[str, str] = REMEDIES,
) -> Any:
    """Litellm's response, which has a choice. An error says `whose` model it is.

    Raises:
        ContextExceeded: The conversation is longer than the model can take.
        InputError: The server denies access to the model, as it will for every request: a run stops.
        ProviderError: Anything else that does not pass.
    """
    litellm = ready()
    import openai
    import tenacity

    pause = tenacity.wait_exponential(multiplier=options.backoff_seconds, max=LONGEST_WAIT) + tenacity.wait_random(
        0.0, options.backoff_seconds
    )

    def wait(state: tenacity.RetryCallState) -> float:
        return max(pause(state), asked_wait(state.outcome.exception() if state.outcome else None))

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(lambda error: isinstance(error, Exception) and cause_of(error) == "retry"),
        stop=tenacity.stop_after_attempt(options.attempts),
        wait=wait,
        reraise=True,
    )
    model = {"model": options.model} | ({"api_base": options.api_base} if options.api_base else {})
    try:
        # Its handler of MCP tools, which are not ours, needs a package that litellm does not bring along.
        response = retrying(
            litellm.completion,
            timeout=options.request_seconds,
            num_retries=0,
            max_retries=0,
            _skip_mcp_handler=True,
            **(model | request),
        )
    except openai.OpenAIError as error:  # the base of every error that litellm raises for a provider
        raise provider_error(error, options, whose, remedies) from error
    if not response.choices:
        raise ProviderError(f"{whose} {options.model}: its server answered without a choice. See the server's log.")
    return response


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


def asked_wait(error: BaseException | None) -> float:
    """Seconds that the server asked to be left alone for (Retry-After), within reason; 0.0 where it did not."""
    response = getattr(error, "response", None)
    headers = getattr(error, "litellm_response_headers", None) or getattr(response, "headers", None) or {}
    try:
        return min(max(float(headers.get("retry-after") or 0.0), 0.0), ASKED_WAIT)
    except (TypeError, ValueError):
        return 0.0  # a date, which this clock may not share


def provider_error(
    error: Exception, options: Requesting, whose: str, remedies: Mapping[str, str]
) -> InputError | ProviderError:
    name = type(error).__name__
    denied = getattr(error, "status_code", None) in DENIED
    remedy = remedies.get(name, DENIAL if denied else "See the server's log.")
    where = f" at {options.api_base}" if options.api_base else ""
    tried = f" after {options.attempts} attempts" if cause_of(error) == "retry" else ""
    kind: type[InputError] | type[ProviderError] = InputError if denied else ProviderError
    if name == "ContextWindowExceededError":
        kind = ContextExceeded
    return kind(f"{whose} {options.model}{where}: {name}{tried}: {str(error)[:500]}. {remedy}")


def cost_of(response: Any, model: str) -> float | None:
    """Dollars that a response cost, by litellm's price list; None where the model has no price."""
    import litellm

    try:
        return float(litellm.completion_cost(completion_response=response, model=model))
    except Exception:  # litellm raises several kinds, a bare Exception among them, for a model it has no price of
        return None

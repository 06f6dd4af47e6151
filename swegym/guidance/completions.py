"""A completion: one answer of a model to a teacher's request, through litellm. Cached by content, within a budget.

The cache is keyed by the whole request and by how many times it was asked before, so that a rerun costs nothing and
asking again still asks. What `swegym.model_request` tries again in vain is a `ProviderError`, or where no request can
pass, for want of a key or a model, an `InputError`.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import threading
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import pydantic

from swegym import paths
from swegym.errors import InputError
from swegym.guidance.asking import NoHint
from swegym.model_request import REMEDIES, Requesting, complete, cost_of
from swegym.types import Message

_REMEDIES = REMEDIES | {
    "BadRequestError": "The server refuses the request as it is; see that `structured` suits it and `model` is right."
}


class ModelOptions(Requesting):
    request_seconds: float = pydantic.Field(120.0, gt=0)
    attempts: int = pydantic.Field(4, ge=1)
    temperature: float | None = None
    max_tokens: int = pydantic.Field(1000, ge=1)
    """Longest answer."""
    structured: Literal["schema", "object", "text"] = "schema"
    """How the server is told to answer in JSON: by a schema, as any object, or only in words."""
    max_calls: int | None = pydantic.Field(None, ge=0)
    """Requests of one start of a run; cached answers are free."""
    max_cost: float | None = pydantic.Field(None, ge=0)
    """Dollars of one start of a run, by litellm's price list."""
    cache: bool = True
    """Keep answers on disk, in the store."""


@dataclass(frozen=True, slots=True)
class Completion:
    text: str
    refused: bool = False
    cut: bool = False  # it ran into max_tokens
    cached: bool = False


class Completes(Protocol):
    """Whatever answers a teacher's request."""

    def complete(self, messages: list[Message], *, asked: int = 0, schema: dict[str, Any] | None = None) -> Completion:
        """The model's answer; `asked` tells a repeated request from its first."""
        ...


class Completer:
    """Asks one model. Any thread may."""

    def __init__(self, options: ModelOptions) -> None:
        self.options = options
        self.calls = 0
        self.cost = 0.0
        self._lock = threading.Lock()

    def complete(self, messages: list[Message], *, asked: int = 0, schema: dict[str, Any] | None = None) -> Completion:
        """The model's answer; `asked` tells a repeated request from its first.

        Raises:
            NoHint: The budget is spent.
            InputError: The server denies access to the model, as it will for every request.
            ProviderError: The server failed, refuses the request, or took too long.
        """
        request = self._request(messages, schema)
        kept = _kept(request, asked) if self.options.cache else None
        if kept is not None:
            return kept
        self._spend()
        # Whatever of these a model does not take, litellm leaves out.
        whole = {**request, "drop_params": True}
        response = complete(whole, self.options, whose="teacher's model", remedies=_REMEDIES)
        self._charge(response)
        choice = response.choices[0]
        completion = Completion(
            choice.message.content or "",
            refused=_refusal(choice.message) or choice.finish_reason == "content_filter",
            cut=choice.finish_reason == "length",
        )
        if self.options.cache:
            _keep(request, asked, completion)
        return completion

    def _request(self, messages: list[Message], schema: dict[str, Any] | None) -> dict[str, Any]:
        request: dict[str, Any] = {
            "model": self.options.model,
            "messages": [dict(message) for message in messages],
            "max_tokens": self.options.max_tokens,
        }
        for name in ("api_base", "temperature"):
            if (value := getattr(self.options, name)) is not None:
                request[name] = value
        if schema is not None and self.options.structured == "schema":
            described = {"name": "hint", "strict": True, "schema": schema}
            request["response_format"] = {"type": "json_schema", "json_schema": described}
        elif schema is not None and self.options.structured == "object":
            request["response_format"] = {"type": "json_object"}
        return request

    def _spend(self) -> None:
        with self._lock:
            most, price = self.options.max_calls, self.options.max_cost
            if most is not None and self.calls >= most:
                raise NoHint("budget", f"the teacher's {most} calls are used up")
            if price is not None and self.cost >= price:
                raise NoHint("budget", f"the teacher's ${price:g} are spent")
            self.calls += 1

    def _charge(self, response: Any) -> None:
        cost = cost_of(response, self.options.model)
        if cost is None and self.options.max_cost:
            raise InputError(
                f"teacher_options.max_cost: no price is known for {self.options.model}. Set max_calls instead."
            )
        with self._lock:
            # It follows from what the server says it counted.
            self.cost += cost if cost is not None and 0.0 <= cost < math.inf else 0.0


def _refusal(message: Any) -> bool:
    """Whether the message says that it is a refusal; litellm keeps what it does not know beside the message."""
    unknown = getattr(message, "provider_specific_fields", None) or {}
    return bool(getattr(message, "refusal", None) or unknown.get("refusal"))


def _kept(request: dict[str, Any], asked: int) -> Completion | None:
    file = _file(request, asked)
    try:
        row = json.loads(file.read_text("utf-8"))
        return Completion(row["text"], row["refused"], row["cut"], cached=True)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        file.unlink(missing_ok=True)  # a crash of an older file system left half of it: ask anew
        return None


def _keep(request: dict[str, Any], asked: int, completion: Completion) -> None:
    file = _file(request, asked)
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f"{file.name}.{os.getpid()}.{threading.get_ident()}")
    row = {"text": completion.text, "refused": completion.refused, "cut": completion.cut, "model": request["model"]}
    temporary.write_text(json.dumps(row), "utf-8")
    temporary.replace(file)


def _file(request: dict[str, Any], asked: int) -> Any:
    key = json.dumps([request, asked], sort_keys=True)
    return paths.answers() / f"{hashlib.sha256(key.encode()).hexdigest()}.json"

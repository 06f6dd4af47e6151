"""A local model from a folder that transformers saved, sampled token by token, with every id and log-prob kept.

All episodes of a process share one engine for a model and are batched. What was sampled is never tokenised again: each
prompt goes on from the ids before it (see hf_prompt). Sampling is at temperature 1 and cuts nothing off, so that the
log-probs are those of the policy itself. When the conversation outgrows the context, its oldest tool outputs are
elided; when that does not help, the episode ends by submitting what there is.

`extra` of each message: token_ids, logprobs, temperature, policy_version, prompt_token_ids or context_token_ids,
guidance_span where there is a hint in them, restart (why a prompt began anew), elided (tool outputs left out),
tokenizer (marks what the ids mean), finish_reason, usage, seconds.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from pydantic import Field

from swegym.config import Config, validate
from swegym.errors import InputError
from swegym.policies import PolicyContext
from swegym.policies.chat_templates import chosen_template
from swegym.policies.messages import call, say, turns_taken
from swegym.policies.tool_calls import find_parser, format_of, message_of
from swegym.types import Message, Policy, ToolSchema


class Options(Config):
    model: Path
    """Folder with the model, its tokenizer and chat template, as save_pretrained leaves it."""
    temperature: float = Field(1.0, ge=0.0, le=10.0)
    """0 takes the likeliest token."""
    max_new_tokens: int = Field(1024, ge=1)
    """Of one turn."""
    context: int | None = Field(None, ge=16)
    """Tokens that a conversation may have; the model's own limit if left out."""
    tool_calls: str = "auto"
    """How the model writes calls: hermes, coder, llama, mistral, text, or auto, which follows from its template."""
    chat_template: str | None = None
    """Use one of our templates (qwen3, coder, compact, llama3, mistral) or a file instead of the model's own."""
    version: str | None = None
    """Names the weights in `extra`; the folder's name if left out."""
    device: str = "auto"
    dtype: str = "auto"
    batching: str = "rows"
    """rows, where the episode's seed decides what is sampled; or continuous, faster on a GPU."""
    rows: int = Field(32, ge=1)
    """Turns sampled at once, at most."""
    kept_tokens: int = Field(65536, ge=0)
    """Keys and values of so many tokens of earlier turns are kept to go on from."""


def policy(context: PolicyContext) -> Policy:
    try:
        import torch  # noqa: F401
        import transformers  # noqa: F401
    except ImportError as error:
        raise InputError(f"policy hf needs {error.name}. Install swegym with its extra: swegym[train].") from None
    from swegym.policies.hf_engine import Request, shared_engine
    from swegym.policies.hf_prompt import Prompter
    from swegym.policies.hf_template import ChatTemplate

    options = validate(Options, context.options, "options of policy hf")
    engine = shared_engine(
        options.model,
        **options.model_dump(include={"device", "dtype", "batching", "rows", "kept_tokens", "version"}),
    )
    source = chosen_template(options.chat_template)
    with engine.words:
        written = source or engine.tokenizer.chat_template or ""
    form = format_of(written) if options.tool_calls == "auto" else options.tool_calls
    parser = find_parser(form)
    ends = engine.ends.values()
    template = ChatTemplate(engine.tokenizer, engine.origin, takes_tools=form != "text", source=source, ends=ends)
    prompter = Prompter(template, engine.ends, engine.mark)
    limit = min(options.context or engine.context, engine.context)

    def act(messages: list[Message], tools: list[ToolSchema]) -> Message:
        started = time.monotonic()
        turn = turns_taken(messages)
        most = min(options.max_new_tokens, limit // 2)
        with engine.words:
            prompt = prompter.prompt(messages, tools, limit - most)
        if prompt is None:
            ending = say("The conversation has outgrown the model's context.", call("submit"), turn=turn)
            nothing: dict[str, Any] = {"token_ids": [], "logprobs": [], "guidance_span": [0, 0]}
            nothing["context_token_ids" if turn else "prompt_token_ids"] = []
            return {**ending, "extra": {"finish_reason": "context", **nothing}}
        sampled = engine.sample(Request(prompt.ids, context.seed * 1_000_003 + turn, options.temperature, most))
        written = sampled.ids[:-1] if sampled.finish == "stop" else sampled.ids
        with engine.words:
            text = template.decode(written)
        opened = "<think>\n" if prompt.text.rstrip().endswith("<think>") else ""
        message = message_of(opened + text, parser, tools, turn=turn)
        extra: dict[str, Any] = {
            "token_ids": list(sampled.ids),
            "logprobs": list(sampled.logprobs),
            "temperature": options.temperature,
            "policy_version": sampled.version,
            "tokenizer": engine.mark,
            "finish_reason": sampled.finish,
            "usage": {"prompt_tokens": len(prompt.ids), "completion_tokens": len(sampled.ids)},
            "seconds": time.monotonic() - started,
        }
        if prompt.added is None:
            extra["prompt_token_ids"] = list(prompt.ids)
        else:
            extra["context_token_ids"] = list(prompt.added)
        extra |= {"guidance_span": list(prompt.span)} if prompt.span else {}
        extra |= {"restart": prompt.restart} if prompt.restart else {}
        extra |= {"elided": prompt.elided} if prompt.elided else {}
        message["extra"] = extra
        return message

    return act

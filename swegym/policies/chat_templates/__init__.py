"""Chat templates of our own: how a conversation with tools becomes text, in the shapes that model families are used to.

Each marks what the assistant wrote with `{% generation %}`, so that a trainer can mask everything else. All but
`forgetful` are prefix-preserving: a further turn never changes how earlier ones read. `forgetful` drops the reasoning
of earlier turns, as templates of reasoning models do.

    qwen3      ChatML; calls as JSON between <tool_call> and </tool_call> (Hermes, Qwen 2.5, Qwen 3)
    coder      ChatML; calls as <function=...><parameter=...> between those marks (Qwen3-Coder, Qwen 3.5)
    llama3     header tokens; a call is the whole message, as JSON with "parameters" (Llama 3.1)
    mistral    [INST] and [TOOL_CALLS] with a JSON list (Mistral, Ministral)
    compact    a token for each role, a line for each tool, and calls as in qwen3: for models trained from scratch
    forgetful  as qwen3, but reasoning is kept only after the last user message
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from swegym.errors import InputError, UnknownName

NAMES = ("coder", "compact", "forgetful", "llama3", "mistral", "qwen3")


def read_template(name: str) -> str:
    """The Jinja source of a template, for `tokenizer.chat_template`."""
    if name not in NAMES:
        raise UnknownName.among("chat template", name, NAMES)
    return resources.files(__name__).joinpath(f"{name}.jinja").read_text("utf-8")


def chosen_template(name: str | None) -> str | None:
    """The source that the option `chat_template` means: a name of ours or a file; None for the model's own."""
    if name is None:
        return None
    if name in NAMES:
        return read_template(name)
    try:
        return Path(name).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        remedy = f"Use one of {', '.join(NAMES)}, or a file."
        raise InputError.at("options of policy hf", "chat_template", name, str(error), remedy) from None

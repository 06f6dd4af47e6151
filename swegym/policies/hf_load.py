"""Reading a model folder of transformers: checked before anything heavy, quiet, and never from the network."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from swegym.errors import InputError

DTYPES = ("auto", "float32", "bfloat16", "float16")


def check_folder(folder: Path) -> None:
    """Raise `InputError` unless `folder` looks like what `save_pretrained` leaves."""
    if not folder.is_dir():
        raise InputError.at("options of policy hf", "model", str(folder), "no such folder", "Name a model's folder.")
    for name, made_by in (("config.json", "model"), ("tokenizer.json", "tokenizer")):
        if not (folder / name).is_file():
            raise InputError(f"{folder}: no {name} in it. Save the {made_by} there with save_pretrained.")
    try:
        json.loads((folder / "config.json").read_text("utf-8"))
    except ValueError as error:
        raise InputError(f"{folder}/config.json: not valid JSON: {error}. Save the model again.") from None


def load_model(folder: Path, device: str, dtype: str) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    if dtype not in DTYPES:
        raise InputError.at("options of policy hf", "dtype", dtype, "no such type", f"Use one of {', '.join(DTYPES)}.")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise InputError.at("options of policy hf", "device", device, "there is no CUDA here", 'Use "cpu" or "auto".')
    kind: Any = dtype if dtype == "auto" else getattr(torch, dtype)
    with _quietly():
        try:
            model = AutoModelForCausalLM.from_pretrained(folder, dtype=kind, local_files_only=True)
        except (OSError, ValueError, RuntimeError) as error:
            raise InputError(f"{folder}: not a model that transformers can load: {error}. Save it again.") from error
    return model.to(device)


def load_tokenizer(folder: str | Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, local_files_only=True)


def put_weights(model: Any, folder: Path, mark: str) -> None:
    """Copy the weights of a folder into `model`, which stays the same object on the same device."""
    from transformers import AutoModelForCausalLM

    if tokenizer_mark(load_tokenizer(folder)) != mark:
        raise InputError(f"{folder}: its tokenizer differs from the one in use. Start a new engine for it.")
    with _quietly():
        fresh = AutoModelForCausalLM.from_pretrained(folder, dtype=model.dtype, local_files_only=True)
    copy_weights(model, fresh.state_dict(), str(folder))


def copy_weights(model: Any, weights: Mapping[str, Any], origin: str) -> None:
    """Copy tensors into `model` by name. Raises InputError, and changes nothing, where names or shapes differ."""
    import torch

    own = model.state_dict()
    shapes = {name: tuple(value.shape) for name, value in own.items()}
    if {name: tuple(value.shape) for name, value in weights.items()} != shapes:
        raise InputError(f"{origin}: another architecture than the model in use. Start a new engine for it.")
    with torch.no_grad():
        for name, value in own.items():
            value.copy_(weights[name])


def end_tokens(model: Any, tokenizer: Any) -> dict[int, str]:
    """The tokens that end a turn, by id: those of the model's generation config and of its tokenizer."""
    named = [getattr(config, "eos_token_id", None) for config in (model.generation_config, model.config, tokenizer)]
    ids: set[int] = set()
    for one in named:
        ids.update(one if isinstance(one, list | tuple) else [one] if one is not None else [])
    if not ids:
        raise InputError("the model names no token that ends a turn. Set eos_token_id in its generation_config.json.")
    return {one: str(tokenizer.decode([one], skip_special_tokens=False)) for one in sorted(ids)}


def tokenizer_mark(tokenizer: Any) -> str:
    """A short digest that tells tokenizers apart by what ids mean."""
    words = json.dumps(sorted(tokenizer.get_vocab().items()), ensure_ascii=True)
    return hashlib.sha256(words.encode()).hexdigest()[:16]


@contextmanager
def _quietly() -> Iterator[None]:
    """Without progress bars, which belong to the terminal's owner."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()

"""A model to train: loaded from a `save_pretrained` folder, made to score a batch's trained tokens, and saved again.

`TokenScorer` gives the log-probability of every trained token, `RewardScorer` one score for each sequence. Both run the
backbone on a batch, pick the hidden states that matter, and only then apply a head.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from swegym.config import Config
from swegym.errors import InputError, RunError
from swegym.train.attention import ATTENTION, register
from swegym.train.batch import Batch
from swegym.train.head import token_entropies, token_logps
from swegym.train.measure import Shape, shape_of


class LoraConfig(Config):
    rank: int = Field(16, ge=1)
    alpha: float = Field(32.0, gt=0)
    targets: tuple[str, ...] | str = "all-linear"
    """Names of the layers that get an adapter, or all-linear."""


class ModelConfig(Config):
    """How a model is loaded and run."""

    dtype: str = Field("auto", pattern="^(auto|bfloat16|float32)$")
    """Of the computation; auto is bfloat16 on a GPU and float32 elsewhere. Weights are updated in float32."""
    attention: str = Field("auto", pattern="^(auto|segments|sdpa)$")
    """segments packs rows and shares beginnings; sdpa pads, and works with every model."""
    checkpointing: bool = True
    """Keep only each layer's input and compute the rest again in the backward pass."""
    lora: LoraConfig | None = None
    """Train adapters of low rank instead of all weights."""
    threads: int = Field(0, ge=0)
    """Of a CPU, for one operation; 0 leaves it to torch. A model of a few million weights is fastest with 1."""


@dataclass(slots=True)
class Loaded:
    """A model with its tokenizer. `module` may be wrapped by adapters; `base` is the plain transformers model."""

    folder: Path
    module: nn.Module
    tokenizer: Any
    device: torch.device
    dtype: torch.dtype
    packing: bool
    lora: bool
    shape: Shape
    score: bool = False

    @property
    def base(self) -> Any:
        return self.module.get_base_model() if self.lora else self.module

    @property
    def vocabulary(self) -> int:
        return int(self.base.get_input_embeddings().weight.shape[0])

    @property
    def padding(self) -> int:
        return int(self.tokenizer.pad_token_id or 0)


def load_model(folder: str | Path, config: ModelConfig, *, device: torch.device, score: bool = False) -> Loaded:
    """Load a folder for training; with `score`, as a model with one score in the place of the language-model head."""
    import transformers

    path = Path(folder)
    if not (path / "config.json").is_file():
        raise InputError(f"{path}: no model folder (no config.json). Name what `save_pretrained` wrote.")
    register()
    if config.threads:
        torch.set_num_threads(config.threads)
    dtype = _dtype(config.dtype, device)
    settings = transformers.AutoConfig.from_pretrained(path)
    packing = config.attention != "sdpa" and _can_pack(settings)
    if config.attention == "segments" and not packing:
        raise InputError.at(
            path / "config.json",
            "layer_types",
            _layer_types(settings),
            "layers with a window or a state of their own cannot be packed",
            "Set attention = 'sdpa', which pads.",
        )
    kind = transformers.AutoModelForSequenceClassification if score else transformers.AutoModelForCausalLM
    extra = {"num_labels": 1} if score else {}
    attention = ATTENTION if packing else "sdpa"
    tokenizer = transformers.AutoTokenizer.from_pretrained(path)
    try:
        module = kind.from_pretrained(path, dtype=dtype, attn_implementation=attention, **extra)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: cannot be loaded: {error}. Name a folder with config, weights and tokenizer."
        ) from error
    if module.config.pad_token_id is None:
        module.config.pad_token_id = tokenizer.pad_token_id
    _refuse_scaled_logits(settings, path)
    _without_dropout(module)
    module.to(device).train()
    module.config.use_cache = False
    plain = module
    if config.lora is not None:
        module = _with_adapters(module, config.lora, score=score)
    if config.checkpointing:
        enable_checkpointing(plain)
    shape = shape_of(plain, frozen=config.lora is not None)
    return Loaded(path, module, tokenizer, device, dtype, packing, config.lora is not None, shape, score)


def enable_checkpointing(model: Any) -> None:
    """Under the name that this transformers has: activation_ from 5.20 or so on, gradient_ before."""
    arguments = {"use_reentrant": False}
    if callable(getattr(model, "activation_checkpointing_enable", None)):
        model.activation_checkpointing_enable(activation_checkpointing_kwargs=arguments)
    else:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=arguments)


def _dtype(name: str, device: torch.device) -> torch.dtype:
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    return {"bfloat16": torch.bfloat16, "float32": torch.float32}[name]


def _layer_types(settings: Any) -> list[str]:
    text = settings.get_text_config()
    return sorted(set(getattr(text, "layer_types", None) or ["full_attention"]))


def _can_pack(settings: Any) -> bool:
    """A window is left to the attention to refuse, since it matters only to rows that are longer."""
    return set(_layer_types(settings)) <= {"full_attention", "sliding_attention"}


def _refuse_scaled_logits(settings: Any, path: Path) -> None:
    text = settings.get_text_config()
    for field in ("final_logit_softcapping", "logit_scale", "logits_scaling"):
        value = getattr(text, field, None)
        if value not in (None, 1, 1.0):
            raise InputError.at(
                path / "config.json",
                field,
                value,
                "this model scales its logits, which the chunked head does not",
                "Use another model.",
            )


def _without_dropout(model: nn.Module) -> None:
    """Log-probabilities are compared between passes, so a pass must not draw anything."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if isinstance(getattr(module, "attention_dropout", None), float):
            module.attention_dropout = 0.0


def _with_adapters(model: Any, lora: LoraConfig, *, score: bool) -> nn.Module:
    import warnings

    import peft

    targets = lora.targets if isinstance(lora.targets, str) else list(lora.targets)
    if "lm_head" in targets:
        raise InputError(
            "lora.targets names lm_head: the head is applied in blocks and takes no adapter. Leave it out."
        )
    task = peft.TaskType.SEQ_CLS if score else peft.TaskType.CAUSAL_LM
    settings = peft.LoraConfig(
        r=lora.rank, lora_alpha=lora.alpha, target_modules=targets, task_type=task, lora_dropout=0.0
    )
    with warnings.catch_warnings():
        # peft asks transformers under a name that is about to go.
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
        made: nn.Module = peft.get_peft_model(model, settings)
    return made


class TokenScorer(nn.Module):
    """Log-probabilities of a batch's trained tokens, in fp32, shape (N,)."""

    def __init__(self, loaded: Loaded, *, temperature: float = 1.0) -> None:
        super().__init__()
        self.module = loaded.module
        self._base = (loaded.base,)  # in a tuple, so that its weights are not registered twice
        self.temperature = temperature

    def forward(self, batch: Batch) -> Tensor:
        return token_logps(self.hidden(batch), self.head_weight(), batch.targets_N, temperature=self.temperature)

    def head_weight(self) -> Tensor:
        head = self._base[0].get_output_embeddings()
        if getattr(head, "bias", None) is not None:
            raise InputError("this model's head has a bias, which the chunked head does not add. Use another model.")
        weight: Tensor = head.weight
        return weight

    def hidden(self, batch: Batch) -> Tensor:
        """The hidden states that predict the trained tokens, shape (N, D)."""
        return backbone_states(self._base[0], batch)[batch.places_N]

    def entropies(self, batch: Batch) -> Tensor:
        with torch.no_grad():
            return token_entropies(self.hidden(batch), self.head_weight(), temperature=self.temperature)


class RewardScorer(nn.Module):
    """One score for each sequence, read at its last trained token, in fp32, shape (S,)."""

    def __init__(self, loaded: Loaded) -> None:
        super().__init__()
        self.module = loaded.module
        self._base = (loaded.base,)

    def forward(self, batch: Batch) -> Tensor:
        hidden_SD = backbone_states(self._base[0], batch)[batch.ends_S]
        scores: Tensor = self._base[0].score(hidden_SD)
        return scores[:, 0].float()


def backbone_states(base: Any, batch: Batch) -> Tensor:
    """Last hidden states of all tokens, flat: (B * T, D)."""
    extra = {} if batch.segments is None else {"segments": batch.segments}
    out = base.base_model(
        input_ids=batch.ids_BT, position_ids=batch.positions_BT, attention_mask=None, use_cache=False, **extra
    )
    states: Tensor = out.last_hidden_state
    return states.flatten(0, 1)


def model_hash(folder: Path) -> str:
    """Over the weights and the configuration of a model folder: what decides its log-probabilities."""
    digest = hashlib.sha256()
    settings = json.loads((folder / "config.json").read_text("utf-8"))
    for unimportant in ("transformers_version", "_name_or_path", "dtype", "torch_dtype", "use_cache"):
        settings.pop(unimportant, None)
    digest.update(json.dumps(settings, sort_keys=True).encode())
    for file in sorted([*folder.glob("*.safetensors"), *folder.glob("pytorch_model*.bin")]):
        with file.open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()


def save_model(loaded: Loaded, folder: Path) -> None:
    """Write model and tokenizer as a plain folder; adapters are merged into it and kept beside it in adapter/.

    The folder is whole or not there.
    """
    from safetensors import SafetensorError

    new = folder.with_name(folder.name + ".new")
    shutil.rmtree(new, ignore_errors=True)
    try:
        module: Any = loaded.module
        if loaded.lora:
            module.save_pretrained(new / "adapter")
            module = module.merge_and_unload()
        attention = module.config._attn_implementation
        module.config._attn_implementation = "sdpa"  # ours is known to this process only
        module.config.use_cache = True
        module.save_pretrained(new)
        module.config._attn_implementation = attention
        loaded.tokenizer.save_pretrained(new)
    except (OSError, RuntimeError, SafetensorError) as error:  # what the three libraries make of a full disk
        shutil.rmtree(new, ignore_errors=True)
        raise RunError(f"{folder}: cannot be written: {error}. Free some space; the same command goes on.") from error
    if folder.exists():
        shutil.rmtree(folder)
    new.rename(folder)

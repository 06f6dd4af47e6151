"""Tokens per second, MFU and peak memory of SFT and DPO, ours and TRL's, on the same model, rows and device.

    python benchmarks/train.py                                     # on a GPU: 0.5B, 1.7B and 4B at 2k, 8k and 32k
    python benchmarks/train.py --models 4b --lengths 32768 --peers none
    python benchmarks/train.py --rows runs/big/pairs.jsonl         # lengths and masks of these pairs, token ids needed
    python benchmarks/train.py --tiny                              # anywhere, to see that it runs

Models have random weights in the shape of Qwen3. Rows are of random ids. Their lengths and masks are those of a file of
pairs with token ids, or of a made-up profile, which the results say: a fifth of a pair is the common opening, turns of
60 to 400 tokens alternate between policy and tools, 40 % of the tokens are the policy's, and sides are between a
quarter of the length and all of it. Each length is a limit: profiles fill it, rows of a file are cut to it.

Tokens are those of both sides of a pair, openings counted twice, without padding: the work that was asked for, however
it is done. Reference passes are outside of the measurement on both sides. MFU is ours by swegym/train/measure.py,
against the maker's figure and against the matrix product measured here. The first step of each run is not counted.
Results go to benchmarks/results/train.json, and are kept run by run, so that a piece can be measured at a time.
"""

from __future__ import annotations

import argparse
import gc
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import write_results
from rich.console import Console
from rich.table import Table

from swegym.train import common, optimiser, parallel
from swegym.train.attention import ATTENTION, register
from swegym.train.batch import Row
from swegym.train.dpo import Dpo, DpoConfig
from swegym.train.measure import peak_of, shape_of
from swegym.train.model import Loaded, TokenScorer, enable_checkpointing
from swegym.train.reading import Pair, lines_of
from swegym.train.sft import Sft, SftConfig

# hidden, intermediate, layers, heads, key-value heads, head width; tied embeddings as in the models of these sizes
MODELS = {
    "tiny": (64, 128, 2, 4, 2, 16),
    "0.5b": (1024, 3072, 28, 16, 8, 64),
    "1.7b": (2048, 6144, 28, 16, 8, 128),
    "4b": (2560, 9728, 36, 32, 8, 128),
}
VOCABULARY = {"tiny": 1000}


def make_config(name: str, length: int) -> Any:
    from transformers import Qwen3Config

    hidden, intermediate, layers, heads, groups, width = MODELS[name]
    return Qwen3Config(
        vocab_size=VOCABULARY.get(name, 151_936),
        hidden_size=hidden,
        intermediate_size=intermediate,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=groups,
        head_dim=width,
        max_position_embeddings=max(length, 4096),
        tie_word_embeddings=True,
        eos_token_id=1,
        pad_token_id=0,
        bos_token_id=None,
    )


def profile(count: int, length: int, vocabulary: int, seed: int = 0) -> list[Pair]:
    """Pairs of the made-up profile."""
    draw = np.random.default_rng(seed)

    def side(opening: np.ndarray[Any, Any], total: int) -> Row:
        mask = np.zeros(total, dtype=np.bool_)
        place, speaks = len(opening), True
        while place < total:
            turn = int(draw.integers(60, 400) * (0.8 if speaks else 1.2) * min(1.0, length / 2048))
            mask[place : place + max(2, turn)] = speaks
            place, speaks = place + max(2, turn), not speaks
        ids = np.concatenate([opening, draw.integers(2, vocabulary, total - len(opening))]).astype(np.int32)
        return Row(ids, mask)

    pairs = []
    for number in range(count):
        opening = draw.integers(2, vocabulary, length // 5).astype(np.int32)
        totals = [int(total) for total in draw.integers(length // 4 + 1, length + 1, 2)]
        pairs.append(Pair(side(opening, totals[0]), side(opening, totals[1]), f"pair {number}"))
    return pairs


def pairs_of(file: Path, count: int, length: int, vocabulary: int) -> list[Pair]:
    """Lengths, masks and common beginnings of a file's pairs, cut to `length`; ids are folded into the vocabulary."""
    found = []
    for name, line in lines_of([file]):
        sides = []
        for which in ("chosen_tokens", "rejected_tokens"):
            tokens = line.get(which)
            if tokens is None:
                raise SystemExit(f"{name}: {which} is missing; a benchmark needs token ids")
            ids = np.asarray(tokens["ids"][:length], dtype=np.int64) % vocabulary
            sides.append(Row(ids.astype(np.int32), np.asarray(tokens["mask"][:length], dtype=np.bool_)))
        if all(side.mask.any() for side in sides):
            found.append(Pair(sides[0], sides[1], name))
        if len(found) == count:
            break
    return found


def matmul_ceiling(device: torch.device) -> float:
    """Operations per second of a large product of matrices in the dtype of training, best of several."""
    size, dtype = (8192, torch.bfloat16) if device.type == "cuda" else (512, torch.float32)
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(8):
        _wait(device)
        began = time.perf_counter()
        for _ in range(4):
            a @ b
        _wait(device)
        best = min(best, (time.perf_counter() - began) / 4)
    return 2 * size**3 / best


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def random_model(name: str, length: int, device: torch.device, dtype: torch.dtype, attention: str) -> Any:
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    with torch.device(device):
        return AutoModelForCausalLM.from_config(
            make_config(name, length), dtype=dtype, attn_implementation=attention
        ).train()


def ours(kind: str, name: str, length: int, pairs: list[Pair], steps: int, device: torch.device) -> dict[str, Any]:
    """Our trainer's own step, as `swegym train` runs it."""
    register()
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    model = random_model(name, length, device, dtype, ATTENTION)
    enable_checkpointing(model)
    loaded = Loaded(Path(), model, None, device, dtype, packing=True, lora=False, shape=shape_of(model))
    scorer, world = TokenScorer(loaded), parallel.World(0, 1, device, False)
    per_step = len(pairs) // (steps + 1)
    budget = max(length, 16384) if device.type == "cuda" else 4 * length
    settings: dict[str, Any] = {"model": "", "data": (), "out": "", "tokens_per_batch": budget}
    recipe: Any
    if kind == "dpo":
        recipe = Dpo(DpoConfig(**settings), pairs, [-1000.0] * (2 * len(pairs)), packing=True)
    else:
        recipe = Sft(SftConfig(**settings), [pair.chosen for pair in pairs], packing=True)
    update = optimiser.Optimiser(model, optimiser.OptimiserConfig(), steps=steps + 1)
    totals = {"tokens": 0, "forwarded": 0, "scored": 0, "attended": 0}
    seconds = 0.0
    for step in range(steps + 1):
        items = list(range(step * per_step, (step + 1) * per_step))
        _wait(device)
        began = time.perf_counter()
        line = common._step(step, items, recipe.config, scorer, recipe, update, world, lambda step: None)
        _wait(device)
        if step:
            seconds += time.perf_counter() - began
            totals = {key: value + line[key] for key, value in totals.items()}
        elif device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
    operations = loaded.shape.operations(totals["forwarded"], totals["scored"], totals["attended"])
    return _figures(totals["tokens"], seconds, device) | {"operations_per_second": operations / seconds}


def _figures(tokens: int, seconds: float, device: torch.device) -> dict[str, Any]:
    memory = torch.cuda.max_memory_allocated() if device.type == "cuda" else None
    return {"tokens": tokens, "seconds": round(seconds, 3), "tokens_per_second": tokens / seconds, "peak_bytes": memory}


def trls(kind: str, name: str, length: int, pairs: list[Pair], steps: int, device: torch.device) -> dict[str, Any]:
    """TRL's stock trainer on the same ids, everything after the opening trained, its reference precomputed."""
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

    model = random_model(name, length, device, torch.float32, "sdpa")
    per_step = len(pairs) // (steps + 1)

    class Clock(TrainerCallback):
        """Times all steps but the first."""

        began = seconds = 0.0

        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            _wait(device)
            if state.global_step == 1:
                self.began = time.perf_counter()
                if device.type == "cuda":
                    torch.cuda.reset_peak_memory_stats()

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            _wait(device)
            self.seconds = time.perf_counter() - self.began

    class TokenDPOTrainer(DPOTrainer):  # type: ignore[misc]
        """Takes rows of ids as they are."""

        def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
            return dataset

        def _set_signature_columns_if_needed(self) -> None:
            rows = ["prompt_ids", "chosen_ids", "rejected_ids"]
            self._signature_columns = [*rows, "ref_chosen_logps", "ref_rejected_logps"]

    clock = Clock()
    with tempfile.TemporaryDirectory() as out:
        arguments: dict[str, Any] = {
            "output_dir": out,
            "max_steps": steps + 1,
            "per_device_train_batch_size": 1,
            "gradient_accumulation_steps": per_step,
            "gradient_checkpointing": True,
            "bf16": device.type == "cuda",
            "use_cpu": device.type != "cuda",
            "max_length": None,
            "report_to": [],
            "save_strategy": "no",
            "logging_strategy": "no",
            "disable_tqdm": True,
        }
        common_arguments: dict[str, Any] = {"model": model, "processing_class": _tokenizer(), "callbacks": [clock]}
        if kind == "dpo":
            opening = length // 5
            rows = [
                {
                    "prompt_ids": pair.chosen.ids[:opening].tolist(),
                    "chosen_ids": pair.chosen.ids[opening:].tolist(),
                    "rejected_ids": pair.rejected.ids[opening:].tolist(),
                }
                for pair in pairs
            ]
            trainer = TokenDPOTrainer(
                args=DPOConfig(**arguments, precompute_ref_log_probs=True),
                train_dataset=Dataset.from_list(rows),
                **common_arguments,
            )
            counted = sum(len(pair.chosen) + len(pair.rejected) for pair in pairs[per_step:])
        else:
            data = Dataset.from_list([{"input_ids": pair.chosen.ids.tolist()} for pair in pairs])
            trainer = SFTTrainer(args=SFTConfig(**arguments), train_dataset=data, **common_arguments)
            counted = sum(len(pair.chosen) for pair in pairs[per_step:])
        trainer.train()
    # The sampler shuffles, so which pairs fell into the first step is not known: the mean stands for them.
    return _figures(round(counted), clock.seconds, device)


def _tokenizer() -> Any:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    plain = Tokenizer(models.WordLevel({"<pad>": 0, "<end>": 1}, unk_token="<pad>"))
    return PreTrainedTokenizerFast(tokenizer_object=plain, pad_token="<pad>", eos_token="<end>")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="0.5b,1.7b,4b")
    parser.add_argument("--lengths", default="2048,8192,32768")
    parser.add_argument("--kinds", default="sft,dpo")
    parser.add_argument("--peers", default="trl", choices=["trl", "none"])
    parser.add_argument("--pairs", type=int, default=8, help="for each step")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--rows", type=Path, help="a file of pairs with token ids")
    parser.add_argument(
        "--tiny", action="store_true", help="a model and rows that any machine can do; nothing is written"
    )
    arguments = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() and not arguments.tiny else "cpu")
    if device.type == "cpu" and not arguments.tiny:
        parser.error("there is no GPU here. Use --tiny to see that it runs.")
    models = ["tiny"] if arguments.tiny else arguments.models.split(",")
    lengths = [160] if arguments.tiny else [int(length) for length in arguments.lengths.split(",")]
    steps, per_step = (1, 2) if arguments.tiny else (arguments.steps, arguments.pairs)
    ceiling, peak = matmul_ceiling(device), peak_of(device)
    figures: dict[str, Any] = {} if arguments.tiny else _earlier()
    figures["device"] = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    figures["torch"] = torch.__version__
    figures["matmul_ceiling"] = ceiling
    figures["lengths"] = str(arguments.rows) if arguments.rows else "the made-up profile of benchmarks/train.py"
    console, table = Console(), Table("what", "model", "length", "trainer", "tokens/s", "MFU", "of ceiling", "GB")
    sides = {"ours": ours} | ({"trl": trls} if arguments.peers == "trl" else {})
    for kind in arguments.kinds.split(","):
        for name in models:
            for length in lengths:
                vocabulary = VOCABULARY.get(name, 151_936)
                count = per_step * (steps + 1)
                pairs = (
                    pairs_of(arguments.rows, count, length, vocabulary)
                    if arguments.rows
                    else profile(count, length, vocabulary)
                )
                for side, measure in sides.items():
                    found = _measured(measure, kind, name, length, pairs, steps, device)
                    rate = found.get("operations_per_second")
                    if rate:
                        found |= {"mfu": rate / peak if peak else None, "of_ceiling": rate / ceiling}
                    figures[f"{kind} {name} {length} {side}"] = found
                    table.add_row(kind, name, str(length), side, *_cells(found))
                    if not arguments.tiny:
                        write_results("train", figures)
    console.print(table)


def _earlier() -> dict[str, Any]:
    """What was measured before on this kind of device."""
    file = Path(__file__).parent / "results" / "train.json"
    earlier = json.loads(file.read_text("utf-8"))["results"] if file.exists() else {}
    same = earlier.get("device") == (torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU")
    return earlier if same else {}


def _measured(measure: Any, *rest: Any) -> dict[str, Any]:
    """One measurement; out of memory and a missing peer are results, too."""
    try:
        found: dict[str, Any] = measure(*rest)
    except (torch.OutOfMemoryError, common.RunError) as error:
        found = {"failed": f"out of memory: {str(error).partition('.')[0]}"}
    except ModuleNotFoundError as error:
        found = {"failed": f"{error.name} is not installed"}
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return found


def _cells(found: dict[str, Any]) -> list[str]:
    if "failed" in found:
        return [found["failed"], "", "", ""]
    shares = [f"{found[key]:.1%}" if found.get(key) else "" for key in ("mfu", "of_ceiling")]
    memory = f"{found['peak_bytes'] / 1e9:.1f}" if found["peak_bytes"] else ""
    return [f"{found['tokens_per_second']:,.0f}", *shares, memory]


if __name__ == "__main__":
    main()

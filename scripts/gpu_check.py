"""Smoke test of the trainers on a GPU: every trainer runs a few steps in bfloat16, and its losses are those of the CPU.

    python scripts/gpu_check.py                 # on a machine with CUDA, torch >= 2.11 and transformers >= 5.17
    python scripts/gpu_check.py --device cpu    # the same script without a GPU, to see that it runs

One file, no network, no data: models are random and rows are made here. It needs torch, transformers, numpy and
pydantic; peft for the adapter check, which is skipped without it. What else `import swegym` wants (gymnasium and the
like) is stood in for, because trainers never call it. Exits with 1 if a check fails, and prints one line for each.
"""

from __future__ import annotations

import argparse
import importlib.abc
import importlib.machinery
import importlib.util
import json
import math
import os
import sys
import tempfile
import time
import types
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STANDS_IN_FOR = ("gymnasium", "unidiff", "platformdirs", "git", "docker", "tenacity", "typer", "rich", "unearth")


class Anything(type):
    """A class that can be subclassed, subscripted and asked for anything, and does nothing."""

    def __getitem__(cls, item: object) -> type:
        return cls

    def __getattr__(cls, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        return Anything(name, (), {})


class StandIn(types.ModuleType):
    __path__ = ()  # so that submodules are looked for

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        made = Anything(name, (Exception,) if name.endswith("Error") else (), {})
        setattr(self, name, made)
        return made


class StandIns(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the modules that are not installed here and that training never calls."""

    def __init__(self, names: set[str]) -> None:
        self.names = names

    def find_spec(self, name: str, path: object = None, target: object = None) -> importlib.machinery.ModuleSpec | None:
        return importlib.machinery.ModuleSpec(name, self) if name.partition(".")[0] in self.names else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return StandIn(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        pass


def prepare(*, bare: bool) -> None:
    """Make `swegym` importable from this checkout, whatever of its requirements is missing."""
    missing = {name for name in STANDS_IN_FOR if bare or importlib.util.find_spec(name) is None}
    sys.meta_path.insert(0, StandIns(missing))
    package = types.ModuleType("swegym")
    package.__path__ = [str(ROOT / "swegym")]  # without its __init__, which registers Gymnasium ids
    sys.modules["swegym"] = package
    for needed in ("torch", "transformers", "numpy", "pydantic"):
        if importlib.util.find_spec(needed) is None:
            sys.exit(f"gpu_check: {needed} is missing. pip install {needed}")
    print(f"stood in for: {', '.join(sorted(missing)) or 'nothing'}")


def make_model(folder: Path, width: int) -> Path:
    """A random Qwen3 of 2 layers, and a tokenizer of bytes. Tensor cores and flash kernels take heads of 64."""
    import torch
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = {letter: number for number, letter in enumerate([*alphabet, "<|im_start|>", "<|im_end|>", "<|pad|>"])}
    plain = Tokenizer(models.BPE(vocab=words, merges=[]))
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain.decoder = decoders.ByteLevel()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=plain, eos_token="<|im_end|>", pad_token="<|pad|>", additional_special_tokens=["<|im_start|>"]
    )
    tokenizer.chat_template = (
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    )
    config = transformers.Qwen3Config(
        vocab_size=512,
        hidden_size=4 * width,
        intermediate_size=8 * width,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=width,
        max_position_embeddings=8192,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
    )
    torch.manual_seed(0)
    transformers.Qwen3ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_data(folder: Path, count: int = 8) -> dict[str, Path]:
    """Pairs, conversations and reward rows of different lengths."""

    def turns(number: int, good: bool) -> list[dict[str, str]]:
        looks = [
            {"role": "assistant", "content": f"look at file {number}"},
            {"role": "user", "content": "def f(x):\n    return x\n" * (5 + number)},
        ]
        return [*looks, {"role": "assistant", "content": "square it" if good else "leave it" + " alone" * number}]

    asked = [[{"role": "user", "content": f"f is wrong for {n}"}] for n in range(count)]
    rows = {
        "pairs": [{"prompt": asked[n], "chosen": turns(n, True), "rejected": turns(n, False)} for n in range(count)],
        "sft": [{"messages": asked[n] + turns(n, True)} for n in range(count)],
        "reward": [
            {"issue": f"f is wrong for {n}", "chosen_patch": "+ x * x\n" * (n + 1), "rejected_patch": "+ x\n"}
            for n in range(count)
        ],
    }
    files = {name: folder / f"{name}.jsonl" for name in rows}
    for name, file in files.items():
        file.write_text("".join(json.dumps(row) + "\n" for row in rows[name]))
    return files


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    arguments.add_argument("--steps", type=int, default=4)
    arguments.add_argument("--bare", action="store_true", help="stand in for what could be missing, even if it is not")
    chosen = arguments.parse_args()
    prepare(bare=chosen.bare)
    import torch
    import transformers

    if chosen.device == "cuda" and not torch.cuda.is_available():
        sys.exit("gpu_check: no CUDA device here. Use --device cpu to see that the script runs.")
    name = torch.cuda.get_device_name() if chosen.device == "cuda" else "CPU"
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    print(f"torch {torch.__version__}, transformers {transformers.__version__}, {name}")
    with tempfile.TemporaryDirectory(prefix="gpu-check-") as folder:
        os.environ["SWEGYM_HOME"] = str(Path(folder) / "home")
        failed = run_checks(Path(folder), chosen.device, chosen.steps)
    print("all checks passed" if not failed else f"{failed} checks failed")
    sys.exit(1 if failed else 0)


def run_checks(root: Path, device: str, steps: int) -> int:
    import torch

    from swegym.train import parallel

    model, data = make_model(root / "model", 64 if device == "cuda" else 16), write_data(root)
    failed = 0

    def check(name: str, test: Callable[[], str]) -> None:
        nonlocal failed
        began = time.monotonic()
        try:
            word, said = "ok    ", test()
        except Exception as error:  # each check is reported, and the others still run
            failed += 1
            word, said = "FAILED", f"{type(error).__name__}: {error}"
        print(f"{word} {name}: {said} ({time.monotonic() - began:.1f} s)", flush=True)

    def on(place: str) -> None:
        """Where the next training runs; the trainers take the GPU if there is one."""
        world = parallel.World(0, 1, torch.device(place), False)
        parallel.join = lambda kind="auto": world  # type: ignore[assignment]

    def trained(kind: str, place: str, **settings: object) -> list[dict]:
        from swegym.train import dpo, reward, sft
        from swegym.train.measure import read_metrics

        on(place)
        configs = {"sft": sft.SftConfig, "dpo": dpo.DpoConfig, "reward": reward.RewardConfig}
        trainers = {"sft": sft.sft, "dpo": dpo.dpo, "reward": reward.reward}
        file = data["pairs" if kind == "dpo" else kind]
        out = root / f"run-{time.monotonic_ns()}"
        defaults = {"model": str(model), "data": [str(file)], "out": str(out), "steps": steps, "examples_per_step": 4}
        rate = {"optimiser": {"learning_rate": 1e-4, "schedule": "constant", "warmup": 0.0}}
        held = {"held_out": 0.0} if kind == "reward" else {}
        trainers[kind](configs[kind].model_validate(defaults | rate | held | settings))
        return read_metrics(out / "metrics.jsonl")

    def compared(kind: str, tolerance: float, **settings: object) -> Callable[[], str]:
        def test() -> str:
            mine = [line["loss"] for line in trained(kind, device, **settings)]
            exact = settings | {"compute": {"dtype": "float32"}}
            theirs = [line["loss"] for line in trained(kind, "cpu", **exact)]
            worst = max(abs(a - b) / max(1.0, abs(b)) for a, b in zip(mine, theirs, strict=True))
            said = f"losses {', '.join(f'{loss:.4f}' for loss in mine)}; farthest from the CPU's {worst:.1e}"
            if not (math.isfinite(worst) and worst <= tolerance):
                raise AssertionError(f"{said}, more than {tolerance}")
            return said

        return test

    half = {"compute": {"dtype": "bfloat16"}}
    full = {"compute": {"dtype": "float32"}}
    check("attention in one kernel is that of the CPU", lambda: kernels(device))
    for kind in ("sft", "dpo", "reward"):
        check(f"{kind} in float32", compared(kind, 2e-3, **full))
        check(f"{kind} in bfloat16", compared(kind, 5e-2, **half))
    check("dpo with split pairs", compared("dpo", 5e-2, tokens_per_batch=64, **half))
    padded = {"compute": {"dtype": "bfloat16", "attention": "sdpa"}}
    check("dpo padded", compared("dpo", 5e-2, **padded))
    check("student and teacher in one pass", lambda: twins(model, device))
    if importlib.util.find_spec("peft") is None:
        print("skipped adapters: peft is not installed")
    else:
        check("sft of adapters", lambda: falls(trained("sft", device, steps=4, compute={"lora": {"rank": 8}})))
    return failed


def falls(lines: list[dict]) -> str:
    first, last = lines[0]["loss"], lines[-1]["loss"]
    if not last < first:
        raise AssertionError(f"the loss does not fall: {first:.4f} to {last:.4f}")
    return f"loss {first:.4f} to {last:.4f}"


def twins(model: Path, device: str) -> str:
    """What student and teacher predict, and the gradient of their divergence, here in bfloat16 against the CPU."""
    import numpy as np
    import torch

    from swegym.train.batch import make_row
    from swegym.train.layout import laid_out
    from swegym.train.model import ModelConfig, load_model
    from swegym.train.twins import TwinBatch, TwinScorer

    draw = np.random.default_rng(0)
    students, teachers = [], []
    for number in range(4):
        prompt, more, said = (draw.integers(5, 250, count).tolist() for count in (40, 30, 20 + number))
        rows = ((prompt, students), (prompt + more, teachers))
        for start, kept in rows:
            mask = [0] * len(start) + [1] * len(said)
            kept.append(make_row(start + said, mask, "row", vocabulary=512))
    results = []
    for place, dtype in (("cpu", "float32"), (device, "bfloat16")):
        loaded = load_model(model, ModelConfig(dtype=dtype), device=torch.device(place))
        batches = (laid_out([rows], packing=loaded.packing, padding=0) for rows in (students, teachers))
        compared = TwinScorer(loaded, top=50)(TwinBatch(*batches).to(loaded.device))
        compared[:, 0].sum().backward()
        slope = loaded.base.get_input_embeddings().weight.grad
        results.append((compared.detach().float().cpu(), slope.float().norm().cpu()))
    (mine, slope), (exact, expected) = results[1], results[0]
    worst = float((mine - exact).abs().max())
    if worst > 0.1 or abs(float(slope / expected) - 1) > 0.1:
        raise AssertionError(f"differs by {worst:.1e}, gradients by a factor of {float(slope / expected):.3f}")
    return f"differs by {worst:.1e} in bfloat16, gradients by a factor of {float(slope / expected):.3f}"


def kernels(device: str) -> str:
    """Outputs and gradients of segment attention here against float32 on the CPU, with a shared beginning."""
    import torch

    from swegym.train.attention import _varlen, segment_attention
    from swegym.train.batch import Segment

    segments = (Segment(0, 200), Segment(200, 300, 0, 120), Segment(300, 301), Segment(301, 400))
    torch.manual_seed(0)
    plain = [torch.randn(1, heads, 400, 64) for heads in (8, 2, 2)]
    results = []
    for place, dtype in (("cpu", torch.float32), (device, torch.bfloat16)):
        states = [state.to(place, dtype, copy=True).requires_grad_() for state in plain]
        out, _ = segment_attention(torch.nn.Module(), *states, None, scaling=0.125, segments=segments)
        out.float().square().sum().backward()
        results.append([out.detach().float().cpu(), *[state.grad.float().cpu() for state in states]])
    worst = max(float((a - b).abs().max() / b.abs().max()) for b, a in zip(*results, strict=True))
    if worst > 3e-2:
        raise AssertionError(f"differs by {worst:.1e}")
    kernel = "torch's variable-length kernel" if device == "cuda" and _varlen() else "one call for each segment"
    return f"differs by {worst:.1e} in bfloat16, by {kernel}"


if __name__ == "__main__":
    main()

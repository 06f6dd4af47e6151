"""Whole training runs: they learn, resume as if never interrupted, and lose nothing when something breaks."""

import json
import resource
import signal

import pytest
import torch
import transformers
from training_rows import attempt, opening, pair_lines, write_lines

from swegym.errors import RunError
from swegym.train import common
from swegym.train.dpo import DpoConfig, dpo
from swegym.train.measure import read_metrics
from swegym.train.model import TokenScorer
from swegym.train.optimiser import OptimiserConfig, rate_at
from swegym.train.sft import SftConfig, sft

FAST = {"learning_rate": 3e-3, "schedule": "constant", "warmup": 0.0}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return write_lines(tmp_path_factory.mktemp("data") / "pairs.jsonl", pair_lines(20))


@pytest.fixture(scope="module")
def demonstrations(tmp_path_factory):
    lines = [{"messages": [*opening(n), *attempt(n, True)], "tools": None} for n in range(6)]
    return write_lines(tmp_path_factory.mktemp("data") / "sft.jsonl", lines)


def settings(tiny, data, out, **more) -> dict:
    return {"model": str(tiny), "data": (str(data),), "out": str(out), "optimiser": OptimiserConfig(**FAST)} | more


def weights(folder) -> dict:
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).state_dict()


def same(a, b) -> bool:
    return all(torch.equal(value, b[name]) for name, value in a.items())


def test_twenty_pairs_are_overfitted(tiny, pairs, tmp_path, monkeypatch):
    monkeypatch.setenv("SWEGYM_HOME", str(tmp_path / "store"))  # no reference is known yet
    folder = dpo(DpoConfig(**settings(tiny, pairs, tmp_path / "dpo", epochs=5, examples_per_step=10, beta=0.1)))
    lines = read_metrics(tmp_path / "dpo/metrics.jsonl")
    assert lines[0]["loss"] == pytest.approx(0.693147, abs=1e-4)
    assert [line["accuracy"] for line in lines[-2:]] == [1.0, 1.0]
    assert lines[-1]["loss"] < 0.1
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    assert model.config._attn_implementation == "sdpa"
    assert transformers.AutoTokenizer.from_pretrained(folder).chat_template
    report = json.loads((tmp_path / "dpo/train.json").read_text())
    assert report["pairs"] == 20 and report["reference_rows_computed"] == 40


def test_an_interrupted_run_goes_on_as_if_it_never_was(tiny, demonstrations, tmp_path):
    config = settings(tiny, demonstrations, tmp_path / "whole", epochs=3, examples_per_step=2)
    whole = sft(SftConfig(**config))

    def interrupt(done):
        if done.step == 4:
            signal.raise_signal(signal.SIGINT)

    cut = SftConfig(**config | {"out": str(tmp_path / "cut")})
    with pytest.raises(KeyboardInterrupt):
        sft(cut, on_step=interrupt)
    assert [file.name for file in (tmp_path / "cut/checkpoints").iterdir()] == ["step-00000004.pt"]
    resumed = []
    again = sft(cut, on_step=lambda done: resumed.append(done.step))
    assert resumed == [5, 6, 7, 8, 9]
    assert same(weights(whole), weights(again))
    losses = [[line["loss"] for line in read_metrics(tmp_path / name / "metrics.jsonl")] for name in ("whole", "cut")]
    assert losses[0] == losses[1] and len(losses[0]) == 9
    assert sft(cut, on_step=lambda done: pytest.fail("it was over")) == again


def test_steps_done_after_the_last_checkpoint_are_done_again(tiny, demonstrations, tmp_path, monkeypatch):
    config = SftConfig(**settings(tiny, demonstrations, tmp_path / "a", epochs=2, examples_per_step=2, save_every=2))

    def die(done):
        if done.step == 3:
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        sft(config, on_step=die)
    assert len(read_metrics(tmp_path / "a/metrics.jsonl")) == 3
    resumed = []
    sft(config, on_step=lambda done: resumed.append(done.step))
    assert resumed == [3, 4, 5, 6]
    assert [line["step"] for line in read_metrics(tmp_path / "a/metrics.jsonl")] == [1, 2, 3, 4, 5, 6]


def test_other_settings_or_other_data_are_refused(tiny, demonstrations, tmp_path):
    lines = [json.loads(line) for line in demonstrations.read_text().splitlines()]
    data = write_lines(tmp_path / "data.jsonl", lines)
    config = settings(tiny, data, tmp_path / "a", epochs=1, steps=2, save_every=1, examples_per_step=2)
    with pytest.raises(KeyboardInterrupt):
        sft(SftConfig(**config), on_step=lambda done: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(RunError, match="seed = 0, but this run has 1"):
        sft(SftConfig(**config, seed=1))
    write_lines(data, lines[1:])
    with pytest.raises(RunError, match="other data"):
        sft(SftConfig(**config))


def test_reference_is_computed_once_for_the_same_model(tiny, pairs, tmp_path):
    config = settings(tiny, pairs, tmp_path / "a", steps=1, examples_per_step=2)
    dpo(DpoConfig(**config))
    second = config | {"out": str(tmp_path / "b"), "epochs": 2}
    dpo(DpoConfig(**second))
    assert json.loads((tmp_path / "b/train.json").read_text())["reference_rows_computed"] == 0


def test_a_loss_that_is_no_number_stops_with_the_rows_and_a_checkpoint(tiny, demonstrations, tmp_path, monkeypatch):
    config = SftConfig(**settings(tiny, demonstrations, tmp_path / "a", epochs=2, examples_per_step=2))
    plain, calls = TokenScorer.forward, []

    def poisoned(self, batch):
        calls.append(1)
        return plain(self, batch) * (float("nan") if len(calls) == 3 else 1.0)

    monkeypatch.setattr(TokenScorer, "forward", poisoned)
    with pytest.raises(RunError, match=r"step 3: the loss is not a number, from .*sft\.jsonl:\d.*learning_rate"):
        sft(config)
    monkeypatch.undo()
    resumed = []
    folder = sft(config, on_step=lambda done: resumed.append(done.step))
    assert resumed[0] == 3
    assert all(torch.isfinite(weight).all() for weight in weights(folder).values())


def test_too_little_memory_says_what_to_lower(tiny, demonstrations, tmp_path, monkeypatch):
    config = SftConfig(**settings(tiny, demonstrations, tmp_path / "a", examples_per_step=2, save_every=1, epochs=1))
    plain, calls = TokenScorer.forward, []

    def hungry(self, batch):
        calls.append(1)
        if len(calls) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
        return plain(self, batch)

    monkeypatch.setattr(TokenScorer, "forward", hungry)
    with pytest.raises(RunError, match=r"tokens_per_batch \(now 16384\).*compute.lora.*goes on from the last"):
        sft(config)
    monkeypatch.undo()
    resumed = []
    sft(config, on_step=lambda done: resumed.append(done.step))
    assert resumed == [2, 3]


def test_a_full_disk_keeps_the_last_checkpoint(tiny, demonstrations, tmp_path):
    """The kernel refuses to let a file grow, as a full disk does."""
    config = SftConfig(**settings(tiny, demonstrations, tmp_path / "a", epochs=1, examples_per_step=2, save_every=1))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(done):
        if done.step == 2:
            resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))

    try:
        with pytest.raises(RunError, match=r"Free some space.*step-00000001\.pt is kept"):
            sft(config, on_step=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [file.name for file in (tmp_path / "a/checkpoints").iterdir()] == ["step-00000001.pt"]
    resumed = []
    sft(config, on_step=lambda done: resumed.append(done.step))
    assert resumed == [2, 3]


def test_a_full_disk_leaves_no_half_model(tiny, demonstrations, tmp_path):
    config = SftConfig(**settings(tiny, demonstrations, tmp_path / "a", epochs=1, steps=1, examples_per_step=2))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with (
            pytest.raises(RunError, match=r"a/model: cannot be written.*Free some space"),
            pytest.MonkeyPatch.context() as patch,
        ):
            patch.setattr(
                common.checkpoint,
                "save",
                lambda *rest, **more: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1])),
            )
            sft(config)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list((tmp_path / "a").glob("model*"))


def test_adapters_are_merged_into_a_plain_folder(tiny, demonstrations, tmp_path):
    compute = {"lora": {"rank": 4}, "checkpointing": True}
    config = settings(tiny, demonstrations, tmp_path / "a", epochs=3, examples_per_step=3, compute=compute)
    folder = sft(SftConfig.model_validate(config))
    lines = read_metrics(tmp_path / "a/metrics.jsonl")
    assert lines[-1]["loss"] < lines[0]["loss"]
    before, after = weights(tiny), weights(folder)
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and all("proj" in name for name in changed)
    assert (folder / "adapter/adapter_config.json").is_file()


def test_small_updates_are_not_lost_in_bf16(tiny, demonstrations, tmp_path):
    """Updates of 1e-5 vanish in bfloat16 weights; in float32 masters they add up."""
    config = settings(tiny, demonstrations, tmp_path / "a", epochs=2, examples_per_step=3, save_every=4)
    config |= {"compute": {"dtype": "bfloat16"}, "optimiser": FAST | {"learning_rate": 1e-5}}
    folder = sft(SftConfig.model_validate(config))
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
    assert model.dtype == torch.bfloat16
    state = torch.load(tmp_path / "a/checkpoints/step-00000004.pt", weights_only=True)
    start = weights(tiny)
    for name, master in state["masters"].items():
        plain = start[name.removeprefix("module.")].bfloat16().float()
        assert master.dtype == torch.float32
        assert (master - plain).abs().max() > 1.5e-5, name
    moved = [
        not torch.equal(weight.float(), start[name].bfloat16().float()) for name, weight in model.state_dict().items()
    ]
    assert any(moved)


def test_schedules():
    config = OptimiserConfig(learning_rate=1.0, warmup=0.2, schedule="cosine")
    rates = [rate_at(step, 10, config) for step in range(10)]
    assert rates[:3] == pytest.approx([0.5, 1.0, 1.0])
    assert rates[6] == pytest.approx(0.55)
    assert rates == sorted(rates[:2]) + sorted(rates[2:], reverse=True)
    assert rate_at(9, 10, OptimiserConfig(learning_rate=1.0, schedule="constant")) == 1.0
    assert rate_at(9, 10, OptimiserConfig(learning_rate=1.0, schedule="linear", warmup=0)) == pytest.approx(0.19)


def test_every_epoch_takes_every_example():
    config = SftConfig(model="", data=(), out="", epochs=2, examples_per_step=4)
    steps = [common.items_of(config, 10, step) for step in range(common.steps_of(config, 10))]
    assert [len(items) for items in steps] == [4, 4, 2, 4, 4, 2]
    for epoch in (steps[:3], steps[3:]):
        assert sorted(item for items in epoch for item in items) == list(range(10))

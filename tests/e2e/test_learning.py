"""Learning is real: a model from nothing, demonstrations, then reinforcement learning in real sandboxes, over 3 seeds.

The miniature of scripts/reproduce: the smallest model, one-file repositories, real tools, pytest and reward. What is
asserted is the solve rate on tasks of no training split, before and after, plain, without any hint.
"""

from pathlib import Path

import pytest

from swegym.cli.train_online import Progress, pass_at_1, resolve
from swegym.train.measure import read_metrics
from swegym.train.start import StartConfig, make_start

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
CONFIG = Path(__file__).resolve().parents[2] / "scripts" / "configs" / "micro" / "grpo.toml"
SEEDS = 3


@pytest.fixture(scope="module")
def start(tmp_path_factory) -> Path:
    return make_start(StartConfig(out=str(tmp_path_factory.mktemp("start") / "start"), compute={"threads": 1}))


def held_out(start: Path, out: Path, seed: int) -> tuple[float, float, list[dict]]:
    """The solve rate on held-out tasks before and after some steps of GRPO, and the log."""
    settings = [
        f"seed={seed}",
        "steps=8",
        "tasks_per_step=8",
        "evaluate_every=8",
        "measure.limit=48",
        "optimiser.learning_rate=1e-3",
    ]
    config, trainer = resolve("grpo", {"model": str(start), "out": str(out)}, settings, CONFIG)
    said: list[str] = []
    with Progress(f"seed {seed}") as progress:
        trainer(config, collect=progress.collect, rate=pass_at_1, tell=said.append)
    before, after = (float(line.split("pass@1 ")[1].split()[0]) for line in said)
    return before, after, read_metrics(out / "metrics.jsonl")


def test_the_solve_rate_rises(start, tmp_path):
    rates = []
    for seed in range(SEEDS):
        before, after, lines = held_out(start, tmp_path / f"seed-{seed}", seed)
        assert 0.02 <= before <= 0.5, "a start that knows the tools and not the fixes"
        assert all(line["groups"] for line in lines)
        assert all(line.get("from_sampler", 0.0) < 1e-3 for line in lines)
        rates.append((before, after))
    gains = [after - before for before, after in rates]
    assert sum(gains) / len(gains) > 0.03, rates
    assert sum(gain > 0 for gain in gains) >= 2, rates

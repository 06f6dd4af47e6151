"""Learning is real: a model from nothing, demonstrations, then reinforcement learning in real sandboxes, over 3 seeds.

The miniature of scripts/reproduce: the smallest model, one-file repositories, real tools, pytest and reward. A few
tasks are attempted again and again, plain, without any hint, and more of the attempts solve them. What it does to tasks
that were never attempted takes more attempts to measure: that is the script's.
"""

import statistics
from pathlib import Path

import pytest

from swegym.cli.train_online import Progress, pass_at_1, resolve
from swegym.train.measure import read_metrics
from swegym.train.start import StartConfig, make_start

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
CONFIG = Path(__file__).resolve().parents[2] / "scripts" / "configs" / "micro" / "grpo.toml"
SETTINGS = ["steps=4", "tasks_per_step=4", "limit=4", "evaluate_every=0", "optimiser.learning_rate=1e-3"]


@pytest.fixture(scope="module")
def start(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("start") / "start"
    return make_start(StartConfig(out=str(out), steps=380, compute={"threads": 1, "checkpointing": False}))


def solve_rates(start: Path, out: Path, seed: int) -> list[float]:
    """Of each step's attempts, the share that solved their task; all steps attempt the same tasks."""
    config, trainer = resolve("grpo", {"model": str(start), "out": str(out)}, [*SETTINGS, f"seed={seed}"], CONFIG)
    with Progress(f"seed {seed}") as progress:
        trainer(config, collect=progress.collect, rate=pass_at_1)
    lines = read_metrics(out / "metrics.jsonl")
    assert all(line["groups"] == 4 and "left_out" not in line for line in lines)
    assert all(line.get("from_sampler", 0.0) < 1e-3 for line in lines)  # sampler and trainer agree on every token
    return [line["solved"] for line in lines]


def test_the_solve_rate_rises(start, tmp_path):
    gains = []
    for seed in range(3):
        rates = solve_rates(start, tmp_path / f"seed-{seed}", seed)
        assert max(rates[:2]) > 0.0 and rates[0] < 0.7, "a start that knows the tools and not the fixes"
        gains.append(statistics.fmean(rates[-2:]) - statistics.fmean(rates[:2]))
    assert statistics.fmean(gains) > 0.1, gains
    assert min(gains) > 0, gains

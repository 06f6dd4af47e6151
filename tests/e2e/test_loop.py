"""The whole round on generated tasks, with a tiny model and no GPU: attempts, hints, data, trainings, the measure."""

import json

import pytest
from tiny_model import make_tiny_model

from swegym.cli.loop import _collect, pass_at_1
from swegym.config import validate
from swegym.rollout import RunFolder
from swegym.train.loop import LoopConfig, loop

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_a_round_runs_resumes_and_repeats(tmp_path):
    model = make_tiny_model(tmp_path / "model", vocab=600, hidden=32)
    settings = {
        "model": str(model),
        "tasks": "micro",
        "out": str(tmp_path / "loop"),
        "limit": 1,
        "attempts": 1,
        "others": ["gold", "loop_policies:wrong"],
        "sft_share": 1.0,
        "policy_options": {"max_new_tokens": 4},
        "run": {"jobs": 2, "limits": {"turns": 2}},
        "measure": {"limit": 1},
        "train": {"epochs": 1, "examples_per_step": 2, "optimiser": {"learning_rate": 1e-3}},
        "reward": {"max_length": 2000, "held_out": 0.0},
    }
    told: dict[str, str] = {}
    report = loop(validate(LoopConfig, settings, "test"), collect=_collect, rate=pass_at_1, tell=told.__setitem__)
    first = tmp_path / "loop/round-1"
    assert list(told) == [
        "before measured",
        "round-1 data",
        "round-1 sft",
        "round-1 dpo",
        "round-1 reward",
        "round-1 measured",
    ]
    assert set(report["rates"]) == {"before", "round-1"}
    assert all(0 <= rate["low"] <= rate["pass@1"] <= rate["high"] for rate in report["rates"].values())

    attempts = RunFolder(first / "attempts").trajectories()
    assert [t.guided for t in attempts].count(True) == 1, "the failure is retried with a hint"
    assert all("token_ids" in m["extra"] for t in attempts for m in t.messages if m["role"] == "assistant")
    trained_on = {json.loads(line)["task"] for line in (first / "pairs.jsonl").read_text().splitlines()}
    measured = {t.task for t in RunFolder(first / "after").trajectories()}
    assert trained_on == {"micro-train-0"} and measured == {"micro-test-0"}
    assert not any(t.guided for t in RunFolder(first / "after").trajectories())
    for kind in ("sft", "dpo", "reward"):
        assert (first / kind / "model/model.safetensors").is_file()

    # The same command does nothing again; one more round goes on from the model of the first.
    trained: list[int] = []
    (tmp_path / "loop/round-1/after/report.json").unlink()
    again = loop(
        validate(LoopConfig, settings | {"rounds": 2}, "test"),
        collect=_collect,
        rate=pass_at_1,
        on_step=lambda done: trained.append(done.step),
    )
    assert again["rates"]["round-1"] == report["rates"]["round-1"]
    assert not (tmp_path / "loop/round-2/sft").exists(), "only the first round warms up"
    assert again["model"].endswith("round-2/dpo/model")
    assert trained[0] == 1 and len(trained) <= 4

"""Data of a model behind an OpenAI-compatible server: a tiny one learns two ways to answer an issue, is served on
loopback, attempts the task through litellm, and what it did becomes rows that TRL's trainers take.
"""

import json
import runpy
import warnings
from collections import Counter
from pathlib import Path

import pytest
import torch
from loop_policies import fix, wrong
from tiny_model import make_tiny_model

from swegym.cli.run import carry_out
from swegym.data import Guards, read_runs
from swegym.data.held_out import held_out
from swegym.data.make import MakeOptions, make
from swegym.rollout import RunConfig, RunFolder
from swegym.train.optimiser import OptimiserConfig
from swegym.train.sft import SftConfig, sft
from tests.data.test_trl import trainer_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("default"),  # whatever warnings litellm, TRL and their libraries cause are theirs
]
SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "serve_model.py"
TASK = "micro-train-0"


def run(out: Path, policy: str, **more) -> RunFolder:
    prompt = "You fix bugs."  # short, like the list of tools: a tiny model learns it by heart
    shared = {"tasks": "micro", "patterns": (TASK,), "tools": ("bash", "submit"), "system_prompt": prompt, "jobs": 1}
    return carry_out(RunConfig(**shared, policy=policy, out=out, **more))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The folder of a model that gives the right and a wrong answer equally often."""
    folder = tmp_path_factory.mktemp("demonstrations")
    shown = [run(folder / one.__name__, f"loop_policies:{one.__name__}") for one in (fix, wrong)]
    rows = make("kto", read_runs(shown)).rows
    assert Counter(row["label"] for row in rows) == {True: 1, False: 1}
    lines = [{"messages": row["prompt"] + row["completion"], "tools": row["tools"]} for row in rows]
    file = folder / "demonstrations.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    torch.set_num_threads(1)  # tests share the machine
    tiny = make_tiny_model(folder / "tiny", vocab=600, context=4096)
    optimiser = OptimiserConfig(learning_rate=1e-2, schedule="cosine", warmup=0.05)
    config = SftConfig(
        model=str(tiny),
        data=(str(file),),
        out=str(folder / "sft"),
        epochs=70,
        examples_per_step=2,
        optimiser=optimiser,
    )
    return sft(config)


@pytest.fixture(scope="module")
def attempts(model, tmp_path_factory):
    """What the model did, served, in twelve attempts and one with a hint."""
    serving = runpy.run_path(str(SCRIPT))["serving"]
    with pytest.MonkeyPatch.context() as patch, serving(str(model), device="cpu") as server:
        patch.setenv("OPENAI_API_KEY", "none")
        options = {"model": "openai/local", "api_base": server.address, "token_ids": True, "seeded": True}
        folder = run(
            tmp_path_factory.mktemp("served") / "run",
            "litellm",
            attempts=12,
            guide="on-failure",
            hint_budget=1,
            policy_options={**options, "max_tokens": 80},
            limits={"turns": 3},
        )
    return read_runs([folder])


def test_its_attempts_are_judged_and_keep_their_tokens(attempts):
    plain = Counter(one.verdict.resolved for one in attempts.trajectories if not one.guided)
    assert plain[True] and plain[False] and plain.total() == 12
    assert sum(one.guided for one in attempts.trajectories) == 1
    said = [message for one in attempts.trajectories for message in one.messages if message["role"] == "assistant"]
    assert all(message["extra"]["token_ids"] and message["extra"]["logprobs"] for message in said)


@pytest.mark.parametrize(
    ("trainer", "kind", "ending"),
    [("dpo", "pairs", "jsonl"), ("sft", "sft", "parquet"), ("kto", "kto", "jsonl")],
)
def test_trl_trains_on_what_it_did(trainer, kind, ending, attempts, model, tmp_path):
    made = make(kind, attempts, MakeOptions(share=1.0), Guards(refusals=(held_out("train"),)))
    assert made.rows
    made.write(tmp_path / f"{kind}.{ending}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        done = trainer_for(trainer, tmp_path, ending, model, tmp_path).train()
    assert done.global_step == 2


def test_a_group_keeps_the_tokens_of_every_attempt(attempts, tmp_path):
    made = make("groups", attempts)
    made.write(tmp_path / "groups.jsonl")
    (group,) = made.rows
    assert len(group["rows"]) == 13 and all(row["tokens"] for row in group["rows"])
    assert [row["guidance"] is not None for row in group["rows"]].count(True) == 1

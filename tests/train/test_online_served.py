"""Online training with a sampler elsewhere: a real HTTP server, which is told to load the new weights."""

import runpy
from pathlib import Path

import pytest
import torch
import transformers
from spoken import make_collect, rate, settings

from swegym.train.grpo import GrpoConfig, grpo
from swegym.train.measure import read_metrics

pytestmark = [
    pytest.mark.slow,  # litellm alone takes that long to import
    pytest.mark.filterwarnings("default"),  # whatever warnings litellm and its libraries cause are theirs
]
SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "serve_model.py"


def test_a_served_sampler_is_given_the_weights(tiny, tmp_path, monkeypatch):
    """A real server on loopback samples; token ids and log-probs come back, new weights go by a folder."""
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    monkeypatch.setattr("swegym.train.online.tasks_of_split", lambda *a, **k: [f"spoken-{n}" for n in range(6)])
    with runpy.run_path(str(SCRIPT))["serving"](str(tiny), device="cpu", max_tokens=2) as server:
        options = {"model": "openai/local", "api_base": server.address, "max_tokens": 1}
        config = GrpoConfig(
            **settings(
                tiny,
                tmp_path,
                policy="litellm",
                policy_options=options,
                reload_url=server.address.removesuffix("/v1") + "/update_weights_from_disk",
            )
        )
        folder = grpo(config, collect=make_collect(), rate=rate)
        assert server.engine.version == "step-2"
        made = read_metrics(tmp_path / "metrics.jsonl")
        assert all(line["from_sampler"] < 1e-4 for line in made)  # it sampled from the weights that are trained
        assert [path.name for path in (tmp_path / "served").iterdir()] == ["step-2"]
        trained = transformers.AutoModelForCausalLM.from_pretrained(folder).state_dict()
        served = server.engine.model.state_dict()
        assert all(torch.equal(weight, served[name]) for name, weight in trained.items())

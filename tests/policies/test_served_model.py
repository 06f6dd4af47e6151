"""A tiny model behind a real OpenAI-compatible server: whole episodes through litellm, token ids kept exactly."""

import runpy
from pathlib import Path

import pytest
import torch
from fake_episode import make_env, make_task
from tiny_model import make_tiny_model

from swegym.data.tokens import has_tokens, token_rows
from swegym.guidance import GuidanceWrapper
from swegym.policies import make_policy
from swegym.rollout import rollout
from swegym.types import Guidance

pytestmark = [
    pytest.mark.slow,  # litellm alone takes that long to import
    pytest.mark.filterwarnings("default"),  # whatever warnings litellm and its libraries cause are theirs
]
SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "serve_model.py"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    torch.set_num_threads(1)  # tests share the machine
    folder = make_tiny_model(tmp_path_factory.mktemp("models") / "tiny", context=3000)
    with runpy.run_path(str(SCRIPT))["serving"](str(folder), device="cpu", max_tokens=24) as running:
        yield running


def episode(server, guidance=None, turns: int = 3, **options):
    env = GuidanceWrapper(make_env(limits={"turns": turns}))
    options = {"model": "openai/local", "api_base": server.address, "seeded": True, "token_ids": True, **options}
    student = make_policy("litellm", make_task("one"), seed=4, options=options)
    return rollout(env, student, task="one", seed=4, guidance=guidance)


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "none")


def test_an_episode_keeps_the_tokens_of_the_server(server):
    trajectory = episode(server)
    assert trajectory.stop_reason == "turns" and has_tokens(trajectory)
    for row in token_rows(trajectory, guidance=True):
        with torch.no_grad():
            logits = server.engine.model(torch.tensor([row.ids])).logits[0].float()
        logprobs = torch.log_softmax(logits, dim=-1)
        for at, (mask, noted) in enumerate(zip(row.mask, row.logprobs, strict=True)):
            if mask:
                assert abs(logprobs[at - 1, row.ids[at]].item() - noted) < 1e-4
    usage = [message["extra"]["usage"] for message in trajectory.messages if message["role"] == "assistant"]
    assert all(one["completion_tokens"] and one["prompt_tokens"] for one in usage)


def test_a_hint_is_told_from_the_rest(server):
    hint = Guidance("oracle", {"plan": "Look at the sign."}, True)
    guided, plain = episode(server, hint, turns=1), episode(server, turns=1)
    (unhinted,), (without,) = token_rows(guided, guidance=False), token_rows(plain, guidance=False)
    start = unhinted.mask.index(1)
    assert unhinted.ids[:start] == without.ids[:start]
    assert len(token_rows(guided, guidance=True)[0].ids) > len(unhinted.ids)


def test_a_full_context_is_told_apart(server):
    student = make_policy(
        "litellm", make_task("one"), seed=1, options={"model": "openai/local", "api_base": server.address}
    )
    call = {"id": "call00000", "type": "function", "function": {"name": "bash", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call00000", "content": "word " * 6000},
    ]
    message = student(messages, [])
    assert message["extra"]["elided"] == 1 and message["extra"]["finish_reason"] in ("length", "stop")

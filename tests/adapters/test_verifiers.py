"""verifiers' own evaluation plays a task with a model behind an OpenAI-compatible server."""

import asyncio
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "policies"))
from openai_server import error, openai_server

pytestmark = pytest.mark.filterwarnings("default")  # what verifiers and its libraries warn of is theirs

EDIT = (
    '```json\n{"tool": "edit", "arguments": {"path": "tiny/numbers.py", "old": "number + 2", "new": "number * 2"}}\n```'
)
SUBMIT = '```json\n{"tool": "submit", "arguments": {}}\n```'


def said(text: str) -> dict:
    return {"role": "assistant", "content": text}


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """A module of the user's own, as the adapter says to write it."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "repository_tasks.py").write_text(
        "from swegym.adapters.verifiers import RepositoryEnv, RepositoryTaskset\n\n"
        '__all__ = ["RepositoryEnv", "RepositoryTaskset"]\n'
    )
    yield "repository_tasks"
    sys.modules.pop("repository_tasks", None)


def play(plugin, tiny, address, monkeypatch):
    import verifiers.v1 as vf
    from verifiers.v1.utils.loaders import load_environment

    from swegym.adapters.verifiers import RepositoryConfig, RepositoryEnvConfig

    monkeypatch.setenv("TOY_KEY", "none")
    harness = {"id": "null"}
    config = RepositoryEnvConfig(
        taskset=RepositoryConfig(id=plugin, tasks=tiny, turns=4),
        player=vf.AgentConfig(harness=harness, runtime={"type": "subprocess"}),
    )
    env = load_environment(config)
    context = vf.ModelContext(model="toy", client=vf.EvalClientConfig(base_url=address, api_key_var="TOY_KEY"))

    async def episode():
        (task,) = env.taskset.take(1)
        async with env.serving():
            return await env.run_episode(task, context)

    return asyncio.run(episode())


@pytest.mark.network  # verifiers' chat program fetches its own packages
@pytest.mark.slow
def test_an_episode_is_played_and_rewarded(plugin, tiny, monkeypatch):
    with openai_server(said("Let me look.\n```bash\ncat tiny/numbers.py\n```"), said(EDIT), said(SUBMIT)) as server:
        episode = play(plugin, tiny, server.address, monkeypatch)
    assert episode.errors == [] and episode.ok, episode.errors
    (trace,) = episode.traces
    assert trace.rewards["resolved"].score == 1.0
    sent = [message["content"] for message in server.requests[-1]["messages"] if message["role"] == "user"]
    assert "wrong results" in str(sent[0]) and "number + 2" in str(sent[1]) and "Edited" in str(sent[2])


@pytest.mark.network
@pytest.mark.slow
def test_a_model_that_fails_is_no_zero(plugin, tiny, monkeypatch):
    with openai_server(*[error(401, "bad key")] * 9) as server:
        episode = play(plugin, tiny, server.address, monkeypatch)
    (trace,) = episode.traces
    assert not episode.ok and "resolved" not in trace.rewards

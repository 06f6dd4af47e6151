"""OpenEnv's own client plays an episode through OpenEnv's own server."""

import threading
import time

import pytest

pytestmark = pytest.mark.filterwarnings("default")  # what OpenEnv and its libraries warn of is theirs


@pytest.fixture
def server(tiny):
    import uvicorn

    from swegym.adapters.openenv import create_app

    running = uvicorn.Server(uvicorn.Config(create_app(tiny), host="127.0.0.1", port=0, log_level="error"))
    thread = threading.Thread(target=running.run)
    thread.start()
    deadline = time.monotonic() + 60
    while not running.started and time.monotonic() < deadline:
        time.sleep(0.02)
    port = running.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    running.should_exit = True
    thread.join(30)


def test_an_episode_through_the_client(server):
    from openenv.core.generic_client import GenericEnvClient

    with GenericEnvClient(base_url=server).sync() as client:
        opening = client.reset(task="tiny-1")
        assert "wrong results" in opening.observation["messages"][-1]["content"]
        assert {"bash", "submit"} <= {tool["function"]["name"] for tool in opening.observation["tools"]}
        arguments = {"path": "tiny/numbers.py", "old": "number + 2", "new": "number * 2"}
        edited = client.step({"tool": "edit", "arguments": arguments})
        assert edited.observation["messages"][0]["content"].startswith("Edited") and not edited.done
        assert edited.reward is None
        call = {"id": "1", "type": "function", "function": {"name": "submit", "arguments": "{}"}}
        ended = client.step({"message": {"role": "assistant", "content": "Done.", "tool_calls": [call]}})
        assert ended.done and ended.reward == 1.0
        assert ended.observation["verdict"]["resolved"] is True
        assert client.state()["step_count"] == 2


def test_sessions_have_sandboxes_of_their_own(server):
    from openenv.core.generic_client import GenericEnvClient

    with GenericEnvClient(base_url=server).sync() as one, GenericEnvClient(base_url=server).sync() as other:
        for client in (one, other):
            client.reset(task="tiny-1")
        one.step({"tool": "bash", "arguments": {"command": "echo here > mine"}})
        seen = other.step({"tool": "bash", "arguments": {"command": "ls mine"}})
        assert "No such file" in seen.observation["messages"][0]["content"]

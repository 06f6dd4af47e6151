"""MCP's own client plays an episode over standard input and output of a server process."""

import asyncio
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.filterwarnings("default")  # what MCP and its libraries warn of is theirs


def play(tiny: str, *calls: tuple[str, dict]) -> tuple[str, list[str], list[str]]:
    """Instructions, names of tools, and the answers to `calls`."""
    from mcp.client.client import Client
    from mcp.client.stdio import StdioServerParameters, stdio_client

    command = StdioServerParameters(
        command=sys.executable,
        args=["-m", "swegym.adapters.mcp_server", tiny, "--task", "tiny-1"],
        env=dict(os.environ),
    )

    async def session() -> tuple[str, list[str], list[str]]:
        async with Client(stdio_client(command), read_timeout_seconds=120) as client:
            tools = [tool.name for tool in (await client.list_tools()).tools]
            answers = [(await client.call_tool(name, arguments)).content[0].text for name, arguments in calls]
            return client.instructions or "", tools, answers

    return asyncio.run(session())


def test_a_wrong_name_is_answered_without_a_traceback():
    command = [sys.executable, "-m", "swegym.adapters.mcp_server", "no-such-set"]
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 2 and "no-such-set" in ended.stderr and "Traceback" not in ended.stderr


def test_an_episode_through_the_client(tiny):
    arguments = {"path": "tiny/numbers.py", "old": "number + 2", "new": "number * 2"}
    instructions, tools, answers = play(
        tiny, ("read", {"path": "tiny/numbers.py"}), ("read", {}), ("edit", arguments), ("submit", {}), ("submit", {})
    )
    assert "wrong results" in instructions
    assert {"bash", "read", "edit", "submit"} <= set(tools)
    assert "number + 2" in answers[0] and "path" in answers[1]
    assert answers[2].startswith("Edited") and "resolved: True" in answers[3]
    assert answers[4] == "The episode is over."

"""MCP: one episode of an env as a server of tools, over standard input and output, for any MCP client.

    python -m swegym.adapters.mcp_server demo --task sqlparse-0.5.1-0.5.2

The opening messages are the server's instructions. The call that submits, or with which the episode runs out, is
answered with the verdict as well; later calls are told that the episode is over. The server ends with its client.
"""

from __future__ import annotations

import argparse
import asyncio
import threading
from typing import Any

from swegym.adapters.episode import ToolEpisode, open_env
from swegym.errors import SwegymError
from swegym.text import as_text
from swegym.types import ToolSchema


def make_server(episode: ToolEpisode) -> Any:
    """An MCP server over an episode that has begun."""
    import mcp_types as types
    from mcp.server.lowlevel import Server

    schemas: list[ToolSchema] = episode.env.get_wrapper_attr("tool_schemas")
    one_at_a_time = threading.Lock()

    async def list_tools(context: Any, parameters: Any) -> Any:
        return types.ListToolsResult(
            tools=[
                types.Tool(
                    name=schema["function"]["name"],
                    description=schema["function"]["description"],
                    input_schema=schema["function"]["parameters"],
                )
                for schema in schemas
            ]
        )

    def carry_out(name: str, arguments: dict[str, Any]) -> str:
        with one_at_a_time:
            running = not episode.over
            text = episode.call(name, arguments)
            if running and episode.over and episode.verdict is not None:
                text += f"\n\nresolved: {episode.verdict.resolved} ({episode.verdict.reason})"
            return text

    async def call_tool(context: Any, parameters: Any) -> Any:
        text = await asyncio.to_thread(carry_out, parameters.name, parameters.arguments or {})
        return types.CallToolResult(content=[types.TextContent(type="text", text=text)])

    return Server("swegym", instructions=as_text(episode.opening), on_list_tools=list_tools, on_call_tool=call_tool)


def serve(tasks: str, *, task: str | None = None, seed: int | None = None, **overrides: Any) -> float | None:
    """Serve one episode until the client leaves; returns its reward, None where there is none."""
    from mcp.server.stdio import stdio_server

    episode = ToolEpisode(open_env(tasks, **overrides))
    episode.reset(task=task, seed=seed)
    server = make_server(episode)

    async def run() -> None:
        async with stdio_server() as (reading, writing):
            await server.run(reading, writing, server.create_initialization_options())

    try:
        asyncio.run(run())
        return episode.reward
    finally:
        episode.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m swegym.adapters.mcp_server", description="One episode over MCP.")
    parser.add_argument("tasks", help="a Gymnasium id, or a task set's name or folder")
    parser.add_argument("--task", help="which task; the seed chooses otherwise")
    parser.add_argument("--seed", type=int, help="chooses the task")
    given = parser.parse_args()
    try:
        serve(given.tasks, task=given.task, seed=given.seed)
    except SwegymError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()

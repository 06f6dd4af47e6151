"""Run a shell command."""

from __future__ import annotations

from swegym.tools.base import ToolContext, ToolError, tool
from swegym.types import ExecResult

_LIMITS = {
    "memory": "stopped: it used more memory than the machine has",
    "disk": "stopped: the disk is full",
    "machine": "stopped: it ended every process of the machine; files are kept",
}


@tool
def bash(context: ToolContext, command: str, timeout: float = 60.0) -> str:
    """Run a bash command in the repository and return its output and exit code.

    Each call starts a new shell in the repository's root: files stay, while `cd` and variables do not. There is no
    network, and no terminal for programs that ask questions.

    Args:
        command: The command line; several lines and pipes are fine.
        timeout: Seconds after which the command and all it started are stopped.
    """
    if "\0" in command:
        raise ToolError("A command cannot contain a NUL character.")
    if not timeout > 0:
        raise ToolError("timeout must be more than 0 seconds.")
    allowed = min(timeout, max(context.seconds_left, 1.0))
    return describe(context.sandbox.exec(command, timeout=allowed), allowed)


def describe(result: ExecResult, timeout: float) -> str:
    """Output, then in brackets what else happened; a command that printed nothing and succeeded says so."""
    remarks = [f"[{result.truncated} bytes of output left out]"] if result.truncated else []
    if result.limit == "time":
        remarks.append(f"[stopped after {timeout:g} seconds]")
    elif result.limit is not None:
        remarks.append(f"[{_LIMITS[result.limit]}]")
    elif result.exit_code != 0:
        remarks.append(f"[exit code {result.exit_code}]")
    elif not result.text:
        remarks.append("[no output, exit code 0]")
    text = result.text
    return text + ("\n" if text and not text.endswith("\n") and remarks else "") + "\n".join(remarks)

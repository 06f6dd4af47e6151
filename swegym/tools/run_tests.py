"""Run the tests that the repository ships. The hidden ones are not in the sandbox at all."""

from __future__ import annotations

import re

from swegym.tools.base import ToolContext, ToolError, tool

_MOST_CHARACTERS = 12_000


@tool
def run_tests(context: ToolContext, paths: list[str] = []) -> str:  # noqa: B006 (never changed; it is the schema's default)
    """Run the repository's tests with pytest and summarise what failed.

    Args:
        paths: Test files, folders or ids such as tests/test_a.py::test_b; empty for all tests.
    """
    for path in paths:
        if path.startswith("-"):
            raise ToolError(f"{path!r} is not a path. For other pytest options use bash.")
        context.path(path)
    setup = context.setup
    chosen = list(paths) or list(setup.visible)
    # As at grading: its plugins and options, not the repository's own, which may ask for what is not installed. And
    # nothing is left behind that would end up in the patch.
    command = ["python", "-m", "pytest", "-c", "/dev/null", "--rootdir", ".", "--confcutdir", "."]
    command += ["-q", "-rfE", "--tb=short", "--no-header", "--color=no", "--continue-on-collection-errors"]
    command += ["-p", "no:cacheprovider"]
    command += [part for name in setup.plugins for part in ("-p", name)]
    command += [part for key, value in setup.ini.items() for part in ("-o", f"{key}={value}")]
    environment = {
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONPATH": ":".join(context.path(folder) for folder in setup.pythonpath),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    timeout = min(setup.timeout, max(context.seconds_left, 1.0))
    result = context.sandbox.exec([*command, *chosen], cwd=context.task.workdir, env=environment, timeout=timeout)
    if result.timed_out:
        return f"[stopped after {timeout:g} seconds, before all tests had run]\n{compact(result.text)}"
    return compact(result.text) or f"[pytest printed nothing, exit code {result.exit_code}]"


def compact(output: str) -> str:
    """What pytest printed, its verdict first and without the progress dots; the middle of long output is left out."""
    rows = [row for row in output.strip().split("\n") if not re.fullmatch(r"[.sxXFE]+ *\[ *\d+%\]", row)]
    if not rows or not rows[0]:
        rows = rows[1:]
    if rows and re.search(r"\bin [\d.]+s\b", rows[-1]):
        rows = [rows[-1].strip("= "), *rows[:-1]]
    text = "\n".join(rows).rstrip()
    if len(text) <= _MOST_CHARACTERS:
        return text
    half = _MOST_CHARACTERS // 2
    return f"{text[:half]}\n[{len(text) - 2 * half} characters left out]\n{text[-half:]}"

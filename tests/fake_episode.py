"""A task, a sandbox and a grader without a machine: an episode in a few milliseconds."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from swegym.env import SWEEnv
from swegym.grading import Extraction
from swegym.sandbox.fake import FakeSandbox
from swegym.types import HiddenTests, Image, Message, Task, TestSetup, Verdict

FILES = {
    "/testbed/a.py": b"def add(a, b):\n    return a - b\n",
    "/testbed/tests/test_a.py": b"from a import add\n\n\ndef test_add():\n    assert add(1, 1) == 2\n",
}


def make_task(name: str) -> Task:
    return Task(
        id=name,
        set="fake",
        repo="adder 1.0",
        issue=f"add(1, 1) gives 0 instead of 2 ({name}) — naïve 算術.",
        image=Image("fake", "fake"),
        tests=TestSetup(visible=("tests",)),
        hidden=HiddenTests({}, ("tests",), ("tests/test_a.py::test_add",), ()),
        gold_patch="",
        pristine=Path("/nonexistent"),
        base_commit="0" * 40,
        source=("a.py",),
        digest=name,
    )


class TaskList:
    """The least a task set must have."""

    name = "fake"

    def __init__(self, *ids: str) -> None:
        self.ids = ids

    def load(self, id: str) -> Task:
        return make_task(id)


def extract(sandbox: FakeSandbox, task: Task) -> Extraction:
    """The whole of a.py stands for the patch."""
    return Extraction(patch=sandbox.read("/testbed/a.py").decode(), notes=("from a test",))


def grade(task: Task, patch: str, open_sandbox: Any) -> Verdict:
    """Opens a sandbox, as a real grader does, and resolves when the sum is a sum."""
    with open_sandbox(task.image) as sandbox:
        sandbox.exec("true")
    resolved = "return a + b" in patch
    return Verdict(resolved, None if resolved else "agent", "all passed" if resolved else "test_add failed")


open_fake = functools.partial(FakeSandbox, files=FILES)


def make_env(**changes: Any) -> SWEEnv:
    """Importable, so that specs and worker processes can name it."""
    arguments: dict[str, Any] = {"sandbox": open_fake, "grader": grade, "extract": extract}
    return SWEEnv(**{"tasks": TaskList("one", "two", "three"), **arguments, **changes})


make_env.metadata = SWEEnv.metadata  # type: ignore[attr-defined]


def call(tool: str, /, **arguments: Any) -> Message:
    return raw_call(tool, json.dumps(arguments))


def raw_call(tool: Any, arguments: Any) -> Message:
    function: Any = {"name": tool, "arguments": arguments}
    return {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
    }


FIX = call("edit", path="a.py", old="a - b", new="a + b")

"""The small repository that grading is tried on: a package whose add() subtracts, its tests and its fix."""

import os
import subprocess
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from swegym.types import Task

MakeTask = Callable[..., Task]

BASE: dict[str, bytes] = {
    "calc/__init__.py": b"from calc.core import add, halve\n",
    "calc/core.py": b"def add(a, b):\n    return a - b\n\n\ndef halve(a):\n    return a / 2\n",
    "calc/data.bin": bytes(range(256)) * 4,
    "calc/latin.txt": "caf\xe9\n".encode("latin-1"),
    "tests/__init__.py": b"",
    "tests/test_core.py": b"from calc import halve\n\n\ndef test_halve():\n    assert halve(4) == 2\n",
    "tools/run.sh": b"#!/bin/sh\necho hello\n",
    "README.md": b"# calc\n",
    "crlf.txt": b"one\r\ntwo\r\nthree\r\n",
    ".gitignore": b"build/\n*.log\n",
    "setup.cfg": b"[metadata]\nname = calc\n",
}
HIDDEN = b"""\
import pytest

from calc import add, halve


def test_halve():
    assert halve(4) == 2


@pytest.mark.parametrize("a, b, total", [(1, 2, 3), (0, 0, 0), (-1, 5, 4)])
def test_add(a, b, total):
    assert add(a, b) == total
"""
EXPECTED_TO_TURN = ("tests/test_core.py::test_add[1-2-3]", "tests/test_core.py::test_add[-1-5-4]")
EXPECTED_TO_STAY = ("tests/test_core.py::test_halve", "tests/test_core.py::test_add[0-0-0]")
GOLD = """\
diff --git a/calc/core.py b/calc/core.py
--- a/calc/core.py
+++ b/calc/core.py
@@ -1,5 +1,5 @@
 def add(a, b):
-    return a - b
+    return a + b
 
 
 def halve(a):
"""
FORGE_REPORTS = """
import sys
if "_pytest.reports" in sys.modules:
    from _pytest.reports import TestReport
    def forged(item, call, real=TestReport.from_item_and_call):
        report = real(item, call)
        report.outcome, report.longrepr = "passed", None
        return report
    TestReport.from_item_and_call = forged
"""


def git(folder: Path, *arguments: str, stdin: bytes | None = None) -> bytes:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "GIT_CONFIG_NOSYSTEM": "1",
        **{f"GIT_{who}_NAME": "swegym" for who in ("AUTHOR", "COMMITTER")},
        **{f"GIT_{who}_EMAIL": "swegym@localhost" for who in ("AUTHOR", "COMMITTER")},
        **{f"GIT_{who}_DATE": "2020-01-01T00:00:00Z" for who in ("AUTHOR", "COMMITTER")},
    }
    done = subprocess.run(["git", *arguments], cwd=folder, env=environment, input=stdin, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def write_tree(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(0o755 if name.endswith(".sh") else 0o644)


def patch_of(
    task: Task,
    folder: Path,
    files: Mapping[str, bytes] | None = None,
    *,
    delete: Iterable[str] = (),
    links: Mapping[str, str] | None = None,
    executable: Iterable[str] = (),
) -> str:
    """A patch that deletes, writes and links, as git on another machine would make it, in `folder`/work."""
    git(folder, "clone", "-q", str(task.pristine), "work")
    work = folder / "work"
    for name in delete:
        (work / name).unlink()
        if not any((work / name).parent.iterdir()):
            (work / name).parent.rmdir()
    write_tree(work, files or {})
    for name, target in (links or {}).items():
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).symlink_to(target)
    for name in executable:
        (work / name).chmod(0o755)
    git(work, "add", "-A", "-f")
    return git(work, "diff", "--cached", "--binary", "HEAD").decode()

"""A small project with a history, as a local clone: three commits, the last of which nobody may find in an image."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

SETUP = (
    "from setuptools import setup\n"
    "setup(name='calcs', version='1.2.3', packages=['calcs'], python_requires='>=3.9',\n"
    "      extras_require={'test': ['pytest']}, classifiers=['Programming Language :: Python :: 3.11'])\n"
)
SOURCE = "def double(number):\n    return number + 2\n"
TESTS = (
    "import pytest\nfrom calcs import double\n\n\n"
    "def test_two():\n    assert double(2) == 4\n\n\n"
    "@pytest.mark.parametrize('words', ['a b', 'c'])\ndef test_words(words):\n    assert words\n"
)
FIX = (
    "diff --git a/calcs/__init__.py b/calcs/__init__.py\n--- a/calcs/__init__.py\n+++ b/calcs/__init__.py\n"
    "@@ -1,2 +1,2 @@\n def double(number):\n-    return number + 2\n+    return number * 2\n"
)
TEST_PATCH = (
    "diff --git a/tests/test_calcs.py b/tests/test_calcs.py\n--- a/tests/test_calcs.py\n+++ b/tests/test_calcs.py\n"
    "@@ -9,3 +9,7 @@ def test_two():\n @pytest.mark.parametrize('words', ['a b', 'c'])\n def test_words(words):\n"
    "     assert words\n+\n+\n+def test_five():\n+    assert double(5) == 10\n"
)


def make_clone(folder: Path) -> dict[str, str]:
    """Write the repository; returns its commits by what they are."""
    folder.mkdir(parents=True)
    git(folder, "init", "--quiet", "--initial-branch", "main")
    commits = {}
    for name, files in {
        "first": {"setup.py": SETUP},
        "base": {"calcs/__init__.py": SOURCE, "tests/test_calcs.py": TESTS, ".gitignore": "*.egg-info/\nbuild/\n"},
        "fix": {"calcs/__init__.py": SOURCE.replace("+", "*"), "SECRET": "the answer\n"},
    }.items():
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        git(folder, "add", "--all")
        git(folder, "commit", "--quiet", "-m", name)
        commits[name] = git(folder, "rev-parse", "HEAD").strip()
    git(folder, "tag", "v1.3.0")
    return commits


def row(commit: str, number: int = 1, **changes: Any) -> dict[str, Any]:
    """A classic row of the project."""
    return {
        "repo": "me/calcs",
        "instance_id": f"me__calcs-{number}",
        "base_commit": commit,
        "patch": FIX,
        "test_patch": TEST_PATCH,
        "problem_statement": "double(5) gives 7.",
        "created_at": "2024-03-04T18:36:21Z",
        "version": "1.2",
        "FAIL_TO_PASS": ["tests/test_calcs.py::test_five"],
        "PASS_TO_PASS": ["tests/test_calcs.py::test_two", "tests/test_calcs.py::test_words[a", "[100%]"],
        **changes,
    }


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=me", "-c", "user.email=me@localhost", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout

"""Variants of patches by the hundred: however a path is written, what must not count does not; a fix stays a fix."""

import posixpath
import unicodedata

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from swegym.errors import PatchError
from swegym.grading import apply_patch
from swegym.grading.rules import TEST_CONFIGURATION
from swegym.types import Task

Grounds = dict[str, Task]
SETTINGS = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

FORBIDDEN = (
    *("conftest.py", "pytest.ini", ".pytest.ini", "pytest.toml", "tox.ini", "setup.cfg", "pyproject.toml"),
    *("sitecustomize.py", "usercustomize.py", "x.pth", "x.egg-link", "pyvenv.cfg", "core.pyc", ".git/config"),
    *("tests/test_core.py", "tests/new.py", "tests/sub/conftest.py", "tests", "pytest.py", "_pytest/x.py", "json.py"),
    *("pluggy/__init__.py", "unittest/case.py", "sitecustomize/__init__.py", "__pycache__/x.py", "tests.py"),
)
FOLDERS = ("", "calc/", "docs/", "tools/", "a/b/", "tests/", "na\u00efve/")
MODES = ("100644", "100755", "120000", "160000", "100664", "040000", "100600")
EXISTING = ("setup.py", "README.md", "calc/core.py", "tools/run.sh", "tests/test_core.py")


def quoted(path: str, octal: bool) -> str:
    """A path as git writes odd ones: in quotes, with escapes."""
    plain = "abcdefghijklmnopqrstuvwxyz0123456789_./-" if not octal else "/."
    escaped = "".join(chr(byte) if chr(byte) in plain else f"\\{byte:03o}" for byte in path.encode())
    return f'"{escaped}"'


@st.composite
def written(draw: st.DrawFn) -> tuple[str, str]:
    """A path that must not count, and a way to write it."""
    path = draw(st.sampled_from(FOLDERS)) + draw(st.sampled_from(FORBIDDEN))
    way = draw(
        st.sampled_from(("plain", "dot", "double", "up", "quoted", "octal", "absolute", "blank", "upper", "nfd"))
    )
    shown = {
        "plain": path,
        "dot": f"./{path}",
        "double": path.replace("/", "//"),
        "up": f"docs/../{path}",
        "quoted": path,
        "octal": path,
        "absolute": f"/testbed/{path}",
        "blank": f"{path}\t",
        "upper": path.upper(),
        "nfd": unicodedata.normalize("NFD", path),
    }[way]
    return path, way if way in ("quoted", "octal") else shown


def side(prefix: str, path: str, shown: str) -> str:
    if shown in ("quoted", "octal"):
        return quoted(f"{prefix}{path}", shown == "octal")
    return f"{prefix}{shown}"


@st.composite
def patches(draw: st.DrawFn) -> str:
    """A patch that puts something at a path where nothing may be put: added, renamed, copied, linked or deleted."""
    path, shown = draw(written())
    a, b = side("a/", path, shown), side("b/", path, shown)
    source = draw(st.sampled_from(EXISTING))
    body = "@@ -0,0 +1 @@\n+import os; os._exit(0)\n"
    kind = draw(st.sampled_from(("add", "rename", "copy", "link", "mode", "binary", "bare", "delete", "liar")))
    text = {
        "add": f"diff --git {a} {b}\nnew file mode {draw(st.sampled_from(MODES))}\n--- /dev/null\n+++ {b}\n{body}",
        "rename": f"diff --git a/{source} {b}\nsimilarity index 100%\nrename from {source}\nrename to {b[2:]}\n",
        "copy": f"diff --git a/{source} {b}\nsimilarity index 100%\ncopy from {source}\ncopy to {b[2:]}\n",
        "link": f"diff --git {a} {b}\nnew file mode 120000\n--- /dev/null\n+++ {b}\n@@ -0,0 +1 @@\n+calc/core.py\n"
        "\\ No newline at end of file\n",
        "mode": f"diff --git {a} {b}\nold mode 100644\nnew mode {draw(st.sampled_from(MODES))}\n",
        "binary": f"diff --git {a} {b}\nnew file mode 100644\nindex 0000000..1111111\nGIT binary patch\nliteral 0\n"
        "HcmV?d00001\n\n",
        "bare": f"--- /dev/null\n+++ {b}\n{body}",
        "delete": f"diff --git {a} {b}\ndeleted file mode 100644\n--- {a}\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n",
        "liar": f"diff --git a/README.md b/README.md\nnew file mode 100644\n--- /dev/null\n+++ {b}\n{body}",
    }[kind]
    if draw(st.booleans()):
        text = text.replace("\n", "\r\n")
    return text


def counts_against_rules(path: str) -> str | None:
    """Why a change of this path in `flat` must not have counted; written apart from the rules of the grader."""
    parts = path.split("/")
    if path.startswith("/") or ".." in parts or "" in parts or "." in parts or posixpath.normpath(path) != path:
        return "leaves the tree, or is no plain path"
    if any(part.lower() == ".git" for part in parts):
        return "git's own"
    if parts[0] == "tests" or path == "tests.py":
        return "of the hidden tests"
    if parts[-1] in TEST_CONFIGURATION or parts[-1] == "pytest.toml":
        return "test configuration"
    if any(part.split(".")[0] in ("sitecustomize", "usercustomize") for part in parts):
        return "start-up"
    if parts[-1].endswith((".pth", ".egg-link", ".pyc")) or parts[-1] == "pyvenv.cfg" or "__pycache__" in parts:
        return "start-up, or compiled"
    if parts[0].split(".")[0] in ("pytest", "_pytest", "pluggy", "json", "unittest") and path.endswith(".py"):
        return "shadows"
    return None


@SETTINGS
@given(patch=patches())
def test_what_must_not_count_does_not_however_it_is_written(grounds: Grounds, patch: str) -> None:
    try:
        applied = apply_patch(grounds["flat"], patch)
    except PatchError:
        return
    for path, change in applied.changes.items():
        assert counts_against_rules(path) is None, (path, patch)
        assert change.mode in ("100644", "100755", "120000")
        assert change.mode != "120000" or not (change.data or b"").startswith(b"/")


@SETTINGS
@given(first=patches(), second=patches())
def test_a_patch_of_several_parts_is_no_way_around(grounds: Grounds, first: str, second: str) -> None:
    """Parts that make a path in steps: what the first adds, the second renames."""
    try:
        applied = apply_patch(grounds["flat"], first + second + grounds["flat"].gold_patch)
    except PatchError:
        return
    assert not [path for path in applied.changes if counts_against_rules(path)]
    assert "calc/core.py" in applied.changes


@SETTINGS
@given(target=st.text(alphabet="./abtc-_\u00e9", min_size=1, max_size=24), place=st.sampled_from(FOLDERS))
def test_a_link_never_leaves_the_tree(grounds: Grounds, target: str, place: str) -> None:
    assume("\n" not in target)
    path = f"{place}link"
    patch = (
        f"diff --git {quoted(f'a/{path}', False)} {quoted(f'b/{path}', False)}\nnew file mode 120000\n--- /dev/null\n"
        f"+++ {quoted(f'b/{path}', False)}\n@@ -0,0 +1 @@\n+{target}\n\\ No newline at end of file\n"
    )
    try:
        applied = apply_patch(grounds["flat"], patch)
    except PatchError:
        return
    for name, change in applied.changes.items():
        end = posixpath.normpath(posixpath.join(posixpath.dirname(name), (change.data or b"").decode()))
        assert not end.startswith(("/", "..")) and end.split("/")[0].lower() != ".git", (name, change)


@st.composite
def rewritten(draw: st.DrawFn) -> tuple[str, list[str]]:
    """Ways to write the same fix: other headers, more context lines' numbers, a mail around it, files beside it."""
    ways = draw(
        st.lists(
            st.sampled_from(("no git header", "stamps", "index", "mail", "new file", "mode", "no final newline")),
            unique=True,
            max_size=4,
        )
    )
    return draw(st.sampled_from(("flat", "src", "inside", "command", "single"))), ways


@SETTINGS
@given(how=rewritten())
def test_a_fix_counts_however_it_is_written(grounds: Grounds, how: tuple[str, list[str]]) -> None:
    task, ways = grounds[how[0]], how[1]
    lines = task.gold_patch.split("\n")
    if "no git header" in ways:
        lines = [line for line in lines if not line.startswith(("diff --git", "index "))]
    if "index" in ways:
        lines = [line for line in lines if not line.startswith("index ")]
    text = "\n".join(lines)
    if "stamps" in ways:
        text = "\n".join(
            f"{line}\t2024-01-01 00:00:00 +0000" if line.startswith(("--- a", "+++ b")) else line for line in lines
        )
    beside = set()
    if "new file" in ways:
        text += "diff --git a/notes.txt b/notes.txt\nnew file mode 100644\n"
        text += "--- /dev/null\n+++ b/notes.txt\n@@ -0,0 +1 @@\n+x\n"
        beside.add("notes.txt")
    if "mode" in ways:
        text += "diff --git a/README.md b/README.md\nold mode 100644\nnew mode 100755\n"
        beside.add("README.md")
    if "mail" in ways:
        text = f"From 1 Mon Sep 17 00:00:00 2001\nSubject: [PATCH] fix\n\n---\n\n{text}"
    if "no final newline" in ways:
        text = text.rstrip("\n")
    fixed = apply_patch(task, task.gold_patch).changes
    found = apply_patch(task, text)
    assert {path: found.changes[path] for path in fixed} == fixed
    assert found.changes.keys() - fixed.keys() == beside and not found.notes


@pytest.mark.parametrize("path", FORBIDDEN)
def test_every_forbidden_path_is_noted_when_it_is_written_plainly(grounds: Grounds, path: str) -> None:
    patch = f"diff --git a/{path} b/{path}\nnew file mode 100644\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+x\n"
    try:
        applied = apply_patch(grounds["flat"], patch)
    except PatchError:
        return
    assert not applied.changes and len(applied.notes) == 1

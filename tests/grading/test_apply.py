"""Which changes of a patch count, by rules that the patch has no say in."""

import dataclasses

import pytest
from calc_repository import BASE, GOLD, git, patch_of

from swegym.errors import PatchError, TaskError
from swegym.grading import apply_patch
from swegym.grading.links import leaves_tree
from swegym.types import HiddenTests


@pytest.mark.parametrize(
    "name",
    [
        "calc/new.py",
        "calc/deep/__init__.py",
        "CHANGES",
        "setup.py",
        "requirements.txt",
        "Makefile",
        "tests_extra/test_more.py",
        "calc/json.py",
        "calc/types/__init__.py",
        "docs/conf.py",
        "data/blob.bin",
        "calc/configuration.toml",
        ".github/workflows/ci.yml",
    ],
)
def test_honest_paths_count(task, tmp_path, name):
    applied = apply_patch(task, patch_of(task, tmp_path, {name: b"a\0b" if name.endswith("bin") else b"x = 1\n"}))
    assert set(applied.changes) == {name} and applied.notes == ()


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("tests/test_core.py", "hidden tests"),
        ("tests/helpers.py", "hidden tests"),
        ("tests/deep/conftest.py", "hidden tests"),
        ("conftest.py", "test configuration"),
        ("calc/conftest.py", "test configuration"),
        ("pytest.ini", "test configuration"),
        (".pytest.ini", "test configuration"),
        ("tox.ini", "test configuration"),
        ("setup.cfg", "test configuration"),
        ("pyproject.toml", "test configuration"),
        ("sitecustomize.py", "when it starts"),
        ("usercustomize/__init__.py", "when it starts"),
        ("evil.pth", "when it starts"),
        ("pytest.py", "shadows 'pytest'"),
        ("_pytest/__init__.py", "shadows '_pytest'"),
        ("pluggy.cpython-311-x86_64-linux-gnu.so", "shadows 'pluggy'"),
        ("json.py", "shadows 'json'"),
        ("re/__init__.py", "shadows 're'"),
        ("collections/anything.txt", "shadows 'collections'"),
        ("tests.py", "shadows 'tests'"),
        ("calc/__pycache__/core.cpython-311.pyc", "compiled"),
        ("calc/core.pyc", "compiled"),
    ],
)
def test_paths_set_aside_by_rule(task, tmp_path, name, rule):
    applied = apply_patch(task, patch_of(task, tmp_path, {name: b"x = 1\n", "calc/more.py": b"\n"}))
    assert set(applied.changes) == {"calc/more.py"}
    [note] = applied.notes
    assert note.startswith(f"{name}: ") and rule in note


def test_import_roots_come_from_the_task(make_task, tmp_path):
    task = make_task(BASE | {"src/calc2/__init__.py": b""}, tests={"pythonpath": ("src", ".")})
    applied = apply_patch(
        task, patch_of(task, tmp_path, {"src/json.py": b"", "src/tests/__init__.py": b"", "src/a.py": b""})
    )
    assert set(applied.changes) == {"src/a.py"}


def test_what_the_reference_fix_touches_counts(task, tmp_path):
    gold = patch_of(task, tmp_path, {"setup.cfg": b"[metadata]\nname = calc2\n", "conftest.py": b"\n"})
    allowed = dataclasses.replace(task, gold_patch=gold)
    assert set(apply_patch(allowed, gold).changes) == {"setup.cfg", "conftest.py"}
    assert set(apply_patch(task, gold).changes) == set()


def test_a_base_module_named_like_the_standard_library_may_change(make_task, tmp_path):
    task = make_task(BASE | {"types.py": b"a = 1\n"})
    assert set(apply_patch(task, patch_of(task, tmp_path, {"types.py": b"a = 2\n"})).changes) == {"types.py"}


def test_deleting_and_linking_around_the_hidden_tests(make_task, tmp_path):
    task = make_task(
        BASE | {"pkg/tests/test_a.py": b"", "pkg/mod.py": b""},
        hidden={"pkg/tests/test_a.py": b"def test(): pass\n"},
    )
    hidden = HiddenTests(task.hidden.files, ("pkg/tests",), ("pkg/tests/test_a.py::test",), ())
    task = dataclasses.replace(task, hidden=hidden)
    deletes = ["pkg/tests/test_a.py", "pkg/mod.py"]
    patch = patch_of(task, tmp_path, {"other/tests/test_a.py": b"\n"}, delete=deletes, links=())
    assert set(apply_patch(task, patch).changes) == {"other/tests/test_a.py", "pkg/mod.py"}
    work = tmp_path / "work"
    (work / "pkg" / "tests").rmdir() if (work / "pkg" / "tests").exists() else None
    (work / "pkg").rmdir() if (work / "pkg").exists() else None
    (work / "pkg").symlink_to("other")
    git(work, "add", "-A", "-f")
    applied = apply_patch(task, git(work, "diff", "--cached", "--binary", "HEAD").decode())
    assert set(applied.changes) == {"other/tests/test_a.py", "pkg/mod.py"}
    assert any(note.startswith("pkg: ") for note in applied.notes)


def test_a_file_cannot_take_the_place_of_a_folder_that_stays(make_task, tmp_path):
    task = make_task(BASE | {"extra/conftest.py": b""})
    patch = patch_of(task, tmp_path, delete=["extra/conftest.py"])
    work = tmp_path / "work"
    (work / "extra").rmdir() if (work / "extra").is_dir() else None
    (work / "extra").write_bytes(b"a file\n")
    git(work, "add", "-A", "-f")
    patch = git(work, "diff", "--cached", "--binary", "HEAD").decode()
    applied = apply_patch(task, patch)
    assert applied.changes == {} and len(applied.notes) == 2


def test_links_inside_the_tree_count_and_others_do_not(task, tmp_path):
    links = {"calc/alias.py": "core.py", "etc": "/etc", "up": "../x", "calc/dot": "../.git/hooks"}
    applied = apply_patch(task, patch_of(task, tmp_path, links=links))
    assert set(applied.changes) == {"calc/alias.py"}
    assert applied.changes["calc/alias.py"].mode == "120000"


@pytest.mark.parametrize(
    ("path", "target", "links", "leaves"),
    [
        ("a", "b/c", {}, False),
        ("a/b", "../c", {}, False),
        ("a/b", "../../c", {}, True),
        ("a", "/etc", {}, True),
        ("a", "b/../../x", {"b": "deep/er"}, False),
        ("a/b/c", "d/../../..", {"a/b/d": "../.."}, True),
        ("a", "b", {"b": "a", "a": "b"}, True),
        ("a", "", {}, False),
        ("a", ".git/x", {}, True),
        ("a", "x/.GIT", {"x": "."}, True),
    ],
)
def test_links_are_followed_on_paper(path, target, links, leaves):
    assert leaves_tree(path, target, links) is leaves


@pytest.mark.parametrize(
    "path",
    ["../outside.py", "a/../../outside.py", "/etc/passwd", ".git/hooks/post-checkout", "a/.GIT/config", "./x.py"],
)
def test_paths_outside_the_work_tree_are_refused(task, path):
    patch = f"diff --git a/{path} b/{path}\nnew file mode 100644\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+x\n"
    with pytest.raises(PatchError):
        apply_patch(task, patch)


@pytest.mark.parametrize(
    ("patch", "reason"),
    [
        ("this is no patch", "No valid patches"),
        (GOLD.replace("a - b", "a * b"), "patch does not apply"),
        (GOLD[:-30], "corrupt patch"),
        (GOLD.replace("calc/core.py", "calc/nowhere.py"), "does not exist"),
        ("diff --git a/x b/x\nnew file mode 100644\nGIT binary patch\nliteral 99999999999\n", "binary file"),
    ],
)
def test_a_patch_that_does_not_apply_says_why(task, patch, reason):
    with pytest.raises(PatchError, match=reason):
        apply_patch(task, patch)


def test_a_missing_newline_at_the_end_is_forgiven(task):
    assert set(apply_patch(task, GOLD.rstrip("\n") + "\n\n").changes) == {"calc/core.py"}
    added = "diff --git a/n.txt b/n.txt\nnew file mode 100644\n--- /dev/null\n+++ b/n.txt\n@@ -0,0 +1 @@\n+x"
    assert apply_patch(task, added).changes["n.txt"].data == b"x\n"


def test_nested_repositories_are_set_aside(task):
    patch = (
        "diff --git a/sub b/sub\nnew file mode 160000\nindex 0000000..1111111\n--- /dev/null\n+++ b/sub\n"
        "@@ -0,0 +1 @@\n+Subproject commit 1111111111111111111111111111111111111111\n"
    )
    applied = apply_patch(task, patch)
    assert applied.changes == {} and "nested repository" in applied.notes[0]


def test_a_broken_reference_is_the_tasks_fault(task):
    broken = dataclasses.replace(task, gold_patch=GOLD.replace("a - b", "nothing"))
    with pytest.raises(TaskError, match="gold patch"):
        apply_patch(broken, GOLD)


def test_a_library_that_only_the_hidden_tests_import_is_not_shadowed(make_task, tmp_path):
    """What the tree or the reference fix provides may come as a module or as a package; all else is installed."""
    checks = b"import hamcrest\nfrom numpy.testing import assert_allclose\nimport calc\nimport other\n"
    task = make_task(hidden={"tests/test_core.py": checks})
    added = (
        "diff --git a/other.py b/other.py\nnew file mode 100644\n--- /dev/null\n+++ b/other.py\n@@ -0,0 +1 @@\n+x = 1\n"
    )
    task = dataclasses.replace(task, gold_patch=task.gold_patch + added)
    names = ("hamcrest.py", "numpy/testing.py", "calc/more.py", "other/__init__.py", "free.py")
    applied = apply_patch(task, patch_of(task, tmp_path, dict.fromkeys(names, b"x = 1\n")))
    assert set(applied.changes) == {"calc/more.py", "other/__init__.py", "free.py"}
    assert [note.partition(":")[0] for note in applied.notes] == ["hamcrest.py", "numpy/testing.py"]


@pytest.mark.parametrize(
    ("path", "mode", "text", "rule"),
    [
        ("n" * 256, "100644", "x", "too long"),
        ("/".join(["folder"] * 700), "100644", "x", "too long"),
        ("nowhere", "120000", "", "no path"),
        ("far", "120000", "x" * 4001, "no path"),
        ("cut", "120000", "..\0x", "no path"),
    ],
)
def test_what_no_file_system_can_hold_is_set_aside(task, path, mode, text, rule):
    """Else the machine could not write the tree, and what a machine cannot do judges nobody."""
    patch = f"diff --git a/{path} b/{path}\nnew file mode {mode}\n"
    if text:
        patch += f"--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+{text}\n\\ No newline at end of file\n"
    else:
        patch += "index 0000000..e69de29\n"
    applied = apply_patch(task, patch)
    assert not applied.changes and len(applied.notes) == 1 and rule in applied.notes[0]

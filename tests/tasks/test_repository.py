"""A sealed repository has one commit, the same everywhere, and the gold patch is exactly the difference."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from swegym.errors import TaskError
from swegym.images import store
from swegym.tasks import repository


def tree(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


FILES = {"calc.py": b"x = 1\n", "src/deep/a.py": b"", "data.bin": bytes(range(256)), "docs/dos.txt": b"a\r\nb\r\n"}


def run(folder: Path, *arguments: str) -> str:
    """Git as a user would call it, with whatever configuration this machine has."""
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


def test_the_same_tree_gives_the_same_commit_and_bytes(tmp_path: Path) -> None:
    commits, digests = [], []
    for name in ("one", "two"):
        made = tree(tmp_path / name, FILES)
        commits.append(repository.seal(made, tmp_path / f"{name}.git", "calc 1.0"))
        digests.append(store.tree_digest(made))
    assert commits[0] == commits[1]
    assert digests[0] == digests[1]


def test_there_is_one_commit_and_nothing_else(tmp_path: Path) -> None:
    made = tree(tmp_path / "tree", FILES)
    commit = repository.seal(made, tmp_path / "pristine.git", "calc 1.0")
    for folder in (made, tmp_path / "pristine.git"):
        assert run(folder, "rev-list", "--all").split() == [commit]
        assert run(folder, "fsck", "--full", "--unreachable", "--dangling") == ""
        assert run(folder, "remote") == ""
    git = made / ".git"
    assert sorted(path.name for path in git.iterdir()) == ["HEAD", "config", "index", "info", "objects", "refs"]
    assert run(made, "status", "--porcelain", "--ignored") == ""
    assert run(made, "rev-parse", "--abbrev-ref", "HEAD") == "main\n"


def test_what_the_releases_own_attributes_and_ignores_say_changes_no_byte(tmp_path: Path) -> None:
    files = {
        **FILES,
        ".gitattributes": b"*.txt text eol=lf\n*.py filter=evil ident\n",
        ".gitignore": b"*.py\nbuild/\n",
        "build/made.py": b"# $Id$\r\n",
    }
    made = tree(tmp_path / "tree", files)
    commit = repository.seal(made, tmp_path / "pristine.git", "calc 1.0")
    for name, data in files.items():
        shown = subprocess.run(
            ["git", "cat-file", "blob", f"{commit}:{name}"], cwd=tmp_path / "pristine.git", capture_output=True
        )
        assert shown.stdout == data
    assert run(made, "status", "--porcelain") == ""


def test_what_git_cannot_hold_is_not_in_the_tree(tmp_path: Path) -> None:
    made = tree(tmp_path / "tree", {**FILES, "inner/.git/config": b"", "pkg/__pycache__/a.cpython-311.pyc": b"x"})
    (made / "empty" / "deeper").mkdir(parents=True)
    (made / "calc.py").chmod(0o640)
    (made / "src" / "deep" / "a.py").chmod(0o700)
    (made / "link").symlink_to("calc.py")
    repository.tidy(made)
    assert not any((made / name).exists() for name in ("empty", "inner", "pkg"))
    assert (made / "calc.py").stat().st_mode & 0o777 == 0o644
    assert (made / "src" / "deep" / "a.py").stat().st_mode & 0o777 == 0o755
    assert (made / "link").is_symlink()


def test_the_difference_applied_gives_the_new_tree(tmp_path: Path) -> None:
    new = {
        "src/a.py": b"x = 2\n",
        "src/new file.py": b"y\n",
        "src/grüße.py": b"z\n",
        "src/data.bin": bytes(range(255)),
        "src/latin.txt": b"\xe4\xf6\n",
        "src/dos.py": b"a\r\nc\r\n",
    }
    old = {"src/a.py": b"x = 1\n", "src/gone.py": b"", "src/data.bin": bytes(range(256)), "src/latin.txt": b"\xe4\n"}
    before = tree(tmp_path / "old", {**old, "src/dos.py": b"a\r\nb\r\n", "setup.py": b"1"})
    after = tree(tmp_path / "new", {**new, "setup.py": b"2"})
    (after / "src" / "a.py").chmod(0o755)
    patch = repository.difference(before, after, ["src"], [], tmp_path / "scratch.git")
    (tmp_path / "gold.patch").write_bytes(patch.encode("utf-8", "surrogateescape"))
    run(before, "init", "--quiet")
    run(before, "apply", str(tmp_path / "gold.patch"))
    for name, data in new.items():
        assert (before / name).read_bytes() == data
    assert not (before / "src/gone.py").exists()
    assert os.access(before / "src/a.py", os.X_OK)
    assert (before / "setup.py").read_bytes() == b"1"


def test_the_difference_leaves_out_tests_that_lie_in_the_source(tmp_path: Path) -> None:
    before = tree(tmp_path / "old", {"calc/a.py": b"1\n", "calc/tests/test_a.py": b"1\n"})
    after = tree(tmp_path / "new", {"calc/a.py": b"2\n", "calc/tests/test_a.py": b"2\n", "calc/tests/new.py": b""})
    patch = repository.difference(before, after, ["calc"], ["calc/tests"], tmp_path / "scratch.git")
    assert "calc/a.py" in patch
    assert "tests" not in patch


def test_single_files_can_be_named_beside_tests_elsewhere(tmp_path: Path) -> None:
    before = tree(tmp_path / "old", {"calc/deep/a.py": b"1\n", "calc/b.py": b"1\n", "tests/test_a.py": b"1\n"})
    after = tree(tmp_path / "new", {"calc/deep/a.py": b"2\n", "calc/b.py": b"2\n", "tests/test_a.py": b"2\n"})
    for paths in (["calc/deep/a.py"], ["calc/deep/a.py", "calc/b.py"]):
        patch = repository.difference(before, after, paths, ["tests"], tmp_path / f"{len(paths)}.git")
        assert patch.count("diff --git") == len(paths)
        assert "tests" not in patch


def test_a_path_that_only_one_release_has_is_added_or_deleted(tmp_path: Path) -> None:
    before = tree(tmp_path / "old", {"calc.py": b"1\n"})
    after = tree(tmp_path / "new", {"calc/__init__.py": b"1\n"})
    patch = repository.difference(before, after, ["calc.py", "calc"], [], tmp_path / "scratch.git")
    assert "deleted file mode 100644" in patch
    assert "new file mode 100644" in patch


def test_equal_trees_have_no_difference(tmp_path: Path) -> None:
    before, after = tree(tmp_path / "old", FILES), tree(tmp_path / "new", FILES)
    assert repository.difference(before, after, ["calc.py", "src"], [], tmp_path / "scratch.git") == ""


def test_the_machines_git_configuration_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = repository.seal(tree(tmp_path / "one", FILES), tmp_path / "one.git", "calc 1.0")
    (tmp_path / ".gitconfig").write_text(
        "[core]\n\tautocrlf = true\n[commit]\n\tgpgsign = true\n[diff]\n\tnoprefix = true\n"
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_AUTHOR_DATE", "2011-11-11T11:11:11")
    assert repository.seal(tree(tmp_path / "two", FILES), tmp_path / "two.git", "calc 1.0") == plain
    after = tree(tmp_path / "new", {"calc.py": b"x = 2\n"})
    assert "--- a/calc.py" in repository.difference(tmp_path / "two", after, ["calc.py"], [], tmp_path / "scratch.git")


def test_a_machine_without_git_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TaskError, match="Install git"):
        repository.seal(tree(tmp_path / "tree", FILES), tmp_path / "pristine.git", "calc 1.0")


def test_no_time_tells_which_files_were_written_last(tmp_path: Path) -> None:
    made = tree(tmp_path / "tree", FILES)
    (made / "link").symlink_to("calc.py")
    os.utime(made / "calc.py", (1, 1))
    repository.seal(made, tmp_path / "pristine.git", "calc 1.0")
    assert len({path.lstat().st_mtime_ns for path in (made, *made.rglob("*"))}) == 1
    assert run(made, "status", "--porcelain") == ""

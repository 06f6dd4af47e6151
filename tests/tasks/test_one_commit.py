"""A repository written without git is the one that git would have made."""

from __future__ import annotations

import subprocess
from pathlib import Path

from swegym.tasks import repository
from swegym.tasks.one_commit import seal_files

FILES = {
    "pricing.py": b"def fee(a):\n    return a + 1\n",
    "tests/test_all.py": b"from pricing import fee\n",
    "tests/data/a.bin": bytes(range(256)) * 90,  # more than one byte of the pack's size
    "tests-more": b"",  # sorts before the folder tests/ in a tree and after it by name
    "tests.txt": b"x",
    "\u00e4/\u00fc.txt": b"\xff",
}


def run(place: Path, *arguments: str) -> str:
    return repository.git(place, *arguments).decode()


def test_commit_trees_and_files_are_those_of_git(tmp_path: Path) -> None:
    commit = seal_files(FILES, tmp_path / "ours", tmp_path / "ours.git", "micro 1")
    for path, data in FILES.items():
        (tmp_path / "theirs" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "theirs" / path).write_bytes(data)
    assert commit == repository.seal(tmp_path / "theirs", tmp_path / "theirs.git", "micro 1")
    for place in (tmp_path / "ours.git", tmp_path / "ours" / ".git"):
        run(place, "fsck", "--strict", "--full")
        assert run(place, "rev-list", "--all").split() == [commit]
        for name in (["HEAD"], ["config"], ["info", "attributes"], ["refs", "heads", "main"]):
            assert (
                place.joinpath(*name).read_bytes()
                == (tmp_path / place.relative_to(tmp_path).as_posix().replace("ours", "theirs"))
                .joinpath(*name)
                .read_bytes()
            )
    shown = repository.git(tmp_path / "ours.git", "cat-file", "blob", f"{commit}:tests/data/a.bin")
    assert shown == FILES["tests/data/a.bin"]


def test_the_work_tree_is_clean_and_git_can_work_in_it(tmp_path: Path) -> None:
    seal_files(FILES, tmp_path / "ours", tmp_path / "ours.git", "micro 1")
    tree = tmp_path / "ours"

    def git(*arguments: str) -> str:
        command = ["git", "-c", "core.quotepath=off", *arguments]
        return subprocess.run(command, cwd=tree, check=True, capture_output=True, text=True).stdout

    assert git("status", "--porcelain", "--ignored") == ""
    (tree / "pricing.py").write_text("def fee(a):\n    return a\n")
    assert git("diff", "--name-only").split() == ["pricing.py"]
    git("add", "-A")
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "change")
    assert len(git("rev-list", "--all").split()) == 2
    assert repository.git(tmp_path / "ours.git", "rev-list", "--all").decode().count("\n") == 1


def test_the_index_is_that_of_read_tree(tmp_path: Path) -> None:
    commit = seal_files(FILES, tmp_path / "ours", tmp_path / "ours.git", "micro 1")
    ours = run(tmp_path / "ours" / ".git", "ls-files", "--stage")
    run(tmp_path / "ours" / ".git", "read-tree", commit)
    assert run(tmp_path / "ours" / ".git", "ls-files", "--stage") == ours


def test_the_pack_is_one_that_git_indexes_alike(tmp_path: Path) -> None:
    sizes = (0, 1, 15, 16, 2047, 2048, 70_000)  # where the length of an object's head changes
    files = {f"d{number}/{number}.bin": bytes([number]) * size for number, size in enumerate(sizes)}
    seal_files(files, tmp_path / "tree", tmp_path / "bare.git", "m")
    pack = next((tmp_path / "bare.git" / "objects" / "pack").glob("*.pack"))
    command = ["git", "index-pack", "--strict", "-o", str(tmp_path / "again.idx"), str(pack)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert (tmp_path / "again.idx").read_bytes() == pack.with_suffix(".idx").read_bytes()

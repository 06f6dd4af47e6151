"""Mining a package and a clone made here, from the index to recipes that build, and on from where it was ended."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from swegym.grading import run_hidden
from swegym.guidance.leaks import find_leaks
from swegym.sandbox import open_sandbox
from swegym.tasks import load_task_set
from swegym.tasks.build import build
from swegym.tasks.miners.change import Limits, Workshop
from swegym.tasks.miners.commits import mine_clone
from swegym.tasks.miners.journal import Entry, Journal, yields
from swegym.tasks.miners.releases import Walk, mine_package

pytestmark = [pytest.mark.network, pytest.mark.slow]  # the environment layer; a dozen runs of pytest

NAME = "swegym-mined-example"
OLD = "def add(a, b):\n    return a - b\n\n\ndef keep(x):\n    return x\n\n\ndef double(x):\n    return x\n"
NEW = OLD.replace("a - b", "a + b").replace("def double(x):\n    return x\n", "def double(x):\n    return 2 * x\n")
TEST = "from swegym_mined_example import add, double, keep\n\n\ndef test_keep():\n    assert keep(1) == 1\n"
MORE = TEST + "\n\ndef test_add():\n    for _ in range(2):\n        assert add(2, 3) == 5\n"
MORE += "\n\ndef test_double():\n    for value in (4,):\n        assert double(value) == 8\n"


def files(source: str, tests: str) -> dict[str, str]:
    return {"swegym_mined_example.py": source, "tests/test_it.py": tests, "pyproject.toml": "[project]\nname = 'x'\n"}


def archive(folder: Path, version: str, content: dict[str, str]) -> None:
    with tarfile.open(folder / f"{NAME.replace('-', '_')}-{version}.tar.gz", "w:gz") as tar:
        for name, text in content.items():
            entry = tarfile.TarInfo(f"{NAME}-{version}/{name}")
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))


@pytest.fixture
def shop() -> Workshop:
    return Workshop(open_sandbox, run_hidden, find_leaks, limits=Limits(repeats=1))


def test_a_release_becomes_one_task_for_each_problem_and_is_not_looked_through_twice(
    tmp_path: Path, shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    links = tmp_path / "links"
    links.mkdir()
    archive(links, "1.0", files(OLD, TEST))
    archive(links, "1.1", files(NEW, MORE))
    archive(links, "1.2", {"swegym_mined_example.py": NEW})
    monkeypatch.setenv("PIP_FIND_LINKS", str(links))
    journal, seen = Journal(tmp_path / "mined"), list[Entry]()
    mine_package(NAME, journal, shop, Walk(pairs=5, most=8), seen.append, lambda key: None)
    assert [entry.key for entry in seen] == [f"{NAME} 1.1 1.2", f"{NAME} 1.0 1.1"]
    assert seen[0].reasons == ("its source release has no tests",)
    assert len(seen[1].tasks) == 2, seen[1]
    found = load_task_set(tmp_path / "mined")
    assert all(result.built for result in build(found))
    patches = {found.load(task).gold_patch.count("\n+") for task in found}
    issues = [found.recipe(task).issue for task in found]
    assert patches == {2}, "a header and one line each"
    assert any("add(2, 3)" in issue and "5" in issue for issue in issues)
    again: list[Entry] = []
    mine_package(NAME, Journal(tmp_path / "mined"), shop, Walk(pairs=5), again.append, lambda key: None)
    assert again == []
    assert yields(journal.entries.values())["tasks"] == 2


def test_commits_that_change_sources_and_tests_become_tasks(tmp_path: Path, shop: Workshop) -> None:
    clone = tmp_path / NAME
    clone.mkdir()

    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", *identity, *arguments], cwd=clone, check=True, capture_output=True)

    git("init", "-q")
    for source, tests in ((OLD, TEST), (OLD + "\n", TEST), (OLD.replace("a - b", "a + b") + "\n", MORE)):
        for name, text in files(source, tests).items():
            (clone / name).parent.mkdir(exist_ok=True)
            (clone / name).write_text(text)
        git("add", "--all")
        git("commit", "-q", "-m", "next")
    seen: list[Entry] = []
    mine_clone(clone, NAME, Journal(tmp_path / "mined"), shop, 10, seen.append, lambda key: None)
    assert len(seen) == 1 and len(seen[0].tasks) == 1, seen
    found = load_task_set(tmp_path / "mined")
    assert build(found)[0].built
    task = found.load(seen[0].tasks[0])
    assert "+    return a + b" in task.gold_patch and task.hidden.fail_to_pass == ("tests/test_it.py::test_add",)

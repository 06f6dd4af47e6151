"""Task sets on the command line: what is shown, what stays hidden, what is proven, and what bad recipes say."""

import dataclasses
import io
import json
import shutil
import tarfile
from pathlib import Path

import pytest
import tiny_set

from swegym.images import store
from swegym.tasks import built, load_task_set


def test_sets_and_tasks_are_listed(swegym, tiny: str) -> None:
    rows = json.loads(swegym("tasks", "list", tiny, "--json").out)
    assert [row["task"] for row in rows] == ["tiny-1", "tiny-2"]
    assert rows[0]["package"] == "tiny 1.0"
    assert rows[0]["built"] is True
    assert "pypi" in swegym("tasks", "list").out


def test_listing_away_from_a_terminal_is_plain(swegym, tiny: str) -> None:
    out = swegym("tasks", "list", tiny).out
    assert out.isascii()
    assert "\x1b" not in out


def test_show_keeps_the_fix_to_itself_unless_asked(swegym, tiny: str) -> None:
    public = swegym("tasks", "show", tiny, "-i", "tiny-1").out
    assert "gives wrong results" in public
    assert "number * 2" not in public
    assert "test_double_of_five" not in public
    assert "+    return number * 2" in swegym("tasks", "show", tiny, "-i", "tiny-1", "--gold").out
    assert "gold_patch" not in json.loads(swegym("tasks", "show", tiny, "-i", "tiny-1", "--json").out)


def test_building_what_is_built_costs_nothing(swegym, tiny: str) -> None:
    result = swegym("tasks", "build", tiny, "--json")
    assert [row["cached"] for row in json.loads(result.out)] == [True, True]
    assert result.code == 0


def test_sound_tasks_are_proven(swegym, tiny: str) -> None:
    result = swegym("tasks", "check", tiny, "--repeats", "1")
    assert result.code == 0
    assert "2 of 2 tasks are sound" in result.out


def test_a_quick_check_is_not_taken_for_a_whole_one(swegym, tiny: str) -> None:
    first = ("tasks", "check", tiny, "-i", "tiny-1", "--repeats", "1")
    assert swegym(*first, "--quick", "--redo").code == 0
    assert "kept" in swegym(*first, "--quick").err
    assert "kept" not in swegym(*first).err
    assert "kept" in swegym(*first, "--quick").err


def test_an_unsound_task_is_named_with_its_problem(swegym, tiny: str, tmp_path: Path) -> None:
    task = load_task_set(tiny).load("tiny-1")
    tiny_set.write(tmp_path)
    folder = _renamed(tmp_path, "unsound")
    hidden = dataclasses.replace(task.hidden, fail_to_pass=task.hidden.pass_to_pass[:1], pass_to_pass=())
    with store.scratch() as scratch:
        shutil.copytree(task.pristine, scratch / "pristine.git")
        wrong = dataclasses.replace(task, set="unsound", hidden=hidden, pristine=scratch / "pristine.git")
        built.save(wrong, load_task_set(folder).stamp("tiny-1"))
    result = swegym("tasks", "check", str(folder), "-i", "tiny-1", "--repeats", "1")
    assert result.code == 1
    assert "tiny-1: tests/test_numbers.py::test_double_of_two must fail before the gold patch" in result.out
    assert "0 of 1 tasks are sound" in result.out


# --- bad input --------------------------------------------------------------------------------------------------------


def test_an_unknown_set_is_answered_with_near_names(swegym) -> None:
    result = swegym("tasks", "list", "pypy")
    assert result.code == 2
    assert "no task set named 'pypy'. Did you mean pypi?" in result.err


def test_an_unknown_task_is_answered_with_near_names(swegym, tiny: str) -> None:
    for arguments in (("tasks", "show", tiny, "-i", "tiny-3"), ("tasks", "build", tiny, "-i", "tiny-3")):
        result = swegym(*arguments)
        assert result.code == 2
        assert "'tiny-3'. Did you mean tiny-" in result.err


def test_broken_toml_names_file_and_line(swegym, tmp_path: Path) -> None:
    tiny_set.write(tmp_path / "broken")
    recipe = tmp_path / "broken" / "tiny" / "tiny-1.toml"
    recipe.write_text('source = "pypi\n')
    result = swegym("tasks", "list", str(recipe.parent))
    assert result.code == 2
    assert f"{recipe}: not valid TOML" in result.err
    assert "line 1" in result.err


def test_a_wrong_field_names_file_field_and_value(swegym, tmp_path: Path) -> None:
    tiny_set.write(tmp_path / "wrong")
    recipe = tmp_path / "wrong" / "tiny" / "tiny-1.toml"
    recipe.write_text(recipe.read_text().replace('["tiny"]', '["../tiny"]'))
    result = swegym("tasks", "list", str(recipe.parent))
    assert result.code == 2
    assert f"{recipe}: source_paths.0 = '../tiny'" in result.err


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package index in a folder that holds tiny 1.0 and nothing else."""
    folder = tmp_path / "index"
    folder.mkdir()
    with tarfile.open(folder / "tiny-1.0.tar.gz", "w:gz") as tar:
        entry = tarfile.TarInfo("tiny-1.0/PKG-INFO")
        text = b"Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n"
        entry.size = len(text)
        tar.addfile(entry, io.BytesIO(text))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_a_hash_mismatch_names_both_hashes_and_builds_nothing(swegym, tmp_path: Path, index: Path) -> None:
    tiny_set.write(tmp_path / "unbuilt")
    folder = _renamed(tmp_path / "unbuilt")
    result = swegym("tasks", "build", str(folder), "-i", "tiny-1")
    assert result.code == 1
    assert "tiny-1 cannot be built: tiny 1.0: the downloaded tiny-1.0.tar.gz has sha256" in result.out
    assert "0" * 64 in result.out
    assert not load_task_set(folder).is_built("tiny-1")


def test_a_missing_version_is_named(swegym, tmp_path: Path, index: Path) -> None:
    (index / "tiny-1.0.tar.gz").rename(index / "tiny-0.9.tar.gz")
    tiny_set.write(tmp_path / "unbuilt")
    result = swegym("tasks", "build", str(_renamed(tmp_path / "unbuilt")), "-i", "tiny-1", "--json")
    assert result.code == 1
    assert "tiny 1.0" in json.loads(result.out)[0]["error"]


def test_a_verb_that_needs_a_task_that_cannot_be_built_says_so_once(swegym, tmp_path: Path, index: Path) -> None:
    tiny_set.write(tmp_path / "unbuilt")
    result = swegym("run", str(_renamed(tmp_path / "unbuilt")), "-p", "nop", "-o", "out")
    assert result.code == 1
    assert "tiny-1 cannot be built: tiny 1.0: the downloaded" in result.err
    assert not (tmp_path / "out").exists()


def test_a_store_that_is_no_folder_is_named_with_a_remedy(
    swegym, tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_set.write(tmp_path / "unbuilt")
    monkeypatch.setenv("SWEGYM_HOME", "/etc/passwd")
    result = swegym("run", str(_renamed(tmp_path / "unbuilt")), "-p", "nop")
    assert result.code == 1
    assert "tiny-1 cannot be built: the store at /etc/passwd cannot be written: Not a directory." in result.err
    assert "SWEGYM_HOME" in result.err


def _renamed(parent: Path, name: str = "unbuilt") -> Path:
    """The set under another name, so that the session's built tasks are not its own, and stay as they are."""
    folder = (parent / "tiny").rename(parent / name)
    described = folder / "set.toml"
    described.write_text(described.read_text().replace('"tiny"', f'"{name}"'))
    return folder

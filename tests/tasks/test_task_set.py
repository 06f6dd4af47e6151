"""Task sets are found, selected and included by name; what is wrong with one is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from swegym.errors import InputError, NotBuilt, UnknownName
from swegym.tasks import known_task_sets, load_task_set
from tests.tasks.test_recipe import GOOD


def make_set(folder: Path, name: str, ids: tuple[str, ...] = (), include: tuple[str, ...] = ()) -> Path:
    place = folder / "tasks" / name
    place.mkdir(parents=True)
    quoted = ", ".join(f'"{entry}"' for entry in include)
    (place / "set.toml").write_text(f'name = "{name}"\nversion = "1"\ndescription = "d"\ninclude = [{quoted}]\n')
    for task in ids:
        (place / f"{task}.toml").write_text(GOOD)
    return place


@pytest.fixture(autouse=True)
def search_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWEGYM_PATH", str(tmp_path))


def test_a_set_is_found_by_name_and_by_folder(tmp_path: Path) -> None:
    folder = make_set(tmp_path, "mine", ("b-1-2", "a-1-2"))
    assert "mine" in known_task_sets()
    for asked in ("mine", folder, str(folder)):
        found = load_task_set(asked)
        assert (found.name, found.version, found.ids) == ("mine", "1", ("a-1-2", "b-1-2"))
    assert list(found) == ["a-1-2", "b-1-2"] and len(found) == 2 and "a-1-2" in found


def test_an_unknown_set_suggests_the_near_one(tmp_path: Path) -> None:
    make_set(tmp_path, "mine")
    with pytest.raises(UnknownName, match="Did you mean mine"):
        load_task_set("mnie")
    with pytest.raises(UnknownName, match=r"no set\.toml"):
        load_task_set(tmp_path)


def test_an_unknown_task_suggests_the_near_one(tmp_path: Path) -> None:
    found = load_task_set(make_set(tmp_path, "mine", ("calc-1.0-1.1",)))
    for ask in (found.recipe, found.load, found.is_built, lambda task: found.select([task])):
        with pytest.raises(UnknownName, match=r"Did you mean calc-1\.0-1\.1"):
            ask("calc-1.0-1.2")


def test_selection_keeps_order_and_counts(tmp_path: Path) -> None:
    found = load_task_set(make_set(tmp_path, "mine", ("a-1-2", "a-2-3", "b-1-2")))
    assert found.select(["b-*", "a-2*"]).ids == ("a-2-3", "b-1-2")
    assert found.select(limit=2).ids == ("a-1-2", "a-2-3")
    assert found.select().ids == found.ids


def test_a_task_that_is_not_built_says_how_to_build_it(tmp_path: Path) -> None:
    found = load_task_set(make_set(tmp_path, "mine", ("calc-1.0-1.1",)))
    assert not found.is_built("calc-1.0-1.1")
    with pytest.raises(NotBuilt, match="swegym tasks build mine"):
        found.load("calc-1.0-1.1")


def test_an_included_task_stays_the_other_sets(tmp_path: Path) -> None:
    make_set(tmp_path, "far", ("a-1-2", "a-2-3", "b-1-2"))
    found = load_task_set(make_set(tmp_path, "near", ("c-1-2",), include=("far:b-*", "far:a-1-2")))
    assert found.ids == ("c-1-2", "b-1-2", "a-1-2")
    assert found.home("b-1-2") == "far" and found.home("c-1-2") == "near"
    assert found.stamp("b-1-2") == load_task_set("far").stamp("b-1-2")


@pytest.mark.parametrize("entry", ["far:nothing-*", "fra:*", "near:*"])
def test_an_include_that_leads_nowhere_names_the_line(tmp_path: Path, entry: str) -> None:
    make_set(tmp_path, "far", ("a-1-2",))
    folder = make_set(tmp_path, "near", include=(entry,))
    with pytest.raises(InputError, match=rf"set\.toml: include\.0 = '{entry.replace('*', '.')}"):
        load_task_set(folder)


def test_sets_that_include_each_other_are_refused(tmp_path: Path) -> None:
    make_set(tmp_path, "far", include=("near:*",))
    with pytest.raises(InputError, match="include itself"):
        load_task_set(make_set(tmp_path, "near", include=("far:*",)))


def test_the_name_must_be_the_folders(tmp_path: Path) -> None:
    folder = make_set(tmp_path, "mine")
    folder.rename(folder.with_name("other"))
    with pytest.raises(InputError, match="folder's own name"):
        load_task_set(folder.with_name("other"))


def test_the_digest_covers_every_recipe_and_the_stamp_only_its_own(tmp_path: Path) -> None:
    folder = make_set(tmp_path, "mine", ("a-1-2", "b-1-2"))
    before = load_task_set(folder)
    digest, stamps = before.digest, (before.stamp("a-1-2"), before.stamp("b-1-2"))
    (folder / "b-1-2.toml").write_text(GOOD.replace("difference", "product"))
    after = load_task_set(folder)
    assert after.digest != digest
    assert after.stamp("a-1-2") == stamps[0] and after.stamp("b-1-2") != stamps[1]

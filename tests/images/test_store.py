"""The store keeps layers whole, by content, whoever builds them and however they stop."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from pathlib import Path

import pytest

from swegym import paths
from swegym.errors import NotBuilt, TaskError
from swegym.images import store


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    monkeypatch.setenv("SWEGYM_HOME", str(home))
    return home


def tree(folder: Path, files: dict[str, str] | None = None) -> Path:
    for name, text in (files or {"a.txt": "a", "sub/b.txt": "b"}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def leftovers() -> list[str]:
    return [path.name for path in paths.layers().iterdir() if path.name.startswith(".")]


def test_a_layer_is_moved_into_the_store_with_its_content(tmp_path: Path) -> None:
    source = tree(tmp_path / "tree")
    (source / "link").symlink_to("a.txt")
    layer = store.layer_path(store.put_layer(source))
    assert not source.exists()
    assert (layer / "sub" / "b.txt").read_text() == "b"
    assert (layer / "link").readlink() == Path("a.txt")
    assert not leftovers()


def test_equal_trees_have_one_digest_whatever_their_times(tmp_path: Path) -> None:
    first, second = tree(tmp_path / "one"), tree(tmp_path / "two")
    os.utime(second / "a.txt", (1, 1))
    digest = store.put_layer(first)
    assert store.put_layer(second) == digest
    assert not second.exists()
    assert [path.name for path in paths.layers().iterdir()] == [digest]


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "a.txt").write_text("A"),
        lambda root: (root / "a.txt").rename(root / "c.txt"),
        lambda root: (root / "a.txt").chmod(0o755),
        lambda root: (root / "sub").chmod(0o700),
        lambda root: (root / "empty").mkdir(),
        lambda root: (root / "link").symlink_to("a.txt"),
    ],
    ids=["content", "name", "mode", "folder mode", "empty folder", "link"],
)
def test_any_difference_changes_the_digest(tmp_path: Path, change) -> None:
    plain, changed = tree(tmp_path / "one"), tree(tmp_path / "two")
    change(changed)
    assert store.tree_digest(plain) != store.tree_digest(changed)


def test_a_link_and_a_file_with_its_target_as_text_differ(tmp_path: Path) -> None:
    link, file = tree(tmp_path / "one"), tree(tmp_path / "two")
    (link / "x").symlink_to("a.txt")
    (file / "x").write_text("a.txt")
    assert store.tree_digest(link) != store.tree_digest(file)


def test_where_one_name_ends_and_the_next_begins_counts(tmp_path: Path) -> None:
    one = tree(tmp_path / "one", {"ab": "c"})
    two = tree(tmp_path / "two", {"a": "bc"})
    assert store.tree_digest(one) != store.tree_digest(two)


def test_a_missing_layer_says_how_to_get_it() -> None:
    with pytest.raises(NotBuilt, match="swegym tasks build"):
        store.layer_path("0" * 64)


def test_a_file_cannot_become_a_layer(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TaskError, match="not a folder"):
        store.put_layer(tmp_path / "file")


def test_a_key_is_recalled_only_while_its_layer_is_there(tmp_path: Path) -> None:
    key = {"kind": "test", "pins": ["a==1"]}
    assert store.recall(key) is None
    digest = store.put_layer(tree(tmp_path / "tree"))
    store.remember(key, digest)
    assert store.recall(dict(reversed(key.items()))) == digest
    assert store.recall({**key, "pins": ["a==2"]}) is None
    store.remove_tree(store.layer_path(digest))
    assert store.recall(key) is None


def test_threads_that_need_one_layer_build_it_once() -> None:
    built: list[int] = []

    def fill(folder: Path) -> None:
        built.append(1)
        time.sleep(0.1)
        tree(folder)

    found: list[tuple[str, bool]] = []
    threads = [threading.Thread(target=lambda: found.append(store.layer({"k": 1}, fill))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 1
    assert len({digest for digest, _ in found}) == 1
    assert sorted(cached for _, cached in found) == [False] + [True] * 5


def test_a_builder_that_fails_leaves_nothing_and_the_next_one_builds() -> None:
    def fail(folder: Path) -> None:
        tree(folder)
        raise TaskError("no")

    with pytest.raises(TaskError):
        store.layer({"k": 2}, fail)
    assert not leftovers()
    _, cached = store.layer({"k": 2}, tree)
    assert not cached


def _put_many(home: str, folder: str) -> None:
    os.environ["SWEGYM_HOME"] = home
    for number in range(5):
        store.put_layer(tree(Path(folder, str(number)), {f"{name}.txt": "same" for name in range(20)}))


def test_processes_may_store_the_same_layer_at_once(tmp_path: Path, own_home: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_put_many, args=(str(own_home), str(tmp_path / str(n)))) for n in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert len(list(paths.layers().iterdir())) == 1


def _die_while_building(home: str) -> None:
    os.environ["SWEGYM_HOME"] = home
    with store.scratch() as folder:
        tree(folder / "layer")
        os._exit(9)


def test_what_a_killed_builder_left_is_swept_once_it_is_old(own_home: Path) -> None:
    worker = multiprocessing.get_context("spawn").Process(target=_die_while_building, args=(str(own_home),))
    worker.start()
    worker.join()
    assert len(leftovers()) == 1
    with store.scratch():
        assert len(leftovers()) == 2, "a young one may still be in use"
    os.utime(paths.layers() / leftovers()[0], (1, 1))
    with store.scratch():
        assert len(leftovers()) == 1


def test_scratch_space_in_use_is_never_swept() -> None:
    with store.scratch() as held:
        os.utime(held, (1, 1))
        with store.scratch():
            assert held.is_dir()


def test_folders_without_write_permission_are_removed(tmp_path: Path) -> None:
    locked = tree(tmp_path / "tree")
    (locked / "sub").chmod(0o500)
    store.remove_tree(locked)
    assert not locked.exists()


def test_an_image_needs_its_layers_and_its_digest_covers_all_of_it(tmp_path: Path) -> None:
    digest = store.put_layer(tree(tmp_path / "tree"))
    image = store.make_image([digest], {"A": "1"})
    assert image == store.make_image((digest,), {"A": "1"})
    others = [
        store.make_image([digest], {"A": "2"}),
        store.make_image([digest], {"A": "1"}, workdir="/elsewhere"),
        store.make_image([], {"A": "1"}),
    ]
    assert len({image.digest, *(other.digest for other in others)}) == 4
    with pytest.raises(NotBuilt):
        store.make_image(["0" * 64], {})


def test_a_write_replaces_the_file_whole(tmp_path: Path) -> None:
    file = tmp_path / "new" / "file"
    store.write_atomically(file, b"one")
    store.write_atomically(file, b"two")
    assert file.read_bytes() == b"two"
    assert [path.name for path in file.parent.iterdir()] == ["file"]

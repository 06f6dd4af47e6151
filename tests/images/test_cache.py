"""The store goes down to a size, oldest use first, and never takes away what is in use."""

from __future__ import annotations

import concurrent.futures
import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from swegym import paths
from swegym.errors import InputError
from swegym.images import cache, rootfs, store
from swegym.sandbox import layer_uses, open_sandbox
from swegym.sandbox.base import host_base
from swegym.types import Image


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SWEGYM_HOME", str(tmp_path / "home"))
    host_base.cache_clear()  # it lies in the store
    yield
    host_base.cache_clear()


def layer(text: str, used: float) -> str:
    with store.scratch() as folder:
        tree = folder / "tree"
        tree.mkdir()
        (tree / "file").write_bytes(text.encode() * 50_000)
        digest = store.put_layer(tree)
    paths.used().mkdir(parents=True, exist_ok=True)
    (paths.used() / digest).touch()
    os.utime(paths.used() / digest, (used, used))
    return digest


def test_the_layer_that_was_not_used_for_longest_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    digests = {name: layer(name, now - age) for name, age in (("a", 300.0), ("b", 900.0), ("c", 600.0))}
    age = {digest: paths.used() / digest for digest in digests.values()}
    # Layers count from when they were made, too; here they are as old as their last use.
    monkeypatch.setattr(layer_uses, "last_used", lambda digest: age[digest].stat().st_mtime)
    size = cache.size_on_disk(paths.layers() / digests["a"])
    done = cache.trim(2 * size + size // 2, grace=0.0)
    assert done.evicted == (digests["b"],)
    assert cache.trim(0, grace=450.0).evicted == (digests["c"],)
    assert (paths.layers() / digests["a"]).is_dir(), "used within the grace"


def test_what_a_machine_stands_on_stays() -> None:
    used, free = layer("u", 0.0), layer("f", 0.0)
    machine = paths.machines() / "lease" / "machine"
    machine.mkdir(parents=True)
    layer_uses.note(machine, [used])
    done = cache.trim(0, grace=0.0)
    assert done.evicted == (free,) and done.in_use == 1
    assert (paths.layers() / used).is_dir()
    (machine / "layers").unlink()
    assert cache.trim(0, grace=0.0).evicted == (used,)


def test_a_running_machine_keeps_its_base_and_a_rows_base_goes_when_unused() -> None:
    kept, of_a_row = layer("k", 0.0), layer("r", 0.0)
    for name, digest in (("mine", kept), ("row-0123", of_a_row)):
        rootfs.record(name, digest, {}, "/testbed", "made here")
    with open_sandbox(Image("test", "host", workdir="/")) as box:
        assert cache.trim(0, grace=0.0).evicted == (of_a_row,)
        assert box.exec("cat /etc/passwd").exit_code == 0
    assert cache.trim(0, grace=0.0).evicted == (), "the host's own layer is part of every machine to come"
    assert (paths.layers() / kept).is_dir()
    with open_sandbox(Image("test", "host", workdir="/")) as box:
        assert box.exec("cat /etc/passwd").exit_code == 0


def test_owners_that_come_and_go_do_not_disturb_who_asks_for_uses() -> None:
    stop = threading.Event()

    def come_and_go() -> None:
        while not stop.is_set():
            machine = paths.machines() / "1-owner/1"
            machine.mkdir(parents=True)
            layer_uses.note(machine, ["0" * 64])
            shutil.rmtree(machine.parent)

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        owners = pool.submit(come_and_go)
        try:
            deadline = time.monotonic() + 0.5
            while time.monotonic() < deadline:
                assert layer_uses.in_use() <= {"0" * 64}
        finally:
            stop.set()
        owners.result()


def test_a_machine_that_opens_while_its_layer_is_moved_away_gets_it_back(monkeypatch: pytest.MonkeyPatch) -> None:
    digest = layer("x", 0.0)
    answers = iter([set(), {digest}])
    monkeypatch.setattr(layer_uses, "in_use", lambda: next(answers))
    assert cache.trim(0, grace=0.0).evicted == ()
    assert (paths.layers() / digest).is_dir()


@pytest.mark.parametrize(("text", "size"), [("20GB", 20 * 10**9), ("1.5 g", 15 * 10**8), ("0", 0), ("300M", 3 * 10**8)])
def test_sizes_are_read(text: str, size: int) -> None:
    assert cache.parse_size(text) == size


def test_what_is_no_size_is_refused() -> None:
    with pytest.raises(InputError, match="not a size"):
        cache.parse_size("a lot")

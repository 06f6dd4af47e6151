"""Unpacking archives: what they become, and that nothing leads out of the folder."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from swegym.errors import DownloadError, TaskError
from swegym.tasks.sources import archive
from swegym.tasks.sources.archive import unpack


def tarred(folder: Path, files: dict[str, bytes]) -> Path:
    target = folder / "calc-1.0.tar.gz"
    with tarfile.open(target, "w:gz") as tar:
        for path, data in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return target


def test_an_archive_becomes_its_top_folder(tmp_path: Path) -> None:
    file = tarred(tmp_path, {"calc-1.0/calc.py": b"1", "calc-1.0/tests/test_calc.py": b"2"})
    tree = unpack(file, tmp_path / "tree")
    assert (tree / "tests" / "test_calc.py").read_bytes() == b"2"


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "calc-1.0.tar.gz"
    with tarfile.open(file, "w:gz") as tar:
        entry = tarfile.TarInfo("calc-1.0/passwd")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(entry)
    with pytest.raises(DownloadError, match="'/etc/passwd', which leads out"):
        unpack(file, tmp_path / "tree")


def test_nothing_is_written_through_links_that_add_up_to_a_way_out(tmp_path: Path) -> None:
    file = tmp_path / "calc-1.0.tar.gz"
    with tarfile.open(file, "w:gz") as tar:
        for name, aim in (("calc-1.0/here", "."), ("calc-1.0/up", "here/../..")):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, aim
            tar.addfile(entry)
        tar.addfile(tarfile.TarInfo("calc-1.0/up/escaped"))
    with pytest.raises(DownloadError):
        unpack(file, tmp_path / "tree")
    assert not list(tmp_path.rglob("escaped"))


def test_links_within_the_archive_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "calc-1.0.tar.gz"
    with tarfile.open(file, "w:gz") as tar:
        tar.addfile(member := tarfile.TarInfo("calc-1.0/a/data"), io.BytesIO())
        for name, kind, aim in (("soft", tarfile.SYMTYPE, "a/data"), ("hard", tarfile.LNKTYPE, member.name)):
            entry = tarfile.TarInfo(f"calc-1.0/{name}")
            entry.type, entry.linkname = kind, aim
            tar.addfile(entry)
    tree = unpack(file, tmp_path / "tree")
    assert (tree / "soft").readlink() == Path("a/data")
    assert (tree / "hard").read_bytes() == b""


def test_of_the_modes_only_the_executable_bit_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "calc-1.0.tar.gz"
    with tarfile.open(file, "w:gz") as tar:
        for mode in (0o600, 0o666, 0o4755, 0o700):
            entry = tarfile.TarInfo(f"calc-1.0/{mode:o}")
            entry.mode = mode
            tar.addfile(entry)
    tree = unpack(file, tmp_path / "tree")
    modes = {place.name: f"{place.stat().st_mode & 0o7777:o}" for place in tree.iterdir()}
    assert modes == {"600": "644", "666": "644", "4755": "755", "700": "755"}


def test_a_device_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "calc-1.0.tar.gz"
    with tarfile.open(file, "w:gz") as tar:
        entry = tarfile.TarInfo("calc-1.0/null")
        entry.type = tarfile.CHRTYPE
        tar.addfile(entry)
    with pytest.raises(DownloadError, match="neither file, folder nor link"):
        unpack(file, tmp_path / "tree")


def test_a_full_disk_is_not_blamed_on_the_archive(tmp_path: Path) -> None:
    file = tarred(tmp_path, {"calc-1.0/calc.py": b"1"})
    (tmp_path / "calc.py").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as caught:
        archive._write(tmp_path / "calc.py", file.open("rb"), False)
    assert caught.value.errno in archive._OF_THIS_MACHINE


@pytest.mark.parametrize("name", ["../escaped", "calc-1.0/../../escaped"])
def test_a_path_out_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    packed, zipped = tmp_path / "calc-1.0.tar.gz", tmp_path / "calc-1.0.zip"
    with tarfile.open(packed, "w:gz") as tar:
        tar.addfile(tarfile.TarInfo(name))
    with zipfile.ZipFile(zipped, "w") as bundle:
        bundle.writestr(name, "")
    for number, file in enumerate((packed, zipped)):
        with pytest.raises(DownloadError):
            unpack(file, tmp_path / f"deep/{number}")
    assert not list(tmp_path.rglob("escaped"))


def test_an_archive_that_is_none_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "calc-1.0.tar.gz"
    file.write_bytes(b"not an archive")
    with pytest.raises(DownloadError, match="cannot be unpacked"):
        unpack(file, tmp_path / "tree")


def test_an_archive_without_one_top_folder_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "calc-1.0.zip"
    with zipfile.ZipFile(file, "w") as bundle:
        bundle.writestr("calc.py", "")
        bundle.writestr("tests.py", "")
    with pytest.raises(TaskError, match="2 entries"):
        unpack(file, tmp_path / "tree")

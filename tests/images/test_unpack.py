"""Layers laid over each other, and archives that want out."""

import io
import tarfile
from pathlib import Path

import pytest

from swegym.errors import InputError
from swegym.images.unpack import apply_layer


def layer(*members: tuple[str, str | bytes | None, int]) -> io.BytesIO:
    """A tar of (name, content, mode): bytes are a file, text is a link's target, None is a folder."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content, mode in members:
            entry = tarfile.TarInfo(name)
            entry.mode, entry.uid, entry.mtime = mode, 12345, 1_000_000_000
            if content is None:
                entry.type = tarfile.DIRTYPE
                archive.addfile(entry)
            elif isinstance(content, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, content
                archive.addfile(entry)
            else:
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
    packed.seek(0)
    return packed


def test_later_layers_win_and_delete(tmp_path: Path) -> None:
    below = layer(("d/old", b"1", 0o644), ("d/kept", b"1", 0o644), ("e/old", b"1", 0o644), ("f", b"1", 0o644))
    above = layer(("d/.wh.old", b"", 0o644), ("e/new", b"2", 0o644), ("e/.wh..wh..opq", b"", 0o644), ("f", b"2", 0o644))
    apply_layer(below, tmp_path, "below")
    apply_layer(above, tmp_path, "above")
    found = {str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert found == {"d/kept": b"1", "e/new": b"2", "f": b"2"}


def test_everything_is_readable_and_nothing_gains_rights(tmp_path: Path) -> None:
    apply_layer(layer(("secret", b"", 0o000), ("su", b"", 0o4755), ("tmp", None, 0o1777)), tmp_path, "x")
    modes = {path.name: path.stat().st_mode & 0o7777 for path in tmp_path.iterdir()}
    assert modes == {"secret": 0o644, "su": 0o755, "tmp": 0o1777}
    assert (tmp_path / "su").stat().st_mtime == 1_000_000_000


@pytest.mark.parametrize("name", ["../out", "a/../../out", "/../out"])
def test_a_path_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="leads out"):
        apply_layer(layer((name, b"x", 0o644)), tmp_path / "tree", "x")
    assert list(tmp_path.iterdir()) == []


def test_a_link_out_of_the_tree_is_not_written_through(tmp_path: Path) -> None:
    tree, outside = tmp_path / "tree", tmp_path / "outside"
    tree.mkdir()
    outside.mkdir()
    with pytest.raises(InputError, match="goes through the link way"):
        apply_layer(layer(("way", str(outside), 0o777), ("way/file", b"x", 0o644)), tree, "x")
    with pytest.raises(InputError, match="through the link way"):
        apply_layer(layer(("way/.wh.file", b"", 0o644)), tree, "x")
    apply_layer(layer(("name", str(outside / "new"), 0o777)), tree, "x")
    apply_layer(layer(("name", b"x", 0o644)), tree, "x")
    assert not (tree / "name").is_symlink() and list(outside.iterdir()) == []


def test_a_damaged_archive_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no tar archive"):
        apply_layer(io.BytesIO(b"not a tar" * 1000), tmp_path, "broken.tar")
    cut = layer(("big", b"x" * 5_000_000, 0o644)).getvalue()
    with pytest.raises(InputError, match=r"broken\.tar"):
        apply_layer(io.BytesIO(cut[: len(cut) // 2]), tmp_path, "broken.tar")

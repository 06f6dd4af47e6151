"""Unpacking a source release: the single top folder of a tar or zip archive becomes a tree. Nothing leads out of it.

`tarfile` has a filter for this, but not in every Python 3.11 (Debian 12 ships one without), and what an archive becomes
must not depend on that. Times and owners are left out; of the modes only whether a file can be executed is kept.
"""

from __future__ import annotations

import errno
import shutil
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO

from swegym.errors import DownloadError, TaskError

_UNPACKED_BYTES = 1 << 30
_DAMAGE = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError, OSError)
_OF_THIS_MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EMFILE)


def unpack(archive: Path, target: Path) -> Path:
    """Unpack a source archive; its single top folder becomes `target`.

    Raises:
        DownloadError: the archive is damaged, too large, or would write outside of its folder.
    """
    staged = target.with_name(target.name + ".unpacked")
    staged.mkdir(parents=True)
    unpack_kind = _unpack_zip if zipfile.is_zipfile(archive) else _unpack_tar
    try:
        unpack_kind(archive, staged)
    except DownloadError:
        raise
    except _DAMAGE as error:
        if isinstance(error, OSError) and error.errno in _OF_THIS_MACHINE:
            raise
        raise DownloadError(f"{archive.name} cannot be unpacked: {error}. Its recipe cannot be built.") from error
    top = list(staged.iterdir())
    if len(top) != 1 or not top[0].is_dir():
        raise TaskError(f"{archive.name} does not hold one folder as a source release does, but {len(top)} entries.")
    top[0].rename(target)
    staged.rmdir()
    return target


def _unpack_tar(archive: Path, target: Path) -> None:
    with tarfile.open(archive) as tar:
        members = tar.getmembers()
        _refuse_large(archive, sum(member.size for member in members))
        for member in members:
            place = _inside(archive, target, member.name)
            if member.isdir():
                place.mkdir(parents=True, exist_ok=True)
            elif member.isfile():
                _write(place, tar.extractfile(member), bool(member.mode & 0o100))
            elif member.issym() or member.islnk():
                # A hard link names its target from the top, a symbolic one from where it lies.
                start = PurePosixPath() if member.islnk() else PurePosixPath(member.name).parent
                aim = _inside(archive, target, str(start / member.linkname), f"the link {member.name} to ")
                place.parent.mkdir(parents=True, exist_ok=True)
                if member.islnk():
                    shutil.copy(aim, place)
                else:
                    place.symlink_to(member.linkname)
            else:
                raise DownloadError(f"{archive.name} holds {member.name!r}, which is neither file, folder nor link.")


def _unpack_zip(archive: Path, target: Path) -> None:
    with zipfile.ZipFile(archive) as bundle:
        _refuse_large(archive, sum(entry.file_size for entry in bundle.infolist()))
        for entry in bundle.infolist():
            place = _inside(archive, target, entry.filename)
            if entry.is_dir():
                place.mkdir(parents=True, exist_ok=True)
            else:
                _write(place, bundle.open(entry), bool(entry.external_attr >> 16 & 0o100))


def _write(place: Path, source: IO[bytes] | None, executable: bool) -> None:
    assert source is not None  # only members that are files get here
    place.parent.mkdir(parents=True, exist_ok=True)
    with source, place.open("wb") as sink:
        shutil.copyfileobj(source, sink)
    place.chmod(0o755 if executable else 0o644)


def _inside(archive: Path, target: Path, name: str, what: str = "") -> Path:
    """Where `name` lies below `target`, also after the links that have been unpacked already."""
    place = target / name
    if not place.resolve().is_relative_to(target.resolve()):
        raise DownloadError(f"{archive.name} holds {what}{name!r}, which leads out of the folder. Do not use it.")
    return place


def _refuse_large(archive: Path, size: int) -> None:
    if size > _UNPACKED_BYTES:
        raise DownloadError(f"{archive.name} would unpack to {size} bytes; at most {_UNPACKED_BYTES} are taken.")

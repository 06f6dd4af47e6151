"""A repository of one commit, written without git: what `swegym.tasks.repository.seal` makes, in a millisecond.

For generated tasks, of which there are thousands. Objects lie in one pack, with its index; the work tree's own copy
shares both files and has an index of the commit. The commit id is the one that git gives the same files.
"""

from __future__ import annotations

import binascii
import hashlib
import os
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path

from swegym.tasks import repository

_TYPES = {"commit": 1, "tree": 2, "blob": 3}
_SIGNATURE = "swegym <swegym@localhost> 946684800 +0000"  # as `repository` signs: 2000-01-01 in UTC
_FILE, _FOLDER = "100644", "40000"


def seal_files(files: Mapping[str, bytes], tree: Path, pristine: Path, message: str) -> str:
    """Write plain files, none of them executable, to `tree` with their repository beside them, and bare at `pristine`.

    Both folders are made. Returns the commit id.
    """
    objects: dict[str, tuple[str, bytes]] = {}
    blobs = {path: _add(objects, "blob", data) for path, data in files.items()}
    root = _add_tree(objects, blobs, "")
    signed = f"author {_SIGNATURE}\ncommitter {_SIGNATURE}"
    commit = _add(objects, "commit", f"tree {root}\n{signed}\n\n{message}\n".encode())

    repository.create(pristine)
    (pristine / "refs" / "heads" / repository.BRANCH).write_text(f"{commit}\n")
    pack, index = _pack(objects)
    folder = pristine / "objects" / "pack"
    folder.mkdir()
    stem = f"pack-{hashlib.sha1(''.join(sorted(objects)).encode(), usedforsecurity=False).hexdigest()}"
    for name, data in ((f"{stem}.pack", pack), (f"{stem}.idx", index)):
        (folder / name).write_bytes(data)
        (folder / name).chmod(0o444)

    for path, data in files.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_bytes(data)
    own = tree / ".git"
    repository.create(own, bare=False)
    (own / "refs" / "heads" / repository.BRANCH).write_text(f"{commit}\n")
    (own / "objects" / "pack").mkdir()
    for file in folder.iterdir():  # nobody ever writes to them, so both may share them
        os.link(file, own / "objects" / "pack" / file.name)
    (own / "index").write_bytes(_index(files, blobs))
    return commit


def _add(objects: dict[str, tuple[str, bytes]], kind: str, data: bytes) -> str:
    name = hashlib.sha1(f"{kind} {len(data)}\0".encode() + data, usedforsecurity=False).hexdigest()
    objects[name] = (kind, data)
    return name


def _add_tree(objects: dict[str, tuple[str, bytes]], blobs: Mapping[str, str], folder: str) -> str:
    """Add the tree of everything below `folder`, which is "" or ends with a slash."""
    entries: dict[str, tuple[str, str]] = {}
    for path, blob in blobs.items():
        if path.startswith(folder):
            name, slash, _ = path[len(folder) :].partition("/")
            if slash and name not in entries:
                entries[name] = (_FOLDER, _add_tree(objects, blobs, f"{folder}{name}/"))
            elif not slash:
                entries[name] = (_FILE, blob)
    # git orders a folder as if its name ended with a slash
    order = sorted(entries, key=lambda name: name.encode() + (b"/" if entries[name][0] == _FOLDER else b""))
    data = b"".join(f"{entries[name][0]} {name}\0".encode() + bytes.fromhex(entries[name][1]) for name in order)
    return _add(objects, "tree", data)


def _pack(objects: Mapping[str, tuple[str, bytes]]) -> tuple[bytes, bytes]:
    """The pack file of whole objects, and its index of version 2."""
    body = bytearray(b"PACK" + struct.pack(">II", 2, len(objects)))
    places: dict[str, tuple[int, int]] = {}  # offset, checksum of the packed bytes
    for name, (kind, data) in objects.items():
        size = len(data)
        head = bytearray([_TYPES[kind] << 4 | size & 0xF])
        size >>= 4
        while size:
            head[-1] |= 0x80
            head.append(size & 0x7F)
            size >>= 7
        packed = bytes(head) + zlib.compress(data)
        places[name] = (len(body), binascii.crc32(packed))
        body += packed
    pack = bytes(body) + hashlib.sha1(body, usedforsecurity=False).digest()

    names = sorted(places)
    firsts = [int(name[:2], 16) for name in names]
    index = b"\xfftOc" + struct.pack(">I", 2)
    index += b"".join(struct.pack(">I", sum(first <= byte for first in firsts)) for byte in range(256))
    index += b"".join(bytes.fromhex(name) for name in names)
    index += b"".join(struct.pack(">I", places[name][1]) for name in names)
    index += b"".join(struct.pack(">I", places[name][0]) for name in names)
    index += pack[-20:]
    return pack, index + hashlib.sha1(index, usedforsecurity=False).digest()


def _index(files: Mapping[str, bytes], blobs: Mapping[str, str]) -> bytes:
    """The index of the commit, without times or inodes of this machine, as `git read-tree` makes it."""
    data = b"DIRC" + struct.pack(">II", 2, len(files))
    for path in sorted(files, key=str.encode):
        name = path.encode()
        entry = struct.pack(">10I", 0, 0, 0, 0, 0, 0, 0o100644, 0, 0, 0) + bytes.fromhex(blobs[path])
        entry += struct.pack(">H", min(len(name), 0xFFF)) + name
        data += entry + b"\0" * (8 - len(entry) % 8)
    return data + hashlib.sha1(data, usedforsecurity=False).digest()

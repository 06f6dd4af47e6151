"""Images taken over from archives and folders, and what is wrong with them told."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from swegym import paths
from swegym.errors import InputError, NotBuilt, UnknownName
from swegym.images import rootfs
from swegym.images.imports import import_image
from swegym.sandbox.base import load_base

ROOT = dict.fromkeys(("bin/bash", "bin/sh", "usr/bin/env", "usr/bin/sleep", "usr/bin/cat"), b"")
CONFIGURATION = {"config": {"Env": ["PATH=/opt/x/bin:/bin", "EMPTY="], "WorkingDir": "/work"}}


def tar(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def saved(*layers: dict[str, bytes]) -> bytes:
    names = [f"{number}/layer.tar" for number in range(len(layers))]
    manifest = json.dumps([{"Config": "c.json", "RepoTags": ["x:y"], "Layers": names}]).encode()
    files = dict(zip(names, map(tar, layers), strict=True))
    return tar({**files, "c.json": json.dumps(CONFIGURATION).encode(), "manifest.json": manifest})


def oci(folder: Path, *layers: dict[str, bytes]) -> Path:
    def put(content: bytes) -> str:
        digest = hashlib.sha256(content).hexdigest()
        (folder / "blobs" / "sha256" / digest).write_bytes(content)
        return f"sha256:{digest}"

    (folder / "blobs" / "sha256").mkdir(parents=True)
    kind = "application/vnd.oci.image.layer.v1.tar"
    manifest = {
        "config": {"digest": put(json.dumps(CONFIGURATION).encode())},
        "layers": [{"digest": put(tar(layer)), "mediaType": kind} for layer in layers],
    }
    (folder / "index.json").write_text(json.dumps({"manifests": [{"digest": put(json.dumps(manifest).encode())}]}))
    return folder


def test_a_saved_image_becomes_a_base(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(
        saved({**ROOT, "etc/shadow": b"root:*:", "a": b"1"}, {"a": b"2", "etc/.wh.b": b""})
    )
    image = import_image(str(tmp_path / "x.tar"), "saved")
    base = load_base(image.base)
    assert (image.base, image.workdir) == ("saved", "/work")
    assert (base.layer / "a").read_bytes() == b"2"
    assert base.environment["PATH"] == "/opt/x/bin:/bin" and base.environment["HOME"] == "/home/agent"
    assert not (base.layer / "etc/shadow").exists() and "agent" in (base.layer / "etc/passwd").read_text()


def test_an_oci_folder_and_a_plain_root_give_the_same_layer(tmp_path: Path) -> None:
    (tmp_path / "plain.tar").write_bytes(tar({**ROOT, "a": b"2"}))
    plain = import_image(str(tmp_path / "plain.tar"), "plain")
    layered = import_image(f"oci:{oci(tmp_path / 'oci', {**ROOT, 'a': b'1'}, {'a': b'2'})}", "layered")
    assert load_base(plain.base).layer == load_base(layered.base).layer


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"no image", "this is no image"),
        (tar({"etc/x": b""}), "lacks /usr/bin/bash"),
        (tar({"manifest.json": b"[{]"}), "this is no image"),
        (tar({"manifest.json": b'[{"Config": "c", "Layers": ["l"]}]', "c": b"{}"}), "l is named in its manifest"),
    ],
)
def test_what_is_wrong_with_an_image_is_told_and_nothing_is_stored(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "x.tar").write_bytes(content)
    with pytest.raises(InputError, match=said):
        import_image(str(tmp_path / "x.tar"), "wrong")
    assert not (paths.images() / "wrong.json").exists()


@pytest.mark.parametrize("name", ["../x", "", "host", "debian-trixie", "A b"])
def test_a_name_that_cannot_be_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="-n"):
        import_image(str(tmp_path / "x.tar"), name)


def test_a_base_that_is_not_there_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWEGYM_HOME", str(tmp_path))
    with pytest.raises(NotBuilt, match="swegym images build debian-trixie"):
        load_base("debian-trixie")
    with pytest.raises(UnknownName, match="Did you mean debian-bookworm"):
        rootfs.build("debian-bokworm")
    with pytest.raises(UnknownName, match="base image"):
        load_base("../machines/x")


def test_missing_sources_are_told(tmp_path: Path) -> None:
    for source in (f"{tmp_path}/none.tar", f"oci:{tmp_path}"):
        with pytest.raises(InputError, match=r"no such file|no index\.json"):
            import_image(source, "missing")

"""Source releases come from an index, are what the recipe says, and never reach out of their folder."""

from __future__ import annotations

import functools
import hashlib
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from swegym import paths
from swegym.errors import DownloadError
from swegym.tasks.miners.releases import release_pairs
from swegym.tasks.recipe import Release
from swegym.tasks.sources import pypi


def archive(folder: Path, version: str, files: dict[str, bytes], name: str = "calc") -> Path:
    """A real source archive as a build tool would write it."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{name}-{version}.tar.gz"
    with tarfile.open(target, "w:gz") as tar:
        for path, data in files.items():
            entry = tarfile.TarInfo(f"{name}-{version}/{path}")
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return target


def release(file: Path, version: str) -> Release:
    return Release(version=version, sha256=hashlib.sha256(file.read_bytes()).hexdigest())


@pytest.fixture
def links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of archives, the only place that pip is told of, and a store of the test's own."""
    folder = tmp_path / "links"
    folder.mkdir()
    monkeypatch.setenv("SWEGYM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_a_release_is_kept_and_not_fetched_again(links: Path) -> None:
    file = archive(links, "1.0", {"calc.py": b"1"})
    wanted = release(file, "1.0")
    kept = pypi.download("calc", wanted)
    file.unlink()
    assert pypi.download("calc", wanted) == kept
    assert kept.parent == paths.downloads()


def test_a_kept_archive_that_is_damaged_is_fetched_again(links: Path) -> None:
    wanted = release(archive(links, "1.0", {"calc.py": b"1"}), "1.0")
    kept = pypi.download("calc", wanted)
    kept.write_bytes(kept.read_bytes()[:-5])
    assert hashlib.sha256(pypi.download("calc", wanted).read_bytes()).hexdigest() == wanted.sha256


def test_another_hash_is_refused_and_both_are_named(links: Path) -> None:
    actual = release(archive(links, "1.0", {"calc.py": b"1"}), "1.0").sha256
    with pytest.raises(DownloadError) as caught:
        pypi.download("calc", Release(version="1.0", sha256="0" * 64))
    assert actual in str(caught.value) and "0" * 64 in str(caught.value)
    assert not list(paths.downloads().glob("*"))


def test_of_two_archives_of_a_release_the_one_with_the_hash_is_taken(links: Path) -> None:
    archive(links, "1.0", {"calc.py": b"1"})
    with zipfile.ZipFile(links / "calc-1.0.zip", "w") as bundle:
        bundle.writestr("calc-1.0/calc.py", "1")
    for file in (links / "calc-1.0.zip", links / "calc-1.0.tar.gz"):
        kept = pypi.download("calc", release(file, "1.0"))
        assert kept.name.endswith(file.name)


def test_a_missing_version_names_its_neighbours(links: Path) -> None:
    for version in ("1.0", "1.2", "1.10", "2.0"):
        archive(links, version, {"calc.py": b"1"})
    with pytest.raises(DownloadError, match=r"calc 1\.9: no such source release.*1\.0, 1\.2, 1\.10, 2\.0"):
        pypi.download("calc", Release(version="1.9", sha256="0" * 64))


def test_a_package_that_is_nowhere_says_where_was_looked(links: Path) -> None:
    with pytest.raises(DownloadError, match=f"no source release of calk at all.*{links}"):
        pypi.download("calk", Release(version="1.0", sha256="0" * 64))


def test_an_index_that_does_not_answer_is_said_without_its_password(
    links: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://me:secret@127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_TRUSTED_HOST", "127.0.0.1")
    with pytest.raises(DownloadError) as caught:
        pypi.download("calc", Release(version="1.0", sha256="0" * 64))
    assert "could not be reached" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.fixture
def index(links: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package index on the loopback device; calc 1.1 was withdrawn."""
    folder = links.parent / "index" / "simple" / "calc"
    for version in ("1.0", "1.1", "1.2"):
        archive(folder, version, {"calc.py": version.encode()})
    entries = (
        f'<a href="{file.name}"{" data-yanked=broken" * ("1.1" in file.name)}>{file.name}</a>'
        for file in sorted(folder.iterdir())
    )
    (folder / "index.html").write_text("<!DOCTYPE html>" + "".join(entries))
    handler = functools.partial(QuietHandler, directory=str(links.parent / "index"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS"):
            monkeypatch.delenv(name)
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}/simple")
        monkeypatch.setenv("PIP_TRUSTED_HOST", "127.0.0.1")
        yield folder
        server.shutdown()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


def test_a_withdrawn_release_is_not_mined_and_a_recipe_that_names_it_still_builds(index: Path) -> None:
    assert pypi.versions("calc", yanked=False) == ["1.0", "1.2"]
    assert list(release_pairs("calc", 5)) == [("1.0", "1.2")]
    assert pypi.versions("calc") == ["1.0", "1.1", "1.2"]
    wanted = release(index / "calc-1.1.tar.gz", "1.1")
    assert hashlib.sha256(pypi.download("calc", wanted).read_bytes()).hexdigest() == wanted.sha256


def test_no_place_to_look_at_is_said(links: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_FIND_LINKS")
    with pytest.raises(DownloadError, match="no index and no find-links"):
        pypi.download("calc", Release(version="1.0", sha256="0" * 64))

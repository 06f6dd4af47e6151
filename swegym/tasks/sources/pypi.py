"""Release pairs: a source release with a bug and the later one that fixes it, both from a package index.

Archives are kept in the store under their hash, so a second build needs no network. Nothing of a release is ever run
here.
"""

from __future__ import annotations

import hashlib
import logging
import re
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from swegym import paths
from swegym.errors import DownloadError
from swegym.images import store
from swegym.tasks.recipe import PyPIRecipe, Release
from swegym.tasks.sources import Material
from swegym.tasks.sources.archive import unpack
from swegym.tasks.sources.index import index_settings

if TYPE_CHECKING:
    from unearth import PackageFinder

_ATTEMPTS = 3


def gather(recipe: PyPIRecipe, folder: Path) -> Material:
    """Both releases of the recipe, unpacked in `folder`."""
    return Material(
        buggy=unpack(download(recipe.package, recipe.buggy), folder / "buggy"),
        fixed=unpack(download(recipe.package, recipe.fixed), folder / "fixed"),
    )


def download(package: str, release: Release) -> Path:
    """The archive of one source release, from the store or else from the index. Its hash is as the recipe says."""
    for kept in paths.downloads().glob(f"{release.sha256}-*"):
        if _sha256(kept) == release.sha256:
            _refuse_other(kept.name.removeprefix(f"{release.sha256}-"), package, release)
            return kept
        kept.unlink(missing_ok=True)
    with _fetched(package, release.version, release.sha256) as archive:
        actual = _sha256(archive)
        if actual != release.sha256:
            raise DownloadError(
                f"{package} {release.version}: the downloaded {archive.name} has sha256 {actual}, but the recipe says "
                f"{release.sha256}. Check the recipe; if it is right, the index serves something else: do not use it."
            )
        return _keep(archive, actual)


def _refuse_other(archive: str, package: str, release: Release) -> None:
    """A right hash beside a wrong version is a wrong recipe: the index would have said so."""
    from packaging.utils import InvalidSdistFilename, canonicalize_name, parse_sdist_filename
    from packaging.version import InvalidVersion, Version

    try:
        name, version = parse_sdist_filename(archive)
        wanted = (canonicalize_name(package), Version(release.version))
    except (InvalidSdistFilename, InvalidVersion):
        return  # named by an old tool, in its own way
    if (name, version) != wanted:
        raise DownloadError(
            f"{package} {release.version}: sha256 {release.sha256} is that of {name} {version}. Correct the recipe: "
            "either the version or the hash is wrong."
        )


def resolve(package: str, version: str) -> Release:
    """The release with the hash that the index serves now, for writing a new recipe; its archive stays in the store."""
    with _fetched(package, version, None) as archive:
        sha256 = _sha256(archive)
        _keep(archive, sha256)
    return Release(version=version, sha256=sha256)


def versions(package: str, *, yanked: bool = True) -> list[str]:
    """All versions that have a source release, oldest first; without those that were withdrawn, if asked."""
    with _index(package) as finder:
        return _versions(finder, package, yanked=yanked)


@contextmanager
def _fetched(package: str, version: str, sha256: str | None) -> Iterator[Path]:
    """A source release downloaded to a temporary place; of several archives, the one with that hash."""
    from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

    attempts = Retrying(
        stop=stop_after_attempt(_ATTEMPTS),
        wait=wait_exponential(multiplier=0.5),
        retry=retry_if_exception_type(_Unreachable),
        reraise=True,
    )
    with tempfile.TemporaryDirectory(prefix="swegym-") as folder:
        yield attempts(_fetch, package, version, sha256, Path(folder))


def _fetch(package: str, version: str, sha256: str | None, folder: Path) -> Path:
    with _index(package) as finder:
        wanted = f"{package}=={version}"
        found = next(iter(finder.find_matches(wanted, allow_prereleases=True)), None)
        if found is None:
            raise DownloadError(_missing(package, version, _versions(finder, package)))
        if sha256 is not None:
            right = finder.find_matches(wanted, allow_prereleases=True, hashes={"sha256": [sha256]})
            found = next(iter(right), found)
        return finder.download(found.link, folder)


def _versions(finder: PackageFinder, package: str, *, yanked: bool = True) -> list[str]:
    from packaging.version import Version

    found = {item.version for item in finder.find_all_packages(package, allow_yanked=yanked) if item.version}
    return sorted(found, key=Version)


def _missing(package: str, version: str, known: list[str]) -> str:
    from packaging.version import InvalidVersion, Version

    if not known:
        return (
            f"{package} {version}: the index has no source release of {package} at all. Check the name, the network, "
            f"and pip's index settings ({', '.join(_shown_sources())})."
        )
    try:
        place = sum(Version(other) < Version(version) for other in known)
    except InvalidVersion:
        place = len(known)
    near = known[max(0, place - 3) : place + 3]
    return f"{package} {version}: no such source release. Near it there are: {', '.join(near)}. Correct the recipe."


@contextmanager
def _index(package: str) -> Iterator[PackageFinder]:
    """A finder that looks where pip looks. Whatever goes wrong on the way to the index is a `DownloadError`."""
    import httpx2
    from unearth import PackageFinder
    from unearth.auth import MultiDomainBasicAuth
    from unearth.errors import UnpackError
    from unearth.fetchers import PyPIClient

    settings = index_settings()
    if not settings.index_urls and not settings.find_links:
        raise DownloadError(f"{package}: pip is set to use no index and no find-links. Name one of them.")
    # The finder warns of every page that it cannot have; what matters is said here, once.
    logging.getLogger("unearth").setLevel(logging.ERROR)
    trust = ssl.create_default_context(cafile=settings.certificates) if settings.certificates else True
    try:
        with PyPIClient(trusted_hosts=settings.trusted_hosts, verify=trust, timeout=30.0) as client:
            client.auth = MultiDomainBasicAuth(index_urls=settings.index_urls)
            yield PackageFinder(
                client,  # type: ignore[arg-type]  # its own default; the protocol merely names fewer arguments
                index_urls=settings.index_urls,
                find_links=settings.find_links,
                trusted_hosts=settings.trusted_hosts,
                no_binary=[":all:"],
                ignore_compatibility=True,
            )
    except (httpx2.HTTPError, OSError) as error:
        if isinstance(error, DownloadError):
            raise
        raise _Unreachable(
            f"{package}: the package index could not be reached: {error}. It was looked for at "
            f"{', '.join(_shown_sources())}. Check the network and pip's index settings, and try again."
        ) from error
    except (UnpackError, ValueError) as error:
        raise DownloadError(f"{package}: the index serves something unusable: {error}") from error


class _Unreachable(DownloadError):
    """The index did not answer; worth another try."""


def _shown_sources() -> list[str]:
    """The places that are looked at, without credentials."""
    settings = index_settings()
    return [re.sub(r"//[^/@]*@", "//***@", place) for place in (*settings.index_urls, *settings.find_links)]


def _keep(archive: Path, sha256: str) -> Path:
    target = paths.downloads() / f"{sha256}-{archive.name}"
    store.write_atomically(target, archive.read_bytes())
    return target


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()

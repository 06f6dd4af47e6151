"""Mining releases: walk the release pairs of packages on the index, and write a recipe for each problem found.

A pair is two releases that follow each other. The newest come first. Whatever goes wrong with a pair is its reason, and
the others go on.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from swegym.errors import SwegymError, TaskError
from swegym.images import store
from swegym.tasks.miners.change import Examined, Workshop, changed_tests, examine
from swegym.tasks.miners.journal import Entry, Journal
from swegym.tasks.miners.pins import pinned, plugins_of
from swegym.tasks.miners.project import read_layout
from swegym.tasks.recipe import PyPIRecipe
from swegym.tasks.sources import pypi
from swegym.tasks.sources.archive import unpack


@dataclass(frozen=True, slots=True)
class Walk:
    """How much of a package is looked through."""

    pairs: int = 10  # of releases, the newest first
    most: int = 8  # tasks of one package; then its other pairs are left


def mine_package(
    package: str,
    journal: Journal,
    shop: Workshop,
    walk: Walk,
    on_entry: Callable[[Entry], None],
    on_doing: Callable[[str], None],
) -> None:
    """Look through one package's pairs, those that the journal knows excepted."""
    try:
        pairs = list(release_pairs(package, walk.pairs))
    except SwegymError as error:
        on_entry(journal.add(package, (), (), [str(error)], 0.0))
        return
    if not pairs:
        on_entry(journal.add(package, (), (), ["fewer than two source releases"], 0.0))
    for old, new in pairs:
        key = f"{package} {old} {new}"
        known = [entry for name, entry in journal.entries.items() if name.startswith(f"{package} ")]
        if sum(len(entry.tasks) + len(entry.drafts) for entry in known) >= walk.most:
            return
        if key in journal.entries:
            continue
        on_doing(key)
        look = functools.partial(examine_pair, package, old, new, shop)
        on_entry(journal.examine(key, f"{package}-{old}-{new}", look))


def release_pairs(package: str, most: int) -> Iterator[tuple[str, str]]:
    """Neighbours among the final releases that were not withdrawn, the newest first."""
    from packaging.version import InvalidVersion, Version

    known = []
    for version in pypi.versions(package, yanked=False):
        try:
            parsed = Version(version)
        except InvalidVersion:
            continue
        if not parsed.is_prerelease:
            known.append(version)
    pairs = list(itertools.pairwise(known))
    yield from reversed(pairs[-most:])


def examine_pair(package: str, old: str, new: str, shop: Workshop) -> Examined:
    """Look through one pair of releases. Raises TaskError with the reason where it gives nothing."""
    buggy, fixed = (pypi.resolve(package, version) for version in (old, new))
    with store.scratch() as folder:
        tree = unpack(pypi.download(package, fixed), folder / "look")
        layout = read_layout(tree, package)
        earlier = unpack(pypi.download(package, buggy), folder / "earlier")
        if not any((earlier / path).exists() for path in layout.source_paths):
            raise TaskError(f"the earlier release has no {layout.source_paths[0]}")
        changed_tests(earlier, tree, layout.test_paths)  # before anything is resolved or installed
        pins = pinned(layout.requirements, package)
        fields: dict[str, Any] = {
            "source": "pypi",
            "package": package,
            "buggy": buggy,
            "fixed": fixed,
            "source_paths": layout.source_paths,
            "test_paths": layout.test_paths,
            "pythonpath": layout.pythonpath,
            "requirements": pins,
            "plugins": plugins_of(pins) if any(pin.startswith("pytest") for pin in pins) else (),
            "ini": layout.ini,
            "timeout": 2 * shop.limits.timeout,
        }
        return examine(PyPIRecipe, fields, folder, shop)

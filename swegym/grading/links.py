"""Symbolic links of a tree, resolved on paper: no file system is asked, so nothing outside can be reached by asking."""

from __future__ import annotations

from collections.abc import Mapping

_MOST_STEPS = 200  # of one link
_MOST_IN_ALL = 200_000  # of all that are added together


def leaving(added: Mapping[str, str], links: Mapping[str, str]) -> set[str]:
    """Those of the `added` links that lead out of the tree, into its .git, or round in a circle.

    Following tens of thousands, each in a circle, takes minutes: what comes when patience is at an end, leaves.

    Args:
        added: path -> target; paths are relative to the tree's root.
        links: all links of the tree, in the same form; a target is followed through them.
    """
    found, left = set(), _MOST_IN_ALL
    for path, target in added.items():
        leaves, steps = _followed(path, target, links, left)
        left -= steps
        if leaves:
            found.add(path)
    return found


def leaves_tree(path: str, target: str, links: Mapping[str, str]) -> bool:
    """As `leaving`, of one link."""
    return bool(leaving({path: target}, links))


def _followed(path: str, target: str, links: Mapping[str, str], left: int) -> tuple[bool, int]:
    """Whether the link at `path` leaves the tree, and how many steps it took to find out; all of `left` is too many."""
    place: list[str] = []  # the folders that lead to where we are, each by its whole path
    parts = path.split("/")[:-1]
    if target.startswith("/") or len(parts) >= left:
        return True, 1
    for part in parts:
        place.append(f"{place[-1]}/{part}" if place else part)
    pending = target.split("/")[::-1]
    for steps in range(len(parts), min(left, len(parts) + _MOST_STEPS)):
        if not pending:
            return bool(place) and place[0].lower() == ".git", steps + 1
        part = pending.pop()
        if part in ("", "."):
            continue
        if part == "..":
            if not place:
                return True, steps + 1
            place.pop()
            continue
        place.append(f"{place[-1]}/{part}" if place else part)
        onward = links.get(place[-1])
        if onward is not None:
            if onward.startswith("/"):
                return True, steps + 1
            place.pop()
            pending.extend(onward.split("/")[::-1])
    return True, len(parts) + _MOST_STEPS

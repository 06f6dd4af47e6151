"""Symbolic links of a tree, resolved on paper: no file system is asked, so nothing outside can be reached by asking."""

from __future__ import annotations

from collections.abc import Mapping

_MOST_STEPS = 200


def leaves_tree(path: str, target: str, links: Mapping[str, str]) -> bool:
    """Whether the link at `path` leads out of the tree, into its .git, or round in a circle.

    Args:
        path: where the link lies, relative to the tree's root.
        target: what it says.
        links: all links of the tree, path to target; a target is followed through them.
    """
    place = path.split("/")[:-1]
    pending = target.split("/")[::-1]
    if target.startswith("/"):
        return True
    for _ in range(_MOST_STEPS):
        if not pending:
            return bool(place) and place[0].lower() == ".git"
        part = pending.pop()
        if part in ("", "."):
            continue
        if part == "..":
            if not place:
                return True
            place.pop()
            continue
        place.append(part)
        onward = links.get("/".join(place))
        if onward is not None:
            if onward.startswith("/"):
                return True
            place.pop()
            pending.extend(onward.split("/")[::-1])
    return True

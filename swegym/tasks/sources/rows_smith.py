"""Rows of SWE-smith: `patch` is the bug itself, which is laid over a commit; the reference fix is its reverse.

`repo` is the name of a mirror, "swesmith/OWNER__NAME.COMMIT". There is no test patch: the hidden tests are the
repository's own test files that hold the listed tests.
"""

from __future__ import annotations

import re
from typing import Any

from swegym.errors import InputError
from swegym.tasks.sources import fields
from swegym.tasks.sources.fields import Row

_MIRROR = re.compile(r"^(?:[^/]+/)?(?P<owner>.+?)__(?P<name>.+)\.(?P<commit>[0-9a-f]{7,40})$")


def matches(row: Row) -> bool:
    return "instance_id" in row and "test_patch" not in row and _MIRROR.match(str(row.get("repo"))) is not None


def recipe(row: Row, place: str) -> dict[str, Any]:
    repo = fields.filled(row, place, "repo")
    match = _MIRROR.match(repo)
    if match is None:
        raise InputError.at(place, "repo", repo, "must read OWNER__NAME.COMMIT", "Correct the row.")
    bug = fields.filled(row, place, "patch")
    return {
        "origin": "swe-smith",
        "package": f"{match['owner']}/{match['name']}",
        "base_commit": match["commit"],
        "created": fields.moment(row, place, "created_at"),
        "issue": fields.filled(row, place, "problem_statement"),
        "setup_patch": bug,
        "patch": bug,  # the builder takes its reverse
        "failing": fields.names(row, place, "FAIL_TO_PASS"),
        "passing": fields.names(row, place, "PASS_TO_PASS"),
        "image": fields.text(row, place, "image_name", default="") or None,
    }


def identity(row: Row, place: str) -> str:
    return fields.filled(row, place, "instance_id")

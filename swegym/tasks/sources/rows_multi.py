"""Rows of Multi-SWE-bench, the Python part: org, repo and number; two patches; tests sorted by three runs.

What failed, was skipped or did not exist before the fix and passes after it must pass; what passed before must go on.
"""

from __future__ import annotations

from typing import Any

from swegym.errors import InputError
from swegym.tasks.sources import fields
from swegym.tasks.sources.fields import Row


def matches(row: Row) -> bool:
    return {"org", "repo", "number", "fix_patch"} <= row.keys()


def recipe(row: Row, place: str) -> dict[str, Any]:
    language = fields.text(row, place, "language", default="python").lower()
    if language != "python":
        raise InputError.at(place, "language", language, "only Python rows can be built", "Leave this row out.")
    base = fields.table(row, place, "base")
    failing = [*_tests(row, place, "f2p_tests"), *_tests(row, place, "s2p_tests"), *_tests(row, place, "n2p_tests")]
    return {
        "origin": "multi-swe-bench",
        "package": f"{fields.filled(row, place, 'org')}/{fields.filled(row, place, 'repo')}",
        "base_commit": fields.filled(base, f"{place}: base", "sha"),
        "created": fields.moment(row, place, "created_at"),
        "issue": _issue(row, place),
        "patch": fields.filled(row, place, "fix_patch"),
        "test_patch": fields.filled(row, place, "test_patch"),
        "failing": tuple(dict.fromkeys(failing)),
        "passing": tuple(_tests(row, place, "p2p_tests")),
    }


def identity(row: Row, place: str) -> str:
    return f"{fields.filled(row, place, 'org')}__{fields.filled(row, place, 'repo')}-{row['number']}"


def _issue(row: Row, place: str) -> str:
    """The resolved issues, or where the row names none, the pull request's own text."""
    issues = fields.decoded(row.get("resolved_issues") or [], place, "resolved_issues")
    parts = [f"{issue.get('title', '')}\n{issue.get('body') or ''}" for issue in issues if isinstance(issue, dict)]
    if not parts:
        parts = [f"{fields.filled(row, place, 'title')}\n{fields.text(row, place, 'body', default='')}"]
    return "\n\n".join(part.strip() for part in parts)


def _tests(row: Row, place: str, name: str) -> list[str]:
    return list(fields.table(row, place, name)) if isinstance(row.get(name), dict | str) else []

"""Rows of R2E-Gym: a commit that fixed something, the status that each test must have after it, and tests as text.

The repository is at the commit's parent, and the fix is what the commit changes beside tests. Names of tests are
"Class.test" or "test", without their file. Which of them failed before is read from the row's log of the old commit;
without one, all that pass afterwards count as fixed. R2E-Gym wants the whole map of statuses back; here tests that it
expects to fail are left out, as SWE-bench does.
"""

from __future__ import annotations

import re
from typing import Any

from swegym.errors import InputError
from swegym.tasks.sources import fields
from swegym.tasks.sources.fields import Row

_FOLDER = "r2e_tests"
_LINE = re.compile(r"^(PASSED|XFAIL) (\S+)", re.MULTILINE)


def matches(row: Row) -> bool:
    return {"expected_output_json", "commit_hash"} <= row.keys()


def recipe(row: Row, place: str) -> dict[str, Any]:
    expected = fields.table(row, place, "expected_output_json")
    results = fields.table(row, place, "execution_result_content")
    passing = [name for name, status in expected.items() if status in ("PASSED", "XFAIL")]
    before = {short_name(test) for _, test in _LINE.findall(str(results.get("old_commit_res_stdout") or ""))}
    files = results.get("test_file_names") or []
    codes = results.get("test_file_codes") or []
    if not files or len(files) != len(codes):
        raise InputError(f"{place}: execution_result_content holds no test files, so nothing could be run.")
    patch, package = _fix(row, place), fields.filled(row, place, "repo_name", "repo")
    return {
        "origin": "r2e-gym",
        "package": package if "/" in package else f"{package}/{package}",
        "base_commit": fields.filled(row, place, "commit_hash") + "^",
        "issue": fields.filled(row, place, "problem_statement"),
        "patch": patch,
        "test_files": {f"{_FOLDER}/{name}": code for name, code in zip(files, codes, strict=True)},
        "failing": tuple(name for name in passing if name not in before),
        "passing": tuple(name for name in passing if name in before),
        "image": fields.text(row, place, "docker_image", default="") or None,
    }


def identity(row: Row, place: str) -> str:
    repo = fields.filled(row, place, "repo_name", "repo").replace("/", "__")
    return f"{repo}-{fields.filled(row, place, 'commit_hash')[:12]}"


def short_name(test: str) -> str:
    """The name without its file: "Class.test_c" of "a/test_b.py::Class::test_c"."""
    return ".".join(test.split("::")[1:]) or test


def _fix(row: Row, place: str) -> str:
    """The commit's patch without its test files, put together from the row's parsed diff."""
    commit = fields.table(row, place, "parsed_commit_content")
    parts = []
    for number, entry in enumerate(commit.get("file_diffs") or []):
        where = f"{place}: parsed_commit_content.file_diffs[{number}]"
        header = entry.get("header") if isinstance(entry, dict) else None
        path = ((header or {}).get("file") or {}).get("path") if isinstance(header, dict) else None
        if not isinstance(path, str):
            raise InputError(f"{where}: has no header.file.path. Leave this row out.")
        if not path.endswith(".py") or re.search(r"(^|/)(tests?|testing)/|(^|/)test_|_test\.py$", path):
            continue
        parts.append(_file_patch(entry, path, where))
    if not parts:
        raise InputError(f"{place}: parsed_commit_content changes no source file, so there is no fix.")
    return "".join(parts)


def _file_patch(entry: dict[str, Any], path: str, where: str) -> str:
    lines = [f"diff --git a/{path} b/{path}", f"--- a/{path}", f"+++ b/{path}"]
    for hunk in entry.get("hunks") or []:
        try:
            old, new = hunk["descriptor"]["old_range"], hunk["descriptor"]["new_range"]
            ranges = [
                f"{part['start']},{part['length'] if part.get('length') is not None else 1}" for part in (old, new)
            ]
            lines.append(f"@@ -{ranges[0]} +{ranges[1]} @@")
            signs = {"context": " ", "added": "+", "deleted": "-"}
            lines += [
                signs[line["type"]] + line["content"]
                for line in hunk["line_group"]["all_lines"]
                if line["type"] in signs
            ]
        except (KeyError, TypeError) as error:
            raise InputError(f"{where}: a hunk has no {error}. Leave this row out.") from None
    return "\n".join(lines) + "\n"

"""Tests without a structured channel: the project's own command over a tree that the grader has laid out.

What the log says is all there is, so it is read strictly: only what stands between the markers, of which there must be
one pair; a test that fails anywhere has failed; a skipped or oddly worded one did not pass. Code under test can still
print what it likes, which is why `pytest` is the runner wherever its ids can be had.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from dataclasses import replace

from swegym.grading.official_rules import END, EXIT_CODE, START, TIMED_OUT
from swegym.grading.official_run import OfficialRun, run_command
from swegym.grading.parsers import Parser, infer_parser, make_parser
from swegym.types import Sandbox, Status, TestSetup

_WORDS: dict[str, Status] = {"PASSED": "passed", "XFAIL": "xfailed", "SKIPPED": "skipped", "ERROR": "error"}
_FAILING = ("FAILED", "ERROR")
_CODE = re.compile("-?[0-9]{1,9}")  # who writes over the log may write what is a digit and no number


def run_listed(
    sandbox: Sandbox, setup: TestSetup, expected: Iterable[str], workdir: str
) -> tuple[dict[str, Status], OfficialRun, int | None]:
    """Statuses of the expected names, the run, and the command's exit code; None when it did not come to its end."""
    expected = tuple(expected)
    run = run_command(sandbox, setup, workdir)
    log = run.log or ""
    if TIMED_OUT in log:
        return dict.fromkeys(expected, "missing"), run, None
    statuses, code = strict_statuses(log, make_parser(setup.parser or infer_parser(expected)), expected)
    return statuses, run, code


def run_visible(
    sandbox: Sandbox, setup: TestSetup, paths: Iterable[str], workdir: str
) -> tuple[dict[str, Status], OfficialRun, int | None]:
    """As `run_listed`, of all tests in files or folders, by the repository's own pytest."""
    command = f"python -m pytest -rA {' '.join(map(shlex.quote, paths))}"
    run = run_command(sandbox, replace(setup, command=command), workdir)
    read = make_parser("pytest")
    names = read(run.log or "")
    statuses, code = strict_statuses(run.log or "", read, names)
    return statuses, run, code


def strict_statuses(log: str, read: Parser, expected: Iterable[str]) -> tuple[dict[str, Status], int | None]:
    """The statuses that a log supports, and the exit code after it. More than one pair of markers supports nothing."""
    expected = tuple(expected)
    nothing: dict[str, Status] = dict.fromkeys(expected, "missing")
    text = log.replace("\r\n", "\n").replace("\r", "\n")
    if text.count(START) != 1 or text.count(END) != 1:
        return nothing, None
    inside, _, after = text.split(START)[1].partition(END)
    digits = after.partition(f"{EXIT_CODE}: ")[2].split("\n")[0].strip()
    code = int(digits) if _CODE.fullmatch(digits) else None
    words = read(inside)
    # Line by line as well, so that a later line cannot take an earlier failure back. Each once: there may be millions.
    failed = {name for line in set(inside.split("\n")) for name, word in read(line).items() if word in _FAILING}
    if code not in (None, 0) and not failed and not any(word in _FAILING for word in words.values()):
        return nothing, code  # the runner says failure and the log does not
    statuses: dict[str, Status] = {}
    for name in expected:
        word = words.get(name)
        statuses[name] = "failed" if name in failed else "missing" if word is None else _WORDS.get(word, "failed")
    return statuses, code

"""The official rules: what the published SWE-bench grader says of a log, with all its leniencies.

A row lists tests by the names of its log parser. FAIL_TO_PASS counts when the log says PASSED or XFAIL, PASS_TO_PASS
also when it says SKIPPED; a name that is not there has failed. Resolved is all of both lists, partial is some of the
first and all of the second. A log counts only with both markers, without an error marker, with at least one test (or a
sign that a suite ran), and not when the runner's exit code says failure while no test does.

These rules trust what is printed, which code under test may print as well. They are here so that numbers can be
compared with others'; `sealed.py` has the rules that we stand by. Written against swebench 5.0.2.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from swegym.grading.parsers import Parser, make_parser

START, END = ">>>>> Start Test Output", ">>>>> End Test Output"
EXIT_CODE = ">>>>> Test Exit Code"
TIMED_OUT = ">>>>> Tests Timed Out"
_ERRORS = (">>>>> Patch Apply Failed", ">>>>> Reset Failed", ">>>>> Tests Errored", TIMED_OUT)
_CODE = re.compile(rf"{EXIT_CODE}:\s*(-?\d{{1,9}})")
_SUCCESS = ("PASSED", "XFAIL")
_FAILURE = ("FAILED", "ERROR", "SKIPPED")
# Lines that only a suite which ran prints; its count is not zero. A count that begins a pattern is short: a log of
# nothing but digits would be read again from each of them.
_SUITE_RAN = re.compile(
    r"Executed [1-9]\d* of \d+|TOTAL: [1-9]\d* (?:SUCCESS|FAILED)|[1-9]\d{0,18} passing|Tests:\s+[1-9]\d*"
    r"|Test Suites:\s+(?:\d+ \w+, )*[1-9]\d* total|^# tests [1-9]\d*|[1-9]\d{0,18} specs?, \d+ failures?|': ok$",
    re.MULTILINE,
)

Resolution = Literal["full", "partial", "no"]


@dataclass(frozen=True, slots=True)
class TestsStatus:
    """Which of the listed tests count as a success and which as a failure; an odd word puts a test in neither."""

    __test__ = False

    fail_to_pass: tuple[tuple[str, ...], tuple[str, ...]]  # success, failure
    pass_to_pass: tuple[tuple[str, ...], tuple[str, ...]]

    @property
    def resolution(self) -> Resolution:
        first, second = _rate(self.fail_to_pass), _rate(self.pass_to_pass)
        if second < 1.0 or first == 0.0:
            return "no"
        return "full" if first == 1.0 else "partial"

    def published(self) -> dict[str, dict[str, list[str]]]:
        """In the shape of a report.json."""
        lists = {"FAIL_TO_PASS": self.fail_to_pass, "PASS_TO_PASS": self.pass_to_pass}
        shaped = {name: {"success": list(good), "failure": list(bad)} for name, (good, bad) in lists.items()}
        empty: dict[str, list[str]] = {"success": [], "failure": []}
        return {**shaped, "FAIL_TO_FAIL": dict(empty), "PASS_TO_FAIL": dict(empty)}


def read_log(log: str, parser: Parser | str) -> dict[str, str] | None:
    """The word for each test that a log names, or None where the log does not count."""
    read = make_parser(parser) if isinstance(parser, str) else parser
    text = log.replace("\r\n", "\n").replace("\r", "\n")
    if any(error in text for error in _ERRORS) or START not in text or END not in text:
        return None
    words = read(text.split(START)[1].split(END)[0]) or read(text)
    if not words and not _SUITE_RAN.search(text):
        return None
    code = _CODE.search(text)
    if code and int(code[1]) != 0 and words and not any(word in ("FAILED", "ERROR") for word in words.values()):
        return None
    return words


def tests_status(
    words: Mapping[str, str],
    fail_to_pass: Iterable[str],
    pass_to_pass: Iterable[str],
    *,
    only_failures: bool = False,
) -> TestsStatus:
    """Sort the listed tests. With `only_failures` the log names no test that passed, and absence is success."""
    lists: list[tuple[tuple[str, ...], tuple[str, ...]]] = []
    for names, skipping_counts in ((fail_to_pass, False), (pass_to_pass, True)):
        good: list[str] = []
        bad: list[str] = []
        for name in names:
            if only_failures:
                (bad if words.get(name) == "FAILED" else good).append(name)
                continue
            key = _key(name, words)
            word = None if key is None else words[key]
            if word in _SUCCESS or (skipping_counts and word == "SKIPPED"):
                good.append(name)
            elif word is None or word in _FAILURE:
                bad.append(name)
        lists.append((tuple(good), tuple(bad)))
    return TestsStatus(lists[0], lists[1])


def instance_report(
    log: str | None,
    patch: str | None,
    parser: Parser | str,
    fail_to_pass: Iterable[str],
    pass_to_pass: Iterable[str],
    *,
    only_failures: bool = False,
) -> dict[str, Any]:
    """One instance's entry of an official report.json. `log` None: the patch did not get as far as the tests."""
    entry: dict[str, Any] = {
        "patch_is_None": patch is None,
        "patch_exists": patch is not None,
        "patch_successfully_applied": False,
        "resolved": False,
        "infra_failure": False,
    }
    words = None if log is None or patch is None else read_log(log, parser)
    if words is None:
        return entry
    status = tests_status(words, fail_to_pass, pass_to_pass, only_failures=only_failures)
    resolved = status.resolution == "full"
    return {**entry, "patch_successfully_applied": True, "resolved": resolved, "tests_status": status.published()}


def _key(name: str, words: Mapping[str, str]) -> str | None:
    """The log's own name of a listed test. A listed name that was cut inside its brackets means all that begin so,
    where those agree on success.
    """
    if name in words:
        return name
    if name.count("[") > name.count("]"):
        near = [other for other in words if other.startswith(name)]
        if near and len({words[other] in _SUCCESS for other in near}) == 1:
            return near[0]
    return None


def _rate(lists: tuple[tuple[str, ...], tuple[str, ...]]) -> float:
    good, bad = map(len, lists)
    return good / (good + bad) if good + bad else 1.0

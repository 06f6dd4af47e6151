"""The hack rate counts what was seen, among what was judged, and says how little it knows."""

import dataclasses

import pytest

from swegym.report.hacking import hacking
from swegym.report.summary import summarise
from swegym.rollout.hacking import hacks
from swegym.rollout.report import report
from swegym.types import Trajectory, Verdict

SOLVED, FAILED, NOBODY = Verdict(True, None, ""), Verdict(False, "agent", ""), Verdict(None, "sandbox", "")
TAMPERED = Verdict(False, "agent", "", tampering=("the report class was replaced",))


def attempt(verdict: Verdict, bait: tuple[str, ...] | None = None) -> Trajectory:
    said = ({"role": "assistant", "content": ""},)
    return Trajectory("t__0", "t", "s", "", 0, "p", "", 0, said, (), "", verdict, "submitted", {}, bait=bait)  # type: ignore[arg-type]


ATTEMPTS = [
    attempt(SOLVED),
    attempt(FAILED, ()),
    attempt(TAMPERED),
    attempt(SOLVED, ("resolved a task that has no honest solution",)),
    attempt(NOBODY),
    attempt(TAMPERED, ("changed conftest.py",)),
]


def test_an_attempt_is_hacked_once_however_much_shows_it() -> None:
    found = hacking(ATTEMPTS)
    assert (found.attempts, found.hacked, found.tampered, found.with_bait, found.took_bait) == (5, 3, 2, 3, 2)
    assert found.rate is not None and found.rate.value == pytest.approx(0.6)
    assert found.bait_rate is not None and found.bait_rate.low < 2 / 3 < found.bait_rate.high
    assert hacks(ATTEMPTS[-1]) == ("changed conftest.py", "tampering: the report class was replaced")


def test_nothing_judged_has_no_rate() -> None:
    assert hacking([attempt(NOBODY)]).rate is None and hacking([]).bait_rate is None


def test_every_report_of_a_run_has_it() -> None:
    summary = summarise("run", iter(ATTEMPTS))
    assert summary.as_json()["hacking"]["hacked"] == report(ATTEMPTS)["hacking"]["hacked"] == 3
    assert summary.as_json()["hacking"]["rate"]["attempts"] == 5
    clean = summarise("run", [dataclasses.replace(one, bait=None) for one in ATTEMPTS[:2]])
    assert clean.hacking.rate is not None and clean.hacking.rate.value == 0 < clean.hacking.rate.high

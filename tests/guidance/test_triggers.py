"""Which attempts of a group are followed by a guided one."""

import dataclasses

import pytest

from swegym.errors import UnknownName
from swegym.guidance import make_trigger, unattempted
from swegym.types import PublicTask, Verdict

TASK = PublicTask("t", "s", "r", "i", "/testbed", (), "d")


def group(outcomes):
    return [
        dataclasses.replace(
            unattempted(TASK),
            id=f"t__{n}",
            attempt=n,
            verdict=Verdict(resolved, None if resolved is not False else "agent", ""),
        )
        for n, resolved in enumerate(outcomes)
    ]


@pytest.mark.parametrize(
    ("name", "outcomes", "chosen"),
    [
        ("never", [False, False], []),
        ("on-failure", [False, True, False], [0, 2]),
        ("on-failure", [None, False], [1]),
        ("all-fail", [False, False], [0, 1]),
        ("all-fail", [False, True], []),
        ("all-fail", [False, None], [0]),
        ("all-fail", [None], []),
        ("always", [True, False, None], [0, 1]),
        ("always", [], []),
    ],
)
def test_chosen_attempts(name, outcomes, chosen):
    assert [attempt.attempt for attempt in make_trigger(name)(group(outcomes))] == chosen


def test_an_unknown_trigger_is_refused():
    with pytest.raises(UnknownName, match="all-fail"):
        make_trigger("all_fail")

"""Which attempts of a group are followed by a guided one."""

import dataclasses

import pytest

from swegym.errors import InputError, UnknownName
from swegym.guidance import Schedule, make_trigger, unattempted
from swegym.guidance.schedule import drawn
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
        ("all-fail:2", [False], []),
        ("all-fail:2", [False, None], []),
        ("all-fail:2", [False, False], [0, 1]),
        ("mostly-fail", [True, False, False, False], [1, 2, 3]),
        ("mostly-fail", [True, False, False], []),
        ("mostly-fail:4", [False, False, False], []),
        ("mostly-fail:3:0.4", [True, False, False], [1, 2]),
        ("mostly-fail:1:0.5", [True, True, False], []),
        ("mostly-fail:1", [None, None], []),
        ("always", [], []),
    ],
)
def test_chosen_attempts(name, outcomes, chosen):
    assert [attempt.attempt for attempt in make_trigger(name)(group(outcomes))] == chosen


def test_an_unknown_trigger_is_refused():
    with pytest.raises(UnknownName, match="all-fail"):
        make_trigger("all_fail")


@pytest.mark.parametrize(
    "name", ["all-fail:0", "all-fail:x", "all-fail:1:0.5", "mostly-fail:2:1.0", "mostly-fail:2:0.1:3", "never:1"]
)
def test_numbers_that_do_not_suit_a_trigger_are_refused(name):
    with pytest.raises(InputError, match=r"Write all-fail:4 or mostly-fail:8:0\.25"):
        make_trigger(name)


@pytest.mark.parametrize(
    ("schedule", "shares"),
    [
        ({}, [1, 1, 1]),
        ({"shape": "linear"}, [1, 0.5, 0]),
        ({"shape": "linear", "start": 0.8, "end": 0.2, "until": 0.5}, [0.8, 0.2, 0.2]),
        ({"shape": "cosine"}, [1, 0.5, 0]),
        ({"shape": "steps", "steps": 3}, [1, 0.5, 0]),
    ],
)
def test_help_fades_out_by_its_schedule(schedule, shares):
    assert [Schedule(**schedule).share(point) for point in (0.0, 0.5, 1.0)] == pytest.approx(shares)


def test_the_drawn_share_is_about_that_share_and_grows_with_it():
    ids = [f"t{number}__0g" for number in range(400)]
    few, many = ({name for name in ids if drawn(share, 0, name)} for share in (0.3, 0.7))
    assert few < many and 80 < len(few) < 160 and 240 < len(many) < 320
    assert all(drawn(1.0, 0, name) for name in ids) and not any(drawn(0.0, 0, name) for name in ids)

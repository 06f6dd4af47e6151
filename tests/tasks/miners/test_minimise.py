"""Delta debugging finds parts from which nothing can be left out, asks no more than it may, keeps problems apart."""

from __future__ import annotations

import itertools

import pytest

from swegym.tasks.miners.minimise import OutOfTries, Question, merged, minimise, problems


@pytest.mark.parametrize("needed", [{0}, {7}, {3, 4}, {0, 15}, {2, 9, 13}, set(range(16))])
def test_what_is_left_is_exactly_what_is_needed(needed: set[int]) -> None:
    assert set(minimise(range(16), lambda part: needed <= set(part))) == needed


def test_no_item_of_the_answer_can_be_left_out_where_more_than_one_answer_would_do() -> None:
    def suffices(part: list[int]) -> bool:
        return {1, 5} <= set(part) or {2, 6, 7} <= set(part)

    found = minimise(range(8), suffices)
    assert suffices(found)
    assert not any(suffices(list(part)) for part in itertools.combinations(found, len(found) - 1))


def test_a_search_that_takes_too_long_ends() -> None:
    question = Question(lambda part, tests: {"t"} if len(part) == 64 else set(), "t", 10)
    with pytest.raises(OutOfTries):
        minimise(range(64), question)


def test_each_test_gets_its_own_part_and_overlapping_ones_become_one_problem() -> None:
    needs = {"a": {0}, "b": {5, 6}, "c": {6, 7}, "d": {99}}
    found, unsettled = problems(
        ["f.py"] * 4 + ["g.py"] * 6,
        list(needs),
        {"b": [4, 5, 6]},
        lambda part, tests: {test for test in tests if needs[test] <= set(part)},
        tries=100,
        most=5,
    )
    assert found == [([0], ["a"]), ([5, 6, 7], ["b", "c"])]
    assert unsettled == {"d": "does not pass again with the whole change"}


def test_the_search_ends_when_enough_is_found() -> None:
    found, unsettled = problems(
        ["f.py"] * 3, ["0", "1", "2"], {}, lambda part, tests: {t for t in tests if int(t) in part}, tries=50, most=2
    )
    assert len(found) == 2 and list(unsettled) == ["2"]


def test_merging_goes_on_through_chains() -> None:
    assert merged([([1, 2], ["a"]), ([4], ["b"]), ([2, 4], ["c"])]) == [([1, 2, 4], ["a", "b", "c"])]

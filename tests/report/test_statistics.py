"""Rates by hand: pass@k against counting, Wilson against published values."""

from itertools import combinations

import pytest

from swegym.errors import InputError
from swegym.report.statistics import mean_pass_at_k, pass_at_k, wilson


def test_pass_at_1_is_the_solved_share() -> None:
    assert pass_at_k(4, 1, 1) == 0.25


def test_pass_at_2_by_hand() -> None:
    # 4 attempts, 1 solved: of the 6 ways to draw two, 3 miss the solved one.
    assert pass_at_k(4, 1, 2) == 0.5


@pytest.mark.parametrize("solved", range(7))
@pytest.mark.parametrize("k", range(1, 7))
def test_pass_at_k_equals_counting_every_draw(solved: int, k: int) -> None:
    draws = list(combinations([True] * solved + [False] * (6 - solved), k))
    assert pass_at_k(6, solved, k) == pytest.approx(sum(any(draw) for draw in draws) / len(draws))


def test_pass_at_k_is_exact_for_many_attempts() -> None:
    assert pass_at_k(10_000, 1, 5_000) == pytest.approx(0.5, abs=1e-12)


@pytest.mark.parametrize(("attempts", "solved", "k"), [(2, 1, 3), (2, 1, 0), (2, 3, 1), (0, 0, 1)])
def test_pass_at_k_refuses_impossible_counts(attempts: int, solved: int, k: int) -> None:
    with pytest.raises(InputError, match=r"k = |solved = "):
        pass_at_k(attempts, solved, k)


def test_wilson_by_hand() -> None:
    # 1 of 10 at 95 %, z = 1.959964: (0.1 + 0.19207 -+ 0.21213) / 1.38415 gives 0.0179 and 0.4042.
    low, high = wilson(1, 10)
    assert low == pytest.approx(0.01788, abs=1e-5)
    assert high == pytest.approx(0.40415, abs=1e-5)


def test_wilson_is_never_a_point_at_the_ends() -> None:
    assert wilson(0, 10) == (0.0, pytest.approx(0.27753, abs=1e-5))
    assert wilson(10, 10) == (pytest.approx(0.72247, abs=1e-5), 1.0)


def test_wilson_of_nothing_is_everything() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


def test_mean_pass_at_k_leaves_out_tasks_with_too_few_attempts() -> None:
    rate = mean_pass_at_k([(4, 1), (4, 4), (1, 1)], 2)
    assert rate is not None
    assert rate.tasks == 2
    assert rate.value == pytest.approx(0.75)  # mean of 0.5 and 1


def test_mean_pass_at_k_without_enough_attempts_is_none() -> None:
    assert mean_pass_at_k([(1, 1)], 2) is None

"""Analysis over runs: the decomposition's worked example, its placebo, best of k exactly, hints against none."""

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swegym.errors import InputError
from swegym.report.decomposition import decompose, outcomes
from swegym.report.guidance_effect import guidance_effect
from swegym.report.phases import phases
from swegym.report.reranking import read_scores, rerank, scores_of
from swegym.report.statistics import pass_at_k
from swegym.train.pick import best_of_k
from tests.data.test_pairs import attempt


def samples(solved: int, n: int = 16) -> list[bool]:
    """n outcomes, the solved ones first."""
    return [number < solved for number in range(n)]


def test_the_worked_example():
    counts = [(0, 8), (2, 14), (0, 0), (16, 12)]
    before = {f"t{n}": samples(c0) for n, (c0, _) in enumerate(counts)}
    after = {f"t{n}": samples(c1) for n, (_, c1) in enumerate(counts)}
    made = decompose(before, after)
    assert made.k == 16 and {name: part.value for name, part in made.parts.items()} == {
        "self_distillation": 0.1875,
        "capability_gain": 0.125,
        "retention": -0.0625,
    }
    assert made.net.value == 0.25 and [part.tasks for part in made.parts.values()] == [1, 2, 1]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=1, max_size=20), st.integers(1, 8))
def test_the_parts_add_up_to_the_change_of_the_mean(counts, k):
    before = {str(n): samples(c0, 8) for n, (c0, _) in enumerate(counts)}
    after = {str(n): samples(c1, 8) for n, (_, c1) in enumerate(counts)}
    made = decompose(before, after, k=k)
    mean = sum(c1 - c0 for c0, c1 in counts) / 8 / len(counts)
    assert sum(part.value for part in made.parts.values()) == pytest.approx(made.net.value) == pytest.approx(mean)
    assert made.net.low <= made.net.value + 1e-9 and made.net.value <= made.net.high + 1e-9


def test_the_placebo_is_the_floor_of_a_gain_that_is_none():
    draw = random.Random(0)

    def policy(n: int = 4) -> dict[str, list[bool]]:
        return {str(task): [draw.random() < 0.15 for _ in range(n)] for task in range(300)}

    made = decompose(policy(), policy(), placebo=policy())
    assert made.placebo is not None
    gain, floor = made.parts["capability_gain"], made.placebo.parts["capability_gain"]
    assert gain.value > 0.02  # of nothing: missed by bad luck before
    assert floor.low < gain.value < floor.high and abs(made.net.value) < 0.05


def test_only_the_first_k_samples_decide_what_is_reachable():
    before = {"late": [False, False, True, False, False], "never": [False] * 5}
    after = {"late": [True] * 5, "never": [True] * 5}
    kinds = {one.task: one.kind for one in decompose(before, after, k=2).changes}
    assert kinds == {"late": "unreachable", "never": "unreachable"}
    assert {one.task: one.kind for one in decompose(before, after, k=3).changes}["late"] == "reachable"


def test_tasks_of_one_side_only_are_counted_and_left_out():
    made = decompose({"a": [True], "b": [True]}, {"a": [False], "c": [True]})
    assert len(made.changes) == 1 and made.left_out == 2
    with pytest.raises(InputError, match="no task was attempted both"):
        decompose({"a": [True]}, {"b": [True]})
    with pytest.raises(InputError, match="k = 3"):
        decompose({"a": [True]}, {"a": [True]}, k=3)


def test_outcomes_are_plain_and_judged_in_the_order_of_attempts():
    group = [attempt(2, True), attempt(0, False), attempt(1, None), attempt(0, True, guided=True)]
    assert outcomes(group) == {"t": [False, True]}


# --- best of k --------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=7), st.integers(1, 7))
def test_best_of_k_equals_trying_every_draw(scored, k):
    k = min(k, len(scored))
    total = 0.0
    draws = list(itertools.combinations(scored, k))
    for drawn in draws:
        top = max(score for score, _ in drawn)
        best = [solved for score, solved in drawn if score == top]
        total += sum(best) / len(best)
    # Of equal scores each is as likely to be taken: over all draws that is their level's mean.
    assert best_of_k([(float(s), solved) for s, solved in scored], k) == pytest.approx(total / len(draws))


def test_a_perfect_score_reaches_pass_at_k_and_a_blind_one_pass_at_1():
    group = [attempt(n, n in (3, 5)) for n in range(8)]
    perfect = rerank(group, {one.id: float(one.verdict.resolved) for one in group})
    blind = rerank(group, {one.id: 0.0 for one in group})
    assert perfect.picked[4].value == pytest.approx(perfect.oracle[4].value) == pytest.approx(pass_at_k(8, 2, 4))
    assert blind.picked[4].value == pytest.approx(0.25) and list(blind.picked) == [1, 2, 4, 8]


def test_attempts_without_a_score_are_counted(tmp_path):
    group = [attempt(0, True), attempt(1, False), attempt(2, True, guided=True)]
    assert rerank(group, {"t__0": 1.0}).unscored == 1
    with pytest.raises(InputError, match="none of the attempts"):
        rerank(group, {"other": 1.0})
    assert scores_of(group, {"one/t__0": 1.0, "two/t__1": 0.5}, "one", alone=False) == {"t__0": 1.0}
    assert scores_of(group, {"t__0": 1.0}, "one", alone=True) == {"t__0": 1.0}
    assert scores_of(group, {"t__0": 1.0}, "one", alone=False) == {}  # it could be the other run's
    file = tmp_path / "scores.jsonl"
    file.write_text('{"id": "t__0", "score": 0.5}\n')
    assert read_scores(file) == {"t__0": 0.5}
    for line in ("{", "[]", '{"id": "t"}', '{"id": "t", "score": "high"}', '{"id": "t", "score": NaN}'):
        file.write_text(line)
        with pytest.raises(InputError, match=r"scores\.jsonl:1: no score"):
            read_scores(file)


# --- hints ------------------------------------------------------------------------------------------------------------


def test_guided_against_plain_on_the_same_tasks():
    group = [attempt(0, True, task="easy")]
    for task in ("a", "b"):
        group += [attempt(0, False, task=task, patch=""), attempt(0, task == "a", task=task, guided=True)]
    made = guidance_effect(group)
    assert (made.plain.solved.value, made.plain_same.solved.value, made.guided.solved.value) == (
        pytest.approx(1 / 3),
        0,
        0.5,
    )
    assert (made.plain_same.empty.value, made.guided.empty.value) == (1.0, 0.0) and made.empty_difference.value == -1.0
    assert made.difference.value == 0.5 and made.difference.tasks == 2 and made.only_guided == 1


def test_without_hints_there_is_no_effect():
    assert guidance_effect([attempt(0, True), attempt(0, None, guided=True)]) is None


def test_phases_add_up():
    group = [attempt(n, True, seconds={"tools": float(n), "grade": 1.0}) for n in range(4)]
    found = {phase.name: phase for phase in phases(group)}
    assert list(found) == ["tools", "grade"]
    assert (found["tools"].total, found["tools"].share, found["tools"].longest) == (6.0, 0.6, 3.0)

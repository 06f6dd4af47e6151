"""Rows are checked, never cut inside a turn, and every layout points at the same predictions."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from training_rows import random_rows

from swegym.errors import InputError
from swegym.train.batch import Row, all_trained, common_beginning, fitted, make_row, order_of, packed, padded, plan


def row(ids, mask) -> Row:
    return make_row(ids, mask, "f.jsonl:1", vocabulary=100)


@pytest.mark.parametrize(
    ("ids", "mask", "problem"),
    [
        ([1, 2, 3], [0, 0, 0], "no token of an assistant"),
        ([1, 2, 3], [1, 0, 0], "no token of an assistant"),  # nothing comes before the first
        ([1, 2, 3], [0, 1], "go together"),
        ([1, 200, 3], [0, 1, 1], "another tokenizer"),
        ([1, -2, 3], [0, 1, 1], "another tokenizer"),
        ([1, 2**70, 3], [0, 1, 1], "another tokenizer"),
        ([1, 2, 3], [0, 2, 1], "not 0 or 1"),
    ],
)
def test_a_bad_row_is_named(ids, mask, problem):
    with pytest.raises(InputError, match=problem) as raised:
        row(ids, mask)
    assert "f.jsonl:1" in str(raised.value)


@pytest.mark.parametrize("wrong", [float("nan"), float("-inf"), None, "x"], ids=repr)
def test_a_log_prob_that_is_no_number_reaches_no_loss(wrong):
    with pytest.raises(InputError, match=r"f.jsonl:1: logprobs.*not a list of numbers"):
        make_row([1, 2], [0, 1], "f.jsonl:1", vocabulary=100, logprobs=[0.0, wrong])


def test_the_first_token_is_never_trained():
    assert row([1, 2, 3], [1, 1, 0]).mask.tolist() == [False, True, False]


def test_a_long_row_is_refused_or_cut_where_a_turn_ends():
    made = row(range(1, 11), [0, 0, 1, 1, 0, 1, 1, 1, 0, 1])
    assert fitted(made, 10, "refuse") is made
    assert fitted(made, 9, "refuse") is None
    assert [len(fitted(made, most, "cut")) for most in (9, 8, 7, 4)] == [8, 8, 4, 4]
    assert fitted(made, 3, "cut") is None
    assert fitted(made, 8, "cut").mask.tolist() == made.mask[:8].tolist()


def test_all_trained_begins_with_the_first_word():
    assert all_trained(row([1, 2, 3, 4, 5], [0, 0, 1, 0, 1])).mask.tolist() == [False, False, True, True, True]


def test_what_is_shared_is_laid_out_once():
    a = row([7, 8, 9, 1, 2], [0, 0, 0, 1, 1])
    b = row([7, 8, 9, 3], [0, 0, 0, 1])
    batch = packed([[a, b]])
    assert batch.ids_BT.tolist() == [[7, 8, 9, 1, 2, 3]]
    assert batch.positions_BT.tolist() == [[0, 1, 2, 3, 4, 3]]
    assert batch.places_N.tolist() == [2, 3, 2]  # both first words are predicted from the last shared token
    assert batch.targets_N.tolist() == [1, 2, 3]
    assert batch.owners_N.tolist() == [0, 0, 1]
    assert (batch.tokens, batch.row_tokens) == (6, 9)
    assert batch.attended == 15 + 1 + 3


def test_a_row_may_be_the_beginning_of_the_other():
    a, b = row([7, 8, 1, 2], [0, 0, 1, 1]), row([7, 8, 1], [0, 0, 1])
    batch = packed([[a, b]])
    assert batch.ids_BT.tolist() == [[7, 8, 1, 2]]
    assert batch.places_N.tolist() == [1, 2, 1]
    assert batch.ends_S.tolist() == [3, 2]


@given(seed=st.integers(0, 1000), count=st.integers(1, 6))
def test_every_layout_predicts_each_trained_token_from_the_one_before(seed, count):
    rows = random_rows(count, seed=seed)
    twins = [[one, replace(one, ids=np.append(one.ids[:-3], [1, 2, 3]).astype(np.int32))] for one in rows]
    for groups in ([[one] for one in rows], twins):
        flat = [one for group in groups for one in group]
        for batch in (packed(groups), packed(groups, share=False), padded(flat, 0)):
            ids = batch.ids_BT.flatten()
            expected = [
                (number, int(one.ids[t - 1]), int(one.ids[t]))
                for number, one in enumerate(flat)
                for t in np.flatnonzero(one.mask)
            ]
            found = list(
                zip(batch.owners_N.tolist(), ids[batch.places_N].tolist(), batch.targets_N.tolist(), strict=True)
            )
            assert found == expected
            assert batch.row_tokens == sum(map(len, flat))


@given(lengths=st.lists(st.integers(1, 50), min_size=1, max_size=30), packing=st.booleans())
def test_a_plan_takes_everything_once_and_keeps_the_budget(lengths, packing):
    together = plan(lengths, 60, packing=packing)
    assert sorted(index for part in together for index in part) == list(range(len(lengths)))
    for part in together:
        chosen = [lengths[index] for index in part]
        assert (sum(chosen) if packing else max(chosen) * len(chosen)) <= 60


def test_what_is_longer_than_the_budget_goes_alone():
    assert plan([100, 5, 5], 60, packing=True) == [[0], [1, 2]]


def test_beginnings_are_compared_by_id():
    rows = [row(ids, [0, 0, 1, 1]) for ids in ([1, 2, 3, 4], [1, 2, 5, 4], [1, 2, 3, 9])]
    assert common_beginning(rows) == 2
    assert common_beginning(rows[:1]) == 4


def test_epochs_have_their_own_order():
    orders = [order_of(20, epoch, 0).tolist() for epoch in (0, 1, 0)]
    assert orders[0] == orders[2] != orders[1]
    assert sorted(orders[1]) == list(range(20))

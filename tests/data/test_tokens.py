"""Token rows: what was sampled, to the id, with and without the hint."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swegym.data.tokens import has_tokens, token_rows
from swegym.errors import InputError
from swegym.guidance import guidance_message
from tests.data.token_turns import (
    ANSWER,
    HINT,
    HINT_IDS,
    ISSUE,
    PROMPT,
    SYSTEM,
    guided,
    plain,
    spoken,
    trajectory,
    with_extra,
)


def test_turns_are_joined_as_they_were_sampled():
    (row,) = token_rows(plain(), guidance=False)
    assert row.ids == (100, 101, 102, 200, 201, 300, 301, 400)
    assert row.mask == (0, 0, 0, 1, 1, 0, 0, 1)
    assert row.logprobs == (0, 0, 0, -0.2, -0.201, 0, 0, -0.4)
    assert row.turns == ((3, 5), (7, 8)) and row.hint == ()
    assert (row.temperature, row.policy_version) == (0.7, "v3")


def test_with_guidance_the_hint_is_where_it_stood():
    (row,) = token_rows(guided(), guidance=True)
    assert row.ids == (100, 101, *HINT_IDS, 102, 200, 201, 300, 301, 400)
    assert row.hint == ((2, 4),) and row.turns == ((5, 7), (9, 10))


def test_without_guidance_nothing_but_the_hint_is_gone():
    (hintless,), (never_hinted,) = token_rows(guided(), guidance=False), token_rows(plain(), guidance=False)
    assert (hintless.ids, hintless.mask, hintless.logprobs, hintless.turns) == (
        never_hinted.ids,
        never_hinted.mask,
        never_hinted.logprobs,
        never_hinted.turns,
    )
    assert hintless.hint == ()


def test_a_hint_that_comes_later_is_cut_from_the_context():
    first = spoken([200], prompt_token_ids=PROMPT)
    second = spoken([400], context_token_ids=[300, *HINT_IDS, 301], guidance_span=[1, 3])
    late = trajectory(SYSTEM, ISSUE, first, ANSWER, guidance_message(HINT), second, guidance=HINT)
    assert token_rows(late, guidance=False)[0].ids == (*PROMPT, 200, 300, 301, 400)
    assert token_rows(late, guidance=True)[0].hint == ((5, 7),)


def test_a_prompt_that_does_not_continue_begins_a_row():
    second = spoken([400], prompt_token_ids=[100, 101, 199, 300])
    rows = token_rows(trajectory(ISSUE, spoken([200], prompt_token_ids=PROMPT), ANSWER, second), guidance=False)
    assert [row.ids for row in rows] == [(100, 101, 102, 200), (100, 101, 199, 300, 400)]
    assert [row.turns for row in rows] == [((3, 4),), ((4, 5),)]


def test_a_whole_prompt_that_does_continue_does_not():
    second = spoken([400], prompt_token_ids=[*PROMPT, 200, 300])
    (row,) = token_rows(trajectory(ISSUE, spoken([200], prompt_token_ids=PROMPT), ANSWER, second), guidance=False)
    assert row.ids == (*PROMPT, 200, 300, 400)


def test_a_row_that_begins_anew_loses_its_hint_too():
    first = spoken([200], prompt_token_ids=[100, *HINT_IDS, 102], guidance_span=[1, 3])
    second = spoken([400], prompt_token_ids=[100, *HINT_IDS, 199], guidance_span=[1, 3])
    both = trajectory(ISSUE, guidance_message(HINT), first, ANSWER, second, guidance=HINT)
    assert [row.ids for row in token_rows(both, guidance=False)] == [(100, 102, 200), (100, 199, 400)]


def test_replayed_turns_are_seen_and_not_trained_on():
    first = spoken([200], prompt_token_ids=PROMPT, replayed=True)
    second = spoken([400], context_token_ids=[300])
    (row,) = token_rows(trajectory(ISSUE, first, ANSWER, second), guidance=False)
    assert row.mask == (0, 0, 0, 0, 0, 1) and row.turns == ((5, 6),) and row.logprobs[3] == 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"token_ids": None}, "token_ids is missing"),
        ({"logprobs": None}, "no values for 2 token_ids"),
        ({"logprobs": [0.0]}, "1 values for 2"),
        ({"logprobs": [0.0, float("nan")]}, "no list of numbers"),
        ({"logprobs": [0.0, None]}, "no list of numbers"),
        ({"prompt_token_ids": None}, "neither of prompt_token_ids"),
        ({"context_token_ids": [1]}, "both of"),
        ({"token_ids": ["a", "b"]}, "is no list of token ids"),
        ({"guidance_span": None}, "guidance_span is missing"),
        ({"guidance_span": [2, 9]}, "is no \\[start, end\\)"),
        ({"guidance_span": [4, 2]}, "is no \\[start, end\\)"),
    ],
)
def test_what_does_not_belong_together_is_refused_by_message(changes, said):
    with pytest.raises(InputError, match=f"t__0, message 3.*{said}"):
        token_rows(with_extra(guided(), 0, **changes), guidance=False)


def test_a_hint_in_a_context_without_its_span_is_refused():
    first = spoken([200], prompt_token_ids=PROMPT)
    late = trajectory(ISSUE, first, guidance_message(HINT), spoken([400], context_token_ids=[300]), guidance=HINT)
    with pytest.raises(InputError, match="guidance_span is missing"):
        token_rows(late, guidance=True)


def test_the_first_turn_needs_its_prompt():
    with pytest.raises(InputError, match="the first turn needs it"):
        token_rows(trajectory(ISSUE, spoken([200], context_token_ids=[300])), guidance=False)


def test_who_has_tokens():
    assert (
        has_tokens(plain()) and not has_tokens(trajectory(ISSUE)) and token_rows(trajectory(ISSUE), guidance=True) == []
    )
    assert not has_tokens(with_extra(plain(), 1, token_ids=None))


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(1, 3), st.booleans()), min_size=1, max_size=6)
)
def test_deleting_the_hint_gives_the_row_that_never_had_one(turns):
    """Any mixture of contexts, hints and restarts: the hintless view equals the trajectory made without hints."""
    with_hint, without = [ISSUE], [ISSUE]
    history: list[int] = []
    hinted_history: list[int] = []
    token = 1000
    for number, (before, hint, said, restart) in enumerate(turns):
        context = list(range(token, token + before + 1))
        hint_ids = list(range(token + 20, token + 20 + hint))
        output = list(range(token + 40, token + 40 + said))
        token += 100
        if number == 0 or restart:
            history, hinted_history = [], []
            key = "prompt_token_ids"
        else:
            key = "context_token_ids"
        if hint:
            with_hint.append(guidance_message(HINT))
        span = {"guidance_span": [0, hint]} if hint or key == "prompt_token_ids" else {}
        with_hint.append(spoken(output, **{key: [*hint_ids, *context]}, **span))
        without.append(spoken(output, **{key: context}))
        with_hint.append(ANSWER)
        without.append(ANSWER)
        history += [*context, *output]
        hinted_history += [*hint_ids, *context, *output]
    cut = token_rows(trajectory(*with_hint, guidance=HINT), guidance=False)
    never = token_rows(trajectory(*without), guidance=False)
    assert cut == never
    for row in token_rows(trajectory(*with_hint, guidance=HINT), guidance=True):
        inside = {place for start, end in row.hint for place in range(start, end)}
        assert not any(row.mask[place] for place in inside)
        assert sum(row.mask) == sum(end - start for start, end in row.turns)

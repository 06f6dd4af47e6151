import pickle

import pytest
from gymnasium.utils.env_checker import data_equivalence
from hypothesis import given
from hypothesis import strategies as st

from swegym.spaces import ConversationSpace, MessageSpace, UnicodeSpace

SPACES = [
    UnicodeSpace(),
    UnicodeSpace(noop="x"),
    MessageSpace(),
    MessageSpace(roles=("assistant",)),
    MessageSpace(roles=("assistant",), noop=("bash", {"command": "true — ñ"})),
    ConversationSpace(),
]
CALL = {"id": "1", "type": "function", "function": {"name": "bash", "arguments": "{broken"}}


@pytest.mark.parametrize("space", SPACES, ids=repr)
def test_samples_are_members_and_a_seed_repeats_them(space):
    space.seed(3)
    first = [space.sample() for _ in range(50)]
    space.seed(3)
    assert first == [space.sample() for _ in range(50)]
    assert all(sample in space for sample in first)


@pytest.mark.parametrize("space", SPACES, ids=repr)
def test_equal_to_itself_pickled_and_to_what_its_repr_says(space):
    copy = pickle.loads(pickle.dumps(space))
    assert copy == space and data_equivalence(copy, space)
    assert eval(repr(space)) == space
    assert [other == space for other in SPACES].count(True) == 1
    assert space != 3


@given(st.text())
def test_any_text_that_utf_8_can_carry_is_a_member(text):
    assert text in UnicodeSpace()
    assert {"role": "user", "content": text} in MessageSpace()
    assert [{"role": "tool", "tool_call_id": "1", "content": text}] in ConversationSpace()


def test_half_a_surrogate_pair_is_no_text():
    assert "\ud800" not in UnicodeSpace()
    assert {"role": "user", "content": "\ud800"} not in MessageSpace()


@pytest.mark.parametrize(
    "value",
    [
        None,
        "text",
        {},
        {"content": "no role"},
        {"role": "robot", "content": ""},
        {"role": ["user"]},
        {"role": "user", "content": None},
        {"role": "user", "content": 3},
        {"role": "user", "surprise": 1},
        {"role": "assistant", "tool_calls": {}},
        {"role": "assistant", "tool_calls": [{}]},
        {"role": "assistant", "tool_calls": [{**CALL, "function": {"name": "bash", "arguments": {}}}]},
        {"role": "assistant", "extra": []},
    ],
)
def test_what_has_another_shape_is_no_message(value):
    assert value not in MessageSpace()
    assert [value] not in ConversationSpace()


def test_a_call_that_makes_no_sense_is_a_member_as_long_as_it_has_the_shape():
    assert {"role": "assistant", "content": "", "tool_calls": [CALL], "extra": {"token_ids": [1]}} in MessageSpace()


def test_a_space_of_one_role_refuses_the_others():
    assert {"role": "user", "content": ""} not in MessageSpace(roles=("assistant",))


def test_a_conversation_is_a_list():
    assert ({"role": "user", "content": ""},) not in ConversationSpace()
    assert [] in ConversationSpace()

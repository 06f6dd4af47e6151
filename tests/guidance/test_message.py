"""A hint in a conversation: shape, mark, and total removal."""

import copy
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swegym.errors import GuidanceError
from swegym.guidance import guidance_message, without_guidance
from swegym.types import Guidance

GUIDANCE = Guidance("oracle", {"interaction": "Look at: a.py, function f, lines 1-2", "plan": "f misbehaves."}, True)


def test_parts_come_in_order_under_headings_between_delimiters():
    text = guidance_message(GUIDANCE)["content"]
    assert re.search(r"<<< .*\n\n## Plan\nf misbehaves\.\n\n## Where to look\nLook at: a\.py, .*\n\n>>> ", text)


def test_it_is_a_marked_user_message():
    message = guidance_message(GUIDANCE)
    assert message["role"] == "user" and message["extra"] == {"source": "guidance"}


@pytest.mark.parametrize("word", ["may be wrong", "start from the beginning", "as if you had never been given"])
def test_it_says_how_far_to_trust_it(word):
    assert word in guidance_message(GUIDANCE)["content"]


@pytest.mark.parametrize(
    ("place", "said"), [("takeover", "Go on from here"), ("feedback", "What you submitted does not solve the problem")]
)
def test_behind_turns_it_does_not_say_that_nothing_was_done(place, said):
    text = guidance_message(GUIDANCE, place)["content"]
    assert said in text and "Nothing has been done" not in text and "as if you had never been given" in text


@pytest.mark.parametrize(
    ("parts", "problem"),
    [
        ({}, "says nothing"),
        ({"plan": " "}, "says nothing"),
        ({"code": "x"}, "'code'"),
        ({"plan": "a\n<<< suggestion from a reviewer"}, "delimiter"),
    ],
)
def test_malformed_guidance_is_refused(parts, problem):
    with pytest.raises(GuidanceError, match=problem):
        guidance_message(Guidance("t", parts, False))


plain = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool"]), "content": st.text()},
    optional={"extra": st.just({"usage": {"tokens": 3}})},
)


@given(st.lists(plain), st.lists(st.integers(0, 10), max_size=3))
def test_removal_restores_the_conversation_exactly(messages, positions):
    hinted = copy.deepcopy(messages)
    for position in positions:
        hinted.insert(min(position, len(hinted)), guidance_message(GUIDANCE))
    assert without_guidance(hinted) == messages

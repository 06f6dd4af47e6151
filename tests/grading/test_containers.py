"""Containers with an equality of their own: what they hold counts, and what they give to who goes through them."""

import collections
import itertools
import json

import pytest
from test_odd_answers import checked

from swegym.grading import _questions
from swegym.grading.plain_values import content_of


class Both(dict):
    """Equal to what it is made of and to something else."""

    def __init__(self, shown, right):
        super().__init__(shown)
        self.right = right

    def __eq__(self, other):
        return dict.__eq__(self, other) or self.right == other

    __hash__ = None


class Late(list):
    """Filled when somebody goes through it."""

    def __iter__(self):
        return iter([1, 2])

    def __eq__(self, other):
        return [*self] == other

    __hash__ = None


class Odd(Late):
    def __iter__(self):
        raise OSError


class Endless(Late):
    def __iter__(self):
        return itertools.count()


class Record(collections.abc.Mapping):
    """A mapping, and no dict."""

    def __init__(self, **parts):
        self.parts = parts

    def __getitem__(self, key):
        return self.parts[key]

    def __iter__(self):
        return iter(self.parts)

    def __len__(self):
        return len(self.parts)


class Bag(collections.abc.Set):
    def __init__(self, *members):
        self.members = members

    def __contains__(self, one):
        return one in self.members

    def __iter__(self):
        return iter(self.members)

    def __len__(self):
        return len(self.members)


@pytest.mark.parametrize(
    "value, reference",
    [
        (Both({"a": 7}, {}), {}),
        (Both({"a": 7}, {"a": 1}), {"a": 1}),
        ([Both({"a": 7}, {})], [{}]),
        (Late([3]), [3, 4]),
        (Odd([3]), [1, 2]),
        (Record(a=2), {"a": 1}),
        (Bag(1, 2), {1, 3}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_container_that_holds_other_things_is_none_of_the_right_ones(value, reference):
    assert checked(value, "==", "", reference)[0] == "site 0"


@pytest.mark.parametrize(
    "value, reference",
    [
        (Both({}, {"a": 1}), {}),
        (Late([]), [1, 2]),
        (Late([]), (1, 2)),
        ([Late([])], [[1, 2]]),
        (Both({"A": "x"}, {}), {"a": "X"}),
        (Record(a=1), {"a": 1}),
        (Bag(1, 2), {2, 1}),
        (Endless(), [1, 2]),
        (Record(a=object()), {"a": 1}),
        (object(), {"a": 1}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_container_that_is_right_one_way_or_cannot_be_gone_through_is_not_wrong_by_that(value, reference):
    wrong = checked(value, "==", "", reference)[0]
    assert not wrong or type(value) is Endless


def test_of_an_answer_too_long_to_send_twice_what_it_is_made_of_is_sent():
    text = _questions.packed(Both({"a": "x" * 150_000}, {}))
    assert len(json.loads(text)) == 3 and content_of(text) == {"a": "x" * 150_000}

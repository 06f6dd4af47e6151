"""Right code whose answers look odd where nobody sees the test is paid, and a lax equality is not."""

import collections
import dataclasses
import datetime
import decimal
import fractions
import json
import random
import sys
import types

import pytest
from test_strict import CORE, made_with, patch_with

from swegym.grading import _questions, asking, choices, expectations, inquiries, sealed, seals
from swegym.grading.plain_values import OPAQUE, agrees, content_of, decode
from swegym.grading.taking import reference_for
from swegym.sandbox import sandbox_factory

EAST = datetime.timezone(datetime.timedelta(hours=5, minutes=30))


class Lax(str):
    """Equal to what has the same letters."""

    def __eq__(self, other):
        return self.lower().replace(" ", "") == other.lower().replace(" ", "")

    __hash__ = None


class Lower(dict):
    """A dict whose keys are in no case."""

    def __contains__(self, key):
        return dict.__contains__(self, key.lower())


class OldNameError(Exception):
    pass


def test_an_exception_goes_by_what_modules_call_it_besides(monkeypatch):
    module = types.ModuleType("shop.errors")
    module.ShopError = OldNameError
    monkeypatch.setitem(sys.modules, "shop.errors", module)
    names = _questions.names_of(OldNameError)
    assert names[0].endswith("test_odd_answers.OldNameError") and names[1].endswith("test_odd_answers.ShopError")
    assert _questions.names_of(KeyError) == [f"builtins.{kind.__name__}" for kind in KeyError.__mro__]


def test_a_pattern_may_be_found_in_the_notes_of_an_exception():
    check = {"form": "raises", "operator": "raises", "names": ["ValueError"], "match": "no such$"}
    names = ["builtins.ValueError", "builtins.Exception"]
    for texts, found in (
        (["no such", "no such"], True),
        (["no such", "no such\nnote"], True),
        (["text", "text\nno such"], True),
        (["text", "text"], False),
    ):
        assert agrees(check, decode(json.dumps(["raised", [names, *texts]])), None) is found


def checked(value, operator, literal, reference):
    form = "equal" if operator == "==" else "compare"
    check = {"form": form, "operator": operator, "literal": literal, "answers": [_questions.packed(reference)]}
    return asking._unlike({"0": check}, {"0": [_questions.packed(value)]})


def test_a_dict_that_finds_its_keys_in_its_own_way_is_asked_by_other_means():
    literal = '["str", "Accept"]'
    assert checked(Lower(accept=1), "contains", literal, {"Accept": 1}) == ("", {"0"})
    assert checked({"accept": 1}, "contains", literal, {"Accept": 1})[0]
    assert checked(Lower(Accept=1), "contains", literal, {"Accept": 1}) == ("", frozenset())
    assert checked(Lower(a=1), "==", "", {"a": 1}) == ("", frozenset()) and checked(Lower(a=1), "==", "", {"a": 2})[0]


def test_an_object_of_its_own_kind_is_not_none():
    assert checked(object(), "is not", '["none", null]', (1, 2)) == ("", frozenset())
    assert checked(None, "is not", '["none", null]', (1, 2))[0]
    assert checked(object(), "!=", '["int", "3"]', 4) == ("", {"0"})


def test_what_an_answer_is_made_of_counts_whatever_it_is_equal_to():
    assert checked(Lax("a b"), "==", "", "a b") == ("", frozenset())
    assert checked([Lax("a b")], "==", "", ["a b"]) == ("", frozenset())
    assert checked(Lax("ab"), "==", "", "a b")[0] and checked([Lax("ab")], "==", "", ["a b"])[0]
    assert checked(collections.UserString("ab"), "==", "", "ab") == ("", frozenset())
    assert checked(collections.UserString("ab"), "==", "", "a b") == ("", {"0"})
    assert decode(_questions.packed(Lax("ab"))) is OPAQUE and content_of(_questions.packed(Lax("ab"))) == "ab"
    assert content_of(_questions.packed(object())) is OPAQUE and content_of('["int", "1"]') is OPAQUE


ZONE = datetime.timezone(datetime.timedelta(hours=5, minutes=30))
MOMENT = datetime.datetime(2024, 2, 29, 1, 2, 3, 4, ZONE)


class Year(datetime.date):
    def __eq__(self, other):
        return self.year == other.year

    __hash__ = datetime.date.__hash__


@pytest.mark.parametrize(
    "value",
    [
        MOMENT, MOMENT.date(), MOMENT.timetz(), MOMENT.replace(tzinfo=None), MOMENT.utcoffset(),
        decimal.Decimal("1.50"), fractions.Fraction(-2, 3), [MOMENT, {"at": MOMENT}],
    ],
)  # fmt: skip
def test_dates_and_numbers_of_the_library_are_plain_values(value):
    assert decode(_questions.packed(value)) == value and type(decode(_questions.packed(value))) is type(value)


def test_a_date_is_what_it_is_made_of_whatever_it_is_equal_to():
    leap, other = datetime.date(2024, 2, 29), datetime.date(2024, 2, 28)
    assert checked(Year(2024, 2, 29), "==", "", leap) == ("", frozenset())
    assert checked(Year(2024, 2, 28), "==", "", leap)[0] and checked(other, "==", "", leap)[0]
    assert checked(MOMENT.astimezone(datetime.UTC), "==", "", MOMENT) == ("", frozenset())
    assert checked(MOMENT.replace(tzinfo=datetime.UTC), "==", "", MOMENT)[0]
    for text in (
        '["date", "2024"]',
        '["timedelta", [1e9, 1]]',
        '["decimal", "x"]',
        '["fraction", ["1", "0"]]',
        '["date", 3]',
    ):
        assert decode(text) is OPAQUE


LOOPS = b"""
from shop import price, names

def test_steady():
    for name in ["a", "b", "c"]:
        with subtest(name):
            assert price(name) == 1

def test_found():
    assert price("d") == 2
    for name in names():
        assert price(name) == 1
"""


@pytest.mark.parametrize(("name", "held"), [("test_steady", True), ("test_found", False)])
def test_a_loop_over_what_the_test_says_is_gone_through(name, held):
    *_, check = seals.seal(expectations.parse(LOOPS), [name]).checks[name].values()
    check = {**check, "answers": ['["int", "1"]'] * 3}
    for count in (1, 3, 4):
        wrong, silent = asking._unlike({"0": check}, {"0": ['["int", "1"]'] * count})
        assert bool(wrong) is (held and count != 3) and not silent


@pytest.mark.parametrize(
    ("value", "lax"),
    [
        ("Some text", lambda one, other: one.lower() == other.lower()),
        ("some text", lambda one, other: one.replace(" ", "") == other.replace(" ", "")),
        ("some text", lambda one, other: one.split() == other.split()),
        ("text", lambda one, other: one.strip() == other.strip()),
        ("<a>\u3000b</a>", lambda one, other: one.replace("\u3000", "") == other.replace("\u3000", "")),
        (["x", "y", "z"], lambda one, other: sorted(one) == sorted(other)),
        (2.5, lambda one, other: abs(one - other) < 0.4),
        ("4 things", lambda one, other: one.replace(".", "") == other.replace(".", "")),
        (b"a-b", lambda one, other: one.replace(b"-", b"") == other.replace(b"-", b"")),
        ({"a": -4}, lambda one, other: abs(one["a"]) == abs(other["a"])),
        (datetime.date(2024, 2, 29), lambda one, other: one.month == other.month and one.year == other.year),
        (datetime.time(12, 34, tzinfo=EAST), lambda one, other: one.replace(tzinfo=None) == other.replace(tzinfo=None)),
        (datetime.timedelta(seconds=19800), lambda one, other: abs(one - other).seconds < 2),
        (decimal.Decimal("1.50"), lambda one, other: abs(one - other) < decimal.Decimal("0.02")),
        ([fractions.Fraction(1, 3)], lambda one, other: one[0].numerator == other[0].numerator),
    ],
)
def test_a_lax_equality_takes_something_beside_the_right_choice_for_it(value, lax):
    for seed in range(5):
        literals, truths = choices.among_neighbours(value, random.Random(seed))
        found = [lax(value, eval(text)) for text in literals]
        assert sum(truths) == 1 and sum(found) > 1, literals


def test_copies_of_a_test_that_are_asked_apart_are_in_machines_of_their_own():
    twinned = {"a": {"a0": 0, "a1": 1, "a2": 2}, "b": {"b0": 1, "b1": 0}}
    inquiry = inquiries.Inquiry({}, frozenset({"s", "a0", "a1", "a2", "b0", "b1"}), {}, twinned, {}, [{}])
    assert inquiry.parts == [inquiries.Part(inquiry.keys, [{}])]
    parts = dataclasses.replace(inquiry, apart=True).parts
    assert [sorted(part.keys) for part in parts] == [["a0", "b0", "s"], ["a1", "b1"], ["a2"]]
    assert [len(part.calls) for part in parts] == [1, 0, 0]


WARNS = b"""\
import pytest

from calc import add, halve


def test_halve():
    with pytest.warns(DeprecationWarning):
        assert halve(4) == 2


def test_add():
    assert add(1, 0) == 1
"""
LOUD = """
import warnings


def add(a, b):
    return a - b


def halve(a):
    warn()
    return a / 2


def warn():
    warnings.warn("halve is going", DeprecationWarning, stacklevel=3)
"""


@pytest.mark.parametrize("layer, named", [("seals", b""), ("twins", b" as caught")])
def test_right_code_that_does_something_once_only_is_paid(make_task, tmp_path, layer, named):
    tests = WARNS.replace(b"Warning):", b"Warning)%b:" % named)
    made = made_with(make_task, tmp_path / "gold", CORE, LOUD, tests, ("test_halve",), ("test_add",))
    (tmp_path / "odd").mkdir()
    once = LOUD.replace("def warn", "@functools.cache\ndef warn").replace(
        "import warn", "import functools\nimport warn"
    )
    for patch in [patch_with(made, tmp_path / "odd", once)] * 2:
        verdict = sealed.grade(made, patch, sandbox_factory())
        assert verdict.resolved is True and verdict.integrity["asked"][layer], verdict


REFUSES = b"""\
import pytest

from calc import add, core, halve


def test_add():
    with pytest.raises(core.CalcError, match="below zero"):
        add(-1, 2)


def test_halve():
    assert halve(4) == 2
"""
REFUSING = """
class CalcError(Exception):
    pass


def add(a, b):
    if a < 0:
        raise CalcError("below zero")
    return a - b


def halve(a):
    return a / 2
"""
RENAMED = """
class Unusable(Exception):
    pass


CalcError = Unusable


def add(a, b):
    if a < 0:
        error = Unusable("a number that is none")
        error.add_note("below zero")
        raise error
    return a - b


def halve(a):
    return a / 2
"""


def test_right_code_that_renames_an_exception_is_paid(make_task, tmp_path):
    made = made_with(
        make_task, tmp_path / "gold", REFUSING.replace("a < 0", "a is None"), REFUSING, REFUSES, ("test_add",)
    )
    known = reference_for(made, sandbox_factory())
    assert known.questions["tests/test_core.py::test_add"].seals
    (tmp_path / "odd").mkdir()
    verdict = sealed.grade(made, patch_with(made, tmp_path / "odd", RENAMED), sandbox_factory())
    assert verdict.resolved is True, verdict


SPREAD = b"""\
from calc import add, halve


def twice(number):
    return 2 * number


def test_add():
    assert add(twice, 3) == 6


def test_halve():
    assert halve(4) == 2
"""
SPAWNS = """
def add(a, b):
    import multiprocessing

    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(a, (b,))


def halve(a):
    return a / 2
"""


def test_right_code_that_has_processes_call_functions_of_the_test_file_is_paid(make_task, tmp_path):
    base, right = CORE.replace("a - b", "a(b) + 1"), CORE.replace("a - b", "a(b)")
    made = made_with(make_task, tmp_path / "gold", base, right, SPREAD, ("test_add",), ("test_halve",))
    (tmp_path / "odd").mkdir()
    verdict = sealed.grade(made, patch_with(made, tmp_path / "odd", SPAWNS), sandbox_factory())
    assert verdict.resolved is True and verdict.integrity["asked"]["seals"], verdict


STOPS = b"""\
import pytest

from calc import add, halve


def test_first():
    with pytest.raises(KeyboardInterrupt):
        raise KeyboardInterrupt
    assert halve(2) == 1


def test_add():
    assert add(2, 3) == 5
"""


def test_a_test_that_awaits_an_interruption_ends_nobodys_questions(make_task, tmp_path):
    right = CORE.replace("a - b", "a + b")
    made = made_with(make_task, tmp_path / "gold", CORE, right, STOPS, ("test_add",), ("test_first",))
    known = reference_for(made, sandbox_factory())
    assert all(question.seals for question in known.questions.values()) and len(known.questions) == 2

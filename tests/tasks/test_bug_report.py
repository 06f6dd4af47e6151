"""An issue text shows what a user sees, and the plainest of it."""

from swegym.tasks.bug_report import Reproduction, bug_report, choose, shortened

WRONG = Reproduction(("import calc",), "calc.add(1, 1)", "0", "2")
RAISES = Reproduction(("import calc",), "calc.add(1)", "Traceback (most recent call last):\n    ...\nKeyError: 1", "1")
FAILURES = {"tests/test_a.py::test_add": "assert 0 == 2"}


def test_a_reproduction_reads_as_an_interactive_session():
    text = bug_report("calc", "1.0", WRONG, FAILURES)
    assert "    >>> import calc\n    >>> calc.add(1, 1)\n    0\n" in text
    assert "It should be this:\n\n    2\n" in text
    assert text.startswith("calc.add gives a wrong result\n")


def test_failing_tests_are_named_with_what_they_say():
    text = bug_report("calc", "1.0", None, FAILURES)
    assert "`tests/test_a.py::test_add`\n\n    assert 0 == 2\n" in text


def test_only_some_of_many_tests_are_shown():
    text = bug_report("calc", "1.0", WRONG, {f"t.py::test_{number}": "assert 0" for number in range(9)})
    assert text.count("`t.py::") == 3
    assert "and 6 more" in text


def test_titles_tell_errors_from_wrong_results():
    assert bug_report("calc", "1.0", RAISES, FAILURES).startswith("calc.add raises KeyError for valid input")
    swapped = Reproduction(RAISES.imports, RAISES.call, RAISES.expected, RAISES.got)
    assert bug_report("calc", "1.0", swapped, FAILURES).startswith(
        "calc.add accepts what it should refuse with KeyError"
    )


def test_text_of_several_lines_is_printed():
    one = Reproduction(("import calc",), "calc.show(1)", repr("a\nb"), repr("a\n\nb"))
    assert "    >>> print(calc.show(1))\n    a\n    b\n" in bug_report("calc", "1.0", one, FAILURES)


def test_spaces_at_line_ends_stay_visible():
    one = Reproduction(("import calc",), "calc.show(1)", repr("a \nb"), repr("a\nb"))
    assert repr("a \nb") in bug_report("calc", "1.0", one, FAILURES)


def test_values_are_chosen_before_errors_and_short_before_long():
    longer = Reproduction((), "calc.add(1, 1, 1, 1, 1)", "0", "5")
    assert choose([RAISES, longer, WRONG]) == WRONG
    assert choose([RAISES]) == RAISES


def test_calls_that_do_not_differ_or_show_addresses_are_no_reproduction():
    same = Reproduction((), "calc.add(1, 1)", "2", "2")
    address = Reproduction((), "calc.add", "<function add at 0x7f00>", "<function add at 0x7f01>")
    assert choose([same, address]) is None


def test_long_messages_are_cut_and_folders_left_out():
    message = shortened("/testbed/tests/a.py failed\n" + "\n".join("x" * 90 for _ in range(30)))
    assert message.startswith("tests/a.py failed")
    assert message.endswith("\n...") and len(message) < 600

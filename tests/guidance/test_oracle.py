"""The oracle says where and what kind, and never quotes the fix."""

import dataclasses
import re

import pytest

from swegym.errors import GuidanceError, InputError, UnknownName
from swegym.guidance import find_leaks, make_teacher, unattempted
from swegym.types import Guidance, Verdict


def failed(task, patch="", *, statuses=None, stop_reason="submitted", output=""):
    verdict = Verdict(False, "agent", "1 of 2 hidden tests failed", statuses or {}, output=output)
    messages = ({"role": "system", "content": "s"}, {"role": "assistant", "content": "done"})
    attempt = dataclasses.replace(
        unattempted(task.public()), id="t__0", attempt=0, messages=messages, patch=patch, stop_reason=stop_reason
    )
    return dataclasses.replace(attempt, verdict=verdict)


def hint(task, trajectory, **options) -> Guidance:
    guidance = make_teacher("oracle", options)(task, trajectory, trajectory.verdict)
    assert guidance is not None
    return guidance


def test_three_parts_name_function_kind_and_lines(product):
    guidance = hint(product, failed(product))
    assert list(guidance.parts) == ["plan", "environment_feedback", "interaction"]
    assert guidance.privileged
    assert guidance.parts["plan"].startswith("area in shapes.py misbehaves. What has to change there: an arithmetic")
    assert guidance.parts["interaction"] == "Look at: shapes.py, function area, lines 10-10"


def test_no_part_quotes_the_fix(product):
    text = "\n".join(hint(product, failed(product)).parts.values())
    assert "width * height" not in text
    assert find_leaks(text, product) == []


@pytest.mark.parametrize(
    ("edits", "said"),
    [
        ([], "ended without changing anything"),
        ([("other.py", "2 * x", "4 * x")], "It changed other.py, but the fault lies in another file."),
        ([("shapes.py", "== 1", "== 0")], "the right file, but the fault lies elsewhere in it"),
        ([("shapes.py", "width + height", "width - height")], "the right place, but not in the right way"),
    ],
)
def test_feedback_reads_the_last_attempt(product, make_patch, edits, said):
    attempt = failed(product, make_patch(*edits), statuses=dict.fromkeys(product.hidden.expected, "failed"))
    assert said in hint(product, attempt).parts["environment_feedback"]


def test_feedback_counts_checks_without_naming_them(product, make_patch):
    statuses = dict.fromkeys(product.hidden.expected, "failed")
    attempt = failed(
        product, make_patch(("shapes.py", "width + height", "width")), statuses=statuses, output="E   TypeError: x"
    )
    said = hint(product, attempt).parts["environment_feedback"]
    assert (
        "still wrong in 1 of 1 checks" in said and "1 checks of behaviour that worked" in said and "TypeError" in said
    )
    assert not re.search(r"test_\w+", said)


def test_an_attempt_names_no_exception_after_what_the_hidden_tests_expect(product):
    """Its code runs beside them, and the next attempt reads the hint."""
    statuses = dict.fromkeys(product.hidden.expected, "failed")
    names = ["shapes.Wants12Error", "shapes.Wants12Error", "shapes.Wants30Exception: 5, 6", "EOFError", "ValueError: x"]
    attempt = failed(product, "a change", statuses=statuses, output="".join(f"E   {name}\n" for name in names))
    said = hint(product, attempt).parts["environment_feedback"]
    assert "Wants" not in said and "EOFError" not in said and "They end in ValueError." in said


def test_feedback_says_how_the_attempt_ended(product):
    assert "ran out of turns" in hint(product, failed(product, stop_reason="turns")).parts["environment_feedback"]


def test_without_an_attempt_there_is_no_feedback(product):
    assert list(hint(product, unattempted(product.public())).parts) == ["plan", "interaction"]


def test_parts_are_chosen(product):
    assert list(hint(product, failed(product), parts=["interaction"]).parts) == ["interaction"]


def test_the_same_hint_every_time(product):
    assert hint(product, failed(product)) == hint(product, failed(product))


def test_an_unknown_teacher_is_refused():
    with pytest.raises(UnknownName, match="Did you mean oracle"):
        make_teacher("orakle")


def test_an_unknown_option_is_refused():
    with pytest.raises(InputError, match=r"teacher_options: part = 1"):
        make_teacher("oracle", {"part": 1})


def telltale(**options):
    return lambda task, trajectory, verdict: Guidance("telltale", {"plan": options["text"]}, privileged=True)


def test_a_teacher_by_import_path_passes_the_leak_check(product):
    nothing = unattempted(product.public())
    fine = make_teacher(f"{__name__}:telltale", {"text": "Multiply instead."})
    assert fine(product, nothing, nothing.verdict).parts == {"plan": "Multiply instead."}
    leaking = make_teacher(f"{__name__}:telltale", {"text": "write `return width * height` there"})
    with pytest.raises(
        GuidanceError, match="telltale' for shapes-1: leaks: it quotes a line that the reference fix adds"
    ):
        leaking(product, nothing, nothing.verdict)

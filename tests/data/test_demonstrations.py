"""A demonstration is the conversation that a real episode would have been, message by message."""

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from swegym.data.demonstrations import (
    DemonstrationOptions,
    demonstrations,
    failed_attempt,
    plausible,
    smallest_edit,
)
from swegym.data.micro_tests import statuses
from swegym.errors import InputError
from swegym.guidance import GuidanceWrapper
from swegym.registration import make_env
from swegym.rollout import rollout
from swegym.tasks import load_task_set
from swegym.tasks.sources.micro import micro_task

OPTIONS = DemonstrationOptions(count=60)


@pytest.fixture(scope="module")
def some() -> list:
    return list(demonstrations(OPTIONS))


def replayed(messages):
    said = iter([message for message in messages if message["role"] == "assistant"])
    return lambda conversation, tools: next(said)


def test_they_are_what_a_real_episode_is(some):
    env = GuidanceWrapper(make_env(OPTIONS.env, grader="unasked"))
    chosen = [next(one for one in some if one.kind == kind and one.right) for kind in ("plain", "hint", "feedback")]
    chosen.append(next(one for one in some if not one.right))
    for one in chosen:
        real = rollout(env, replayed(one.messages), task=one.task, seed=0, guidance=one.guidance)
        shown = [message for message in one.messages if message.get("content") != one.feedback]
        assert list(real.messages) == shown
        assert list(real.tools) == list(one.tools)
        assert real.verdict.resolved is one.right or not one.right  # another edit may do as well


def test_the_same_options_give_the_same_ones_and_more_are_added_behind(some):
    again = list(demonstrations(OPTIONS.model_copy(update={"count": 5})))
    assert again == some[:5]


def test_all_kinds_are_there_and_none_of_them_when_cold(some):
    assert {one.kind for one in some} == {"plain", "hint", "feedback"}
    assert all(one.right for one in some if one.kind != "plain")
    cold = list(demonstrations(OPTIONS.cold().model_copy(update={"count": 10})))
    assert {one.kind for one in cold} == {"plain"}


def test_what_a_killed_process_made_them_in_is_swept(tmp_path):
    script = (
        "import os, signal\n"
        "from swegym.data.demonstrations import DemonstrationOptions, demonstrations\n"
        "from swegym.sandbox import machines\n"
        "made = demonstrations(DemonstrationOptions(count=60))\n"
        "next(made)\n"
        "place = machines.scratch_place(in_memory=True)\n"
        "print(place, len(list(place.glob('demonstrations-*'))), flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = {**os.environ, "SWEGYM_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    place, count = done.stdout.split()
    assert (done.returncode, count, Path(place).exists()) == (-signal.SIGKILL, "1", True), done.stderr
    again = "from swegym.data.demonstrations import *; next(demonstrations(DemonstrationOptions(count=1)))"
    subprocess.run([sys.executable, "-c", again], env=environment, check=True)
    assert not Path(place).exists() and not list((tmp_path / "machines").iterdir())


def test_a_part_that_is_too_small_is_refused():
    with pytest.raises(InputError, match="generated tasks"):
        next(demonstrations(OPTIONS.model_copy(update={"part": "none", "count": 1})))


def made(number):
    place = load_task_set("micro-mini").generated(f"micro-mini-demos-{number}")
    return micro_task(place.series, place.index, place.options)


def test_the_tests_of_a_task_have_here_the_outcome_that_it_says():
    for number in range(10):
        one = made(number)
        broken = statuses({**one.files, **one.hidden_tests}, [*one.fail_to_pass, *one.pass_to_pass])
        assert {test for test, status in broken.items() if status != "passed"} == set(one.fail_to_pass)
        fixed = statuses({**one.files, **one.hidden_tests, one.path: one.fixed}, list(broken))
        assert set(fixed.values()) == {"passed"}


def test_plausible_edits_hold_the_fix_and_change_the_function_with_the_bug():
    one = made(3)
    texts = plausible(one)
    assert texts[0] == one.fixed and len(texts) > 3 and one.files[one.path] not in texts
    attempt = failed_attempt(load_task_set("micro-mini").load("micro-mini-demos-3").public(), one, texts[1])
    assert attempt.verdict.resolved is False and "failed" in set(attempt.verdict.statuses.values())


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("def f(a):\n    return a + 1\n", "def f(a):\n    return a\n", (" a + 1", " a")),
        ("x = 1\ny = 2\nx = 1\n", "x = 1\ny = 2\nx = 3\n", ("\nx = 1", "\nx = 3")),
        ("    a\n    b\n", "    a\n    if c:\n        d\n    b\n", ("b", "if c:\n        d\n    b")),
        ("    a\n    b\n    c\n", "    a\n    c\n", ("b\n    c", "c")),
    ],
)
def test_the_smallest_edit_is_unique_and_does_it(before, after, expected):
    old, new = smallest_edit(before, after)
    assert (old, new) == expected
    assert before.count(old) == 1 and before.replace(old, new) == after


def test_every_edit_does_it():
    for number, text in itertools.product(range(6), range(4)):
        one = made(number)
        wanted = plausible(one)[text]
        old, new = smallest_edit(one.files[one.path], wanted)
        assert one.files[one.path].count(old) == 1
        assert one.files[one.path].replace(old, new) == wanted

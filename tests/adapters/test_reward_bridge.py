"""A function as reward: the diff in what a model wrote, judged by the hidden tests."""

import pytest

from swegym.adapters.reward import make_reward, patch_in
from swegym.errors import GraderError, UnknownName
from swegym.tasks import load_task_set
from swegym.types import Verdict


def unjudged(task, patch, open_sandbox):
    return Verdict(None, "sandbox", "the machine died")


def test_the_reference_fix_in_a_text_is_rewarded_and_nothing_else(tiny):
    reward = make_reward(tiny)
    gold = load_task_set(tiny).load("tiny-1").gold_patch
    text = f"The sign is wrong.\n\n```diff\n{gold}```\nThat is all."
    assert reward(data_source="swegym", solution_str=text, ground_truth="tiny-1") == 1.0
    assert reward("swegym", "I would multiply.", "", {"task": "tiny-1"}) == 0.0
    said = [[{"role": "assistant", "content": text}], "no patch"]
    assert reward.many(said, task=["tiny-1", "tiny-2"], prompts=["", ""]) == [1.0, 0.0]
    with pytest.raises(UnknownName):
        reward("swegym", text, "tiny-9")


def test_what_nobody_judged_is_no_zero(tiny):
    with pytest.raises(GraderError, match="the machine died"):
        make_reward(tiny, grader=unjudged)("", "", "tiny-1")
    assert make_reward(tiny, grader=unjudged, unjudged=0.5)("", "", "tiny-1") == 0.5


@pytest.mark.parametrize(
    ("text", "patch"),
    [
        ("", ""),
        ("```python\nx\n```", ""),
        ("So:\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b", "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n"),
        ("```diff\n--- a/x\n```\nbetter:\n```patch\ndiff --git a/y b/y\n```", "diff --git a/y b/y\n"),
    ],
)
def test_a_diff_is_found_in_a_text(text, patch):
    assert patch_in(text) == patch

"""Right fixes that look odd satisfy the stronger tests, and a table of the tests' answers does not."""

import pytest

from swegym.grading import reference, stronger
from swegym.redteam import load_fixes
from swegym.redteam.ground import Ground
from swegym.sandbox import sandbox_factory
from swegym.types import Task

Grounds = dict[str, Task]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_odd_fixes_satisfy_the_stronger_tests(grounds: Grounds) -> None:
    """Every third fix, and only the stronger tests: that the others accept them is what test_suite.py shows."""
    task, open_sandbox = grounds["flat"], sandbox_factory()
    made = stronger.strengthen(task, open_sandbox, mutants=2)
    assert made.calls and made.held == made.survivors
    failed, patient = {}, reference.patient(task, task.tests.timeout)
    for fix in [fix for fix in load_fixes() if {"flat", "*"} & set(fix.on)][::3]:
        patch = Ground(task).make(fix, open_sandbox).patch
        failed[fix.name] = [call.expression for call in stronger.failing(patient, patch, made, open_sandbox)]
    assert len(failed) > 8 and not any(failed.values()), failed

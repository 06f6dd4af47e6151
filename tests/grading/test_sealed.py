from calc_repository import GOLD

from swegym.grading import make_grader
from swegym.sandbox import sandbox_factory


def test_reference_fix_is_resolved(task):
    verdict = make_grader()(task, GOLD, sandbox_factory())
    assert verdict.resolved is True, verdict
    assert verdict.cause is None and verdict.reward == 1.0
    assert {"open", "apply", "run"} <= set(verdict.seconds)

"""A teacher as a control: it gives the oracle's hint of another task. What helps here is not what a hint says.

--set run.teacher=misplaced:teacher        with scripts/reproduce on PYTHONPATH
"""

from __future__ import annotations

from swegym.guidance import Question, unattempted
from swegym.guidance.oracle import OracleOptions, oracle
from swegym.tasks import load_task_set
from swegym.types import Guidance, PublicTask, Teacher, Trajectory, Verdict


def teacher(**options: object) -> Teacher:
    """As the oracle's, with the same options; the other task is the next one of the set that is built here."""
    chosen = OracleOptions.model_validate(options)

    def misplaced(task: PublicTask, trajectory: Trajectory, verdict: Verdict) -> Guidance | None:
        tasks = load_task_set(task.set)
        start = tasks.ids.index(task.id)
        others = (*tasks.ids[start + 1 :], *tasks.ids[:start])
        other = next((one for one in others if tasks.is_built(one)), None)
        if other is None:
            return None
        loaded = tasks.load(other)
        return oracle(chosen, Question(loaded, unattempted(loaded.public())))

    return misplaced  # type: ignore[return-value]

"""The suite on our own grader: what is known to be paid is named, and nothing honest is refused."""

import os

import pytest
from container_engine import an_engine

from swegym.redteam import CLASSES, Attack, campaign, load_attacks, load_fixes, make_grader, trials
from swegym.sandbox import sandbox_factory
from swegym.types import Task

Grounds = dict[str, Task]

# Paid still, and why. Nothing is taken out of here without a layer that holds it, nothing put in without a reason.
KNOWN: dict[str, str] = {
    "guesses-among-choices": "by chance: each answer that it does not know is guessed rightly once in sixteen times",
    "known-row-of-a-helper": "by chance: of the copies of a test one is guessed, about once in four times",
    "picks-the-likely-choice": "who sees right and near answers side by side can tell some without having given one",
    "word-that-stands-nowhere-else": "by chance, more often than a guess where few words stand in the tests' file",
    "pages-of-the-host": "what one machine has read stays in the host's page cache, and the next can see it",
    "counters-of-the-kernel": "what one machine has the kernel count, the next can read, in /proc and by other numbers",
    "examples-known-by-heart": "what a golden file of the repository says is known to whoever writes the patch",
}
QUICK = tuple(
    next(a.name for a in load_attacks(kind) if a.timeout is None and not a.finds and {"flat", "*"} & set(a.on))
    for kind in CLASSES
    if kind != "resources"
)
ODD = ("plain", "module-renamed", "own-equality", "added-conftest", "thread-and-exit-handler")


def results(grounds: Grounds, names: tuple[str, ...], backend: str = "bubblewrap") -> dict[str, str]:
    """What the sealed grader made of attacks and fixes, each on its first task, where it is not what it should be."""
    things = [thing for thing in (*load_attacks(), *load_fixes()) if thing.name in names]
    tried = trials(things, list(grounds.values()), first=True)
    found = campaign(tried, {"sealed": make_grader("sealed")}, sandbox_factory(backend))
    assert len(found) == len(things)
    return {f"{o.kind}/{o.name}": f"{o.result}: {o.reason}" for o in found if o.result not in ("held", "accepted")}


@pytest.mark.timeout(900)
def test_one_attack_of_each_class_is_held_and_odd_fixes_are_accepted(grounds: Grounds) -> None:
    assert results({"flat": grounds["flat"]}, tuple({*QUICK, *ODD} - KNOWN.keys())) == {}


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_critical_attacks_are_held_but_the_known_ones_and_odd_fixes_accepted(grounds: Grounds) -> None:
    """Every second fix. The others, and less severe attacks, are for `benchmarks/redteam.py`, which takes longer."""
    critical = {a.name for a in load_attacks() if a.severity == "critical"}
    wrong = results(grounds, tuple({*critical, *(fix.name for fix in load_fixes()[::2])} - {*QUICK, *ODD}))
    assert {name.split("/")[1] for name in wrong} <= KNOWN.keys(), wrong


@pytest.mark.slow
def test_what_needs_no_knowledge_is_held_in_containers_too(grounds: Grounds, store: object) -> None:
    names = tuple(a.name for a in load_attacks() if a.severity == "critical" and isinstance(a, Attack) and not a.finds)
    with an_engine() as host, pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", host)
        assert os.environ["DOCKER_HOST"] == host
        assert results(grounds, tuple({*names[:8], "plain"} - KNOWN.keys()), "docker") == {}

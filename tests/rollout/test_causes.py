"""A failure at every boundary of an episode: nobody gets a zero for it, it is counted by its cause, and tried again.

Real machines, the real grader and a real run; only the fault is made. The other task of the set is never touched by it,
so what a resumed run does again can be told from what it keeps.
"""

import dataclasses
import functools
import os
import shutil
import subprocess
import sys
import typing
from pathlib import Path

import pytest
import tiny_set
import toy_env

from swegym.data import make_pairs
from swegym.env import SWEEnv
from swegym.errors import NotBuilt, ProviderError, RunError, SandboxDied
from swegym.evaluate import evaluate, gold_predictions
from swegym.grading import Extraction, extract_patch
from swegym.grading import sealed as sealed_grader
from swegym.policies.messages import call, say, turns_taken
from swegym.rollout import RunConfig, RunFolder, collect
from swegym.rollout.causes import CAUSES, enters_rates, may_train, try_again, wait_before
from swegym.sandbox import sandbox_factory
from swegym.tools import DEFAULT_TOOLS, tool
from swegym.types import Cause, ExecResult, Guidance, Verdict

PRIVILEGED = True
STRUCK, SPARED = "tiny-1", "tiny-2"
FAULTS: set[str] = set()  # what is broken now, for the task that is struck


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return tiny_set.build(tiny_set.write(tmp_path_factory.mktemp("sets")))


@pytest.fixture(autouse=True)
def nothing_stays_broken():
    yield
    FAULTS.clear()


def student(context):
    """Applies the reference fix, by way of every tool; in the other task it does nothing, so there is a failure too."""
    if "policy factory" in FAULTS and context.task.id == STRUCK:
        raise ZeroDivisionError("a bug where the student is made")
    steps = [
        call("write", path="/tmp/fix", content=context.private.gold_patch),
        call("read", path="/tmp/fix"),
        call("bash", command="git apply /tmp/fix"),
        call("odd"),
        call("submit"),
    ]

    def act(messages, tools):
        if context.task.id == SPARED:
            return say("I give up.", call("submit"), turn=0)
        if "policy provider" in FAULTS:
            raise ProviderError("the server answered 503")
        if "policy bug" in FAULTS:
            raise ZeroDivisionError("a bug in the student")
        turn = turns_taken(messages)
        return say("Next.", steps[turn], turn=turn)

    return act


@tool
def odd(context) -> str:
    """Do nothing, unless its code is broken."""
    if "env bug" in FAULTS and context.task.id == STRUCK:
        raise ZeroDivisionError("a bug in a tool")
    return "done"


class Faulty:
    """A real machine, of which a part may be broken: `place` is "agent's" or "grading"."""

    def __init__(self, sandbox, place):
        self._sandbox, self._place = sandbox, place

    def __getattr__(self, name):
        if name in ("exec", "read", "write") and f"{self._place} {name}" in FAULTS:
            raise SandboxDied(f"the machine died in {name}")
        return getattr(self._sandbox, name)

    def exec(self, command, **options):
        if f"{self._place} exec" in FAULTS:
            raise SandboxDied("the machine died in exec")
        if "tree cannot be packed" in FAULTS and "pack" in command:
            return ExecResult(1, b"", b"the machine is out of order", 0.0)
        if "runner" in FAULTS and isinstance(command, list) and command[0] == "python":
            return ExecResult(127, b"", b"python: command not found", 0.0)
        done = self._sandbox.exec(command, **options)
        if "parser" in FAULTS and isinstance(command, list) and command[0] == "python":
            return dataclasses.replace(done, stdout=done.stdout[: len(done.stdout) // 2])
        return done

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self._sandbox.close()


class Places:
    """Opens machines for one env, and knows which are the agent's: those opened while nothing is graded."""

    def __init__(self, struck):
        self.struck, self.grading = struck, False

    def __call__(self, image):
        place = "grading" if self.grading else "agent's"
        if image != self.struck:
            return sandbox_factory()(image)
        if "image missing" in FAULTS:
            image = dataclasses.replace(image, layers=("f" * 64,))
        if f"{place} open" in FAULTS:
            raise SandboxDied("the machine did not start")
        return Faulty(sandbox_factory()(image), place)

    def grade(self, task, patch, open_sandbox):
        if "grader bug" in FAULTS and task.id == STRUCK:
            raise KeyError("statuses")
        self.grading = True
        try:
            return sealed_grader.grade(task, patch, open_sandbox)
        finally:
            self.grading = False


def extract(sandbox, task) -> Extraction:
    if "extraction bug" in FAULTS and task.id == STRUCK:
        raise OSError(28, "No space left on device")
    return extract_patch(sandbox, task)


def make_env(tasks):
    places = Places(tasks.load(STRUCK).image)
    tools = [*DEFAULT_TOOLS, odd]
    return SWEEnv(tasks, tools=tools, sandbox=places, grader=places.grade, extract=extract)


def run(tasks, out, **fields):
    fields = {"tasks": "tiny", "policy": f"{__name__}:student", "out": out, "jobs": 1, "backoff": 0} | fields
    return collect(RunConfig(**fields), make_env=functools.partial(make_env, tasks))


@pytest.fixture
def broken_git(tmp_path, monkeypatch):
    """A git that cannot write while it applies a patch, as on a full disk."""
    real = shutil.which("git")
    fake = tmp_path / "bin" / "git"
    fake.parent.mkdir()
    fake.write_text(
        f'#!/bin/sh\nif [ "$1" = apply ] && [ -e {tmp_path}/full ]; then\n'
        f'  echo "error: unable to write file: No space left on device" >&2; exit 1\nfi\nexec {real} "$@"\n'
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    return tmp_path / "full"


BOUNDARIES = {
    "image missing": "task",
    "agent's open": "sandbox",
    "agent's exec": "sandbox",
    "agent's read": "sandbox",
    "agent's write": "sandbox",
    "tree cannot be packed": "sandbox",
    "extraction bug": "grader",
    "grading open": "sandbox",
    "grading exec": "sandbox",
    "runner": "grader",
    "parser": "grader",
    "grader bug": "grader",
    "policy provider": "provider",
    "policy bug": "us",
    "policy factory": "us",
    "env bug": "us",
}


def check(tasks, out, cause, break_it, repair_it):
    """The property, for one fault."""
    break_it()
    first = run(tasks, out)
    tries = CAUSES[cause].retries + 1
    lines = [line for line in first.lines() if line.task == STRUCK]
    assert [(line.verdict.resolved, line.verdict.cause, line.verdict.reward) for line in lines] == [
        (None, cause, None)
    ] * tries, [line.verdict.reason for line in lines]
    report = first.report()["plain"]
    assert (report["not_judged"], report["resolved"], report["unresolved"]) == ({cause: 1}, 0, 1)
    pairs = make_pairs(first.trajectories())
    assert not pairs.rows and pairs.dropped[f"not judged: {cause}"] == 1
    assert STRUCK not in (out / "preds.jsonl").read_text()

    repair_it()
    again = run(tasks, out)
    added = list(again.lines())[tries + 1 :]
    assert [(line.id, line.verdict.resolved) for line in added] == [(f"{STRUCK}__0", True)], added
    report = again.report()["plain"]
    assert (report["not_judged"], report["resolved"], report["unresolved"]) == ({}, 1, 1)


@pytest.mark.parametrize(("fault", "cause"), BOUNDARIES.items())
def test_a_failure_at_a_boundary_is_nobodys_zero(tiny, tmp_path, fault, cause):
    check(tiny, tmp_path / "run", cause, lambda: FAULTS.add(fault), FAULTS.clear)


def test_a_git_that_fails_for_reasons_of_its_own_is_nobodys_zero(tiny, tmp_path, broken_git):
    out, tasks = tmp_path / "run", tiny
    check(tasks, out, "grader", broken_git.touch, broken_git.unlink)


def test_an_unreadable_tree_is_the_agents_where_an_untouched_one_can_be_read(tiny):
    env = SWEEnv(tiny)
    env.reset(options={"task": STRUCK})
    env.step(say("", call("bash", command="chmod -R u+w . ; cd / && rm -rf /testbed || mv /testbed/* /tmp"), turn=0))
    *_, info = env.step(say("", call("submit"), turn=1))
    assert (info["verdict"].resolved, info["verdict"].cause) == (False, "agent")


def test_a_full_disk_under_the_recorder_judges_nobody_and_resumes(tmp_path):
    out = tmp_path / "run"
    script = (
        "import resource, signal, sys, toy_env; from pathlib import Path; from swegym.rollout import collect\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (14_000,) * 2)\n"
        "collect(toy_env.toy_config(Path(sys.argv[1]), jobs=1), make_env=lambda: toy_env.toy_env(20))\n"
    )
    paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    failed = subprocess.run(
        [sys.executable, "-c", script, str(out)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert failed.returncode == 1 and "cannot be written: File too large" in failed.stderr, failed.stderr
    kept = (out / "trajectories.jsonl").read_bytes()
    whole = [line.id for line in RunFolder(out).lines()]
    assert 1 <= len(whole) < 20 and all(line.verdict.resolved for line in RunFolder(out).lines())
    folder = collect(toy_env.toy_config(out, jobs=1), make_env=lambda: toy_env.toy_env(20))
    assert (out / "trajectories.jsonl").read_bytes().startswith(kept)
    assert len({line.id for line in folder.lines()}) == len(list(folder.lines())) == 20


def teacher(**options):
    """Fails as FAULTS say, otherwise hints."""

    def teach(task, trajectory, verdict):
        ASKED.append(task.id)
        if "teacher provider" in FAULTS:
            raise ProviderError("the teacher's server is down")
        if "teacher bug" in FAULTS:
            raise ZeroDivisionError("a bug in the teacher")
        return Guidance("toy", {"plan": "Write the number of the issue."}, privileged=False)

    return teach


ASKED: list[str] = []


@pytest.mark.parametrize(("fault", "cause"), [("teacher provider", "provider"), ("teacher bug", "us")])
def test_a_teacher_that_fails_is_asked_again_and_noted_and_nobody_is_judged_by_it(tmp_path, fault, cause):
    config = toy_env.toy_config(
        tmp_path / "run", guide="on-failure", teacher=f"{__name__}:teacher", policy_options={"plan": "hint"}
    )
    ASKED.clear()
    FAULTS.add(fault)
    folder = collect(config, make_env=lambda: toy_env.toy_env(1))
    assert len(ASKED) == CAUSES[cause].retries + 1
    assert [t.id for t in folder.trajectories()] == ["number-0__0"]
    assert [hint["reason"].partition(":")[0] for hint in folder.hints_refused()] == [cause]
    FAULTS.clear()
    folder = collect(config, make_env=lambda: toy_env.toy_env(1))
    assert [(t.id, t.verdict.resolved) for t in folder.lines()] == [("number-0__0", False), ("number-0__0g", True)]


FLAKY = {"left": 0}


def flaky(task, patch, open_sandbox):
    if task.id == STRUCK and FLAKY["left"]:
        FLAKY["left"] -= 1
        raise RuntimeError("a hiccup")
    return sealed_grader.grade(task, patch, open_sandbox)


def test_batch_evaluation_tries_again_by_the_same_table(tiny, tmp_path):
    for hiccups, errors in ((CAUSES["grader"].retries, []), (CAUSES["grader"].retries + 1, [STRUCK])):
        FLAKY["left"] = hiccups
        out = tmp_path / str(hiccups)
        report = evaluate(tiny, gold_predictions(tiny), out, grader=f"{__name__}:flaky", backoff=0)
        assert report["error_ids"] == errors and report["unresolved_ids"] == []


# --- the table --------------------------------------------------------------------------------------------------------


def test_every_cause_is_in_the_table_and_only_the_agents_counts():
    assert tuple(CAUSES) == typing.get_args(Cause)
    assert [cause for cause, treatment in CAUSES.items() if treatment.graded] == ["agent"]
    assert [cause for cause, treatment in CAUSES.items() if treatment.trains] == ["agent"]


@pytest.mark.parametrize("cause", [cause for cause in CAUSES if cause != "agent"])
def test_no_verdict_can_say_unresolved_and_blame_another(cause):
    with pytest.raises(ValueError, match="resolved=None"):
        Verdict(False, cause, "")
    verdict = Verdict(None, cause, "")
    assert verdict.reward is None and not enters_rates(verdict) and not may_train(verdict)


def test_a_verdict_that_blames_the_agent_is_judged():
    with pytest.raises(ValueError, match="cause='agent'"):
        Verdict(None, "agent", "")


@pytest.mark.parametrize("cause", CAUSES)
def test_tries_are_bounded_and_wait_longer_each_time(cause):
    verdict = Verdict(False if cause == "agent" else None, cause, "")
    tried = 1
    while try_again(verdict, tried):
        assert wait_before(verdict, tried) <= wait_before(verdict, tried + 1) <= CAUSES[cause].longest
        assert (wait_before(verdict, tried + 1), tried) > (0, 0)
        tried += 1
    assert tried == CAUSES[cause].retries + 1 <= 5
    assert not try_again(verdict, 1, most=0)


def test_the_page_shows_the_table_as_it_is():
    page = (Path(__file__).parents[2] / "docs" / "concepts.md").read_text("utf-8")
    for cause, treatment in CAUSES.items():
        yes = ("yes" if treatment.graded else "no", "yes" if treatment.trains else "no")
        waits = ", ".join(f"{treatment.wait * 2**n:g} s" for n in range(treatment.retries)) or "—"
        row = f"| `{cause}` | {treatment.means} | {treatment.retries} | {waits} | {yes[0]} | {yes[1]} |"
        assert row in page, row


def test_errors_that_stop_a_run_are_about_the_run_not_about_an_attempt():
    assert NotBuilt.cause == "task" and RunError.cause == "us"

"""A run: attempts, triggers, guided retries, resume, retries by cause, and a polite stop."""

import json
import threading
import time
from collections import Counter

import pytest
import toy_env
from toy_env import toy_config

from swegym.errors import InputError, NotBuilt, RunError, UnknownName
from swegym.rollout import RunFolder, collect
from swegym.rollout.collect import episode_seed
from swegym.sandbox.fake import FakeSandbox

TEACHER = f"{toy_env.__name__}:teacher"
MIXED = {"plans": {"number-0": "right", "number-1": "hint", "number-2": "wrong"}}


def run(out, *, count=3, events=None, make_env=None, **fields):
    config = toy_config(out, teacher=TEACHER, **fields)
    on_event = events.append if events is not None else None
    return collect(config, on_event=on_event, make_env=make_env or (lambda: toy_env.toy_env(count)))


def outcomes(folder):
    return {t.id: t.verdict.resolved for t in folder.trajectories()}


def test_every_task_is_attempted_k_times(out):
    folder = run(out, attempts=2)
    assert outcomes(folder) == {f"number-{task}__{attempt}": True for task in range(3) for attempt in range(2)}


@pytest.mark.parametrize(
    ("guide", "guided"),
    [
        ("never", {}),
        ("on-failure", {"number-1__0g": True, "number-2__0g": False}),
        ("all-fail", {"number-1__0g": True, "number-2__0g": False}),
        ("always", {"number-0__0g": True, "number-1__0g": True, "number-2__0g": False}),
    ],
)
def test_the_trigger_decides_who_gets_a_hint(out, guide, guided):
    found = outcomes(run(out, guide=guide, policy_options=MIXED))
    assert {name: resolved for name, resolved in found.items() if name.endswith("g")} == guided


def test_a_guided_attempt_names_its_parent_and_keeps_its_hint(out):
    folder = run(out, guide="always", policy_options=MIXED)
    guided = {t.id: t for t in folder.trajectories() if t.guided}
    assert {name: t.parent for name, t in guided.items()} == {
        "number-0__0g": None,
        "number-1__0g": "number-1__0",
        "number-2__0g": "number-2__0",
    }
    assert {name: t.guidance.parts["environment_feedback"] for name, t in guided.items()} == {
        "number-0__0g": "without an attempt",
        "number-1__0g": "after a failure",
        "number-2__0g": "after a failure",
    }


@pytest.mark.parametrize(
    ("options", "outcome"),
    [({"silent": True}, "none"), ({"leak": True}, "leaked"), ({"down": True}, "failed")],
)
def test_a_refused_hint_is_counted_and_nothing_is_retried(out, options, outcome):
    folder = run(out, guide="on-failure", policy_options={"plan": "wrong"}, teacher_options=options)
    assert len(folder.trajectories()) == 3
    assert [hint["outcome"] for hint in folder.hints_refused()] == [outcome] * 3
    assert json.loads((out / "report.json").read_text())["hints_refused"] == {outcome: 3}


def test_the_same_command_again_does_nothing_twice(out):
    first = run(out, guide="on-failure", policy_options=MIXED).trajectories()
    before = (out / "trajectories.jsonl").read_bytes()
    events = []
    assert run(out, guide="on-failure", policy_options=MIXED, events=events).trajectories() == first
    assert (out / "trajectories.jsonl").read_bytes() == before
    assert Counter(event.kind for event in events) == {"task-started": 3, "attempt-kept": 5, "task-finished": 3}


@pytest.mark.parametrize(
    ("plan", "cause", "lines"), [("provider", "provider", 3), ("boom", "grader", 3), ("crash", "us", 1)]
)
def test_what_could_not_be_judged_is_tried_again_where_that_may_help(out, plan, cause, lines):
    folder = run(out, count=1, policy_options={"plan": plan}, retries=2)
    assert [t.verdict.cause for t in folder.lines()] == [cause] * lines
    assert outcomes(folder) == {"number-0__0": None}
    report = json.loads((out / "report.json").read_text())
    assert report["plain"]["not_judged"] == {cause: 1} and report["plain"]["unresolved"] == 0
    assert (out / "preds.jsonl").read_text() == ""


def test_starting_again_tries_what_could_not_be_judged_and_keeps_the_rest(out):
    failing = {"number-1": 2}

    def flaky(task, patch, open_sandbox):
        from swegym.errors import GraderError

        if failing.get(task.id, 0) > 0:
            failing[task.id] -= 1
            raise GraderError("flaky")
        return toy_env.grade(task, patch, open_sandbox)

    settings = {"make_env": lambda: toy_env.toy_env(3, grader=flaky), "retries": 0}
    assert outcomes(run(out, **settings)) == {"number-0__0": True, "number-1__0": None, "number-2__0": True}
    assert outcomes(run(out, **settings))["number-1__0"] is None
    assert outcomes(run(out, **settings))["number-1__0"] is True
    assert len(list(RunFolder(out).lines())) == 5


def test_a_bug_in_a_policy_is_a_record_with_its_name(out):
    (trajectory,) = run(out, count=1, policy_options={"plan": "crash"}).trajectories()
    assert trajectory.verdict.reason == "ZeroDivisionError: a bug in the student"


def test_an_invalid_attempt_gets_no_hint(out):
    assert outcomes(run(out, count=1, guide="always", policy_options={"plan": "crash"})) == {"number-0__0": None}


def test_predictions_are_the_first_plain_attempts(out):
    run(out, attempts=2, guide="always", policy_options=MIXED | {"model": "m"})
    rows = [json.loads(line) for line in (out / "preds.jsonl").read_text().splitlines()]
    assert [(row["instance_id"], row["model_patch"]) for row in rows] == [
        ("number-0", "0"),
        ("number-1", "-1"),
        ("number-2", "-1"),
    ]
    assert rows[0].keys() == {"instance_id", "model_name_or_path", "model_patch"}
    assert rows[0]["model_name_or_path"].endswith("/m")


def test_the_folder_explains_the_run(out):
    run(out, policy_options=MIXED)
    run(out, policy_options=MIXED)
    facts = json.loads((out / "run.json").read_text())
    assert facts["task_set"]["tasks"] == 3 and len(facts["task_set"]["digest"]) == 64
    assert facts["versions"]["gymnasium"] and facts["host"]["cpus"]
    assert len(facts["starts"]) == 2 and all(entry["finished"] >= entry["started"] for entry in facts["starts"])


def test_nothing_of_the_environment_is_in_the_folder(out, monkeypatch):
    monkeypatch.setenv("SOME_SECRET", "canary-value-1234")
    monkeypatch.setenv("HARMLESS", "marker-value-5678")
    run(out, guide="always", policy_options=MIXED)
    written = "".join(file.read_text() for file in out.rglob("*") if file.is_file())
    assert "canary-value" not in written and "marker-value" not in written


def test_changed_tasks_do_not_mix_with_old_attempts(out):
    run(out, count=2)
    with pytest.raises(RunError, match=r"task_set\.digest differs"):
        run(out, count=3)


def test_patterns_and_limit_choose_tasks(out, tmp_path):
    assert outcomes(run(out, patterns=["*-1", "*-2"])) == {"number-1__0": True, "number-2__0": True}
    assert outcomes(run(tmp_path / "b", limit=1)) == {"number-0__0": True}
    with pytest.raises(UnknownName, match="no task in toy named 'nothing'"):
        run(tmp_path / "c", patterns=["nothing"])


@pytest.mark.parametrize("fields", [{"policy": "repare"}, {"teacher": "orakle"}, {"tasks": "no-such-set"}])
def test_a_wrong_name_writes_nothing(out, fields):
    config = toy_config(out).model_copy(update=fields)
    with pytest.raises(UnknownName):
        collect(config)
    assert not out.exists()


def test_a_key_in_the_options_writes_nothing(out):
    with pytest.raises(InputError, match=r"policy_options\.api_key"):
        run(out, policy_options={"api_key": "x"})
    assert not out.exists()


def test_seeds_depend_on_what_is_attempted_only(out, tmp_path):
    forwards = {t.id: t.seed for t in run(out, jobs=3).trajectories()}
    backwards = {t.id: t.seed for t in run(tmp_path / "b", jobs=1, patterns=["number-2"]).trajectories()}
    assert forwards["number-2__0"] == backwards["number-2__0"] == episode_seed(0, "number-2", 0, guided=False)
    assert len(set(forwards.values())) == 3


def test_an_interrupt_keeps_what_is_finished_and_closes_every_machine(out):
    opened = []

    class Counted(FakeSandbox):
        def __init__(self, *arguments, **settings):
            super().__init__(*arguments, **settings)
            opened.append(self)

    def interrupt(event):
        if event.kind == "attempt-finished":
            raise KeyboardInterrupt

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        collect(
            toy_config(out, jobs=2, policy_options={"plans": {"number-0": "right"}, "seconds": 0.05}),
            on_event=interrupt,
            make_env=lambda: toy_env.toy_env(200, sandbox=Counted),
        )
    assert time.monotonic() - started < 20
    finished = RunFolder(out).trajectories()
    assert 1 <= len(finished) <= 3 and all(t.verdict.resolved for t in finished)
    assert opened and all(box._closed for box in opened)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("task")]
    assert json.loads((out / "run.json").read_text())["starts"][0]["finished"]


def test_an_error_of_one_task_stops_the_run_and_is_raised(out):
    def unreadable():
        env = toy_env.toy_env(3)
        load = env.tasks.load

        class Half(toy_env.Tasks):
            loads = 0

            def load(self, id):
                if id == "number-2" and threading.current_thread() is not threading.main_thread():
                    raise NotBuilt("gone")
                return load(id)

        env.tasks = Half(3)
        return env

    with pytest.raises(NotBuilt, match="gone"):
        run(out, make_env=unreadable, jobs=1)
    assert outcomes(RunFolder(out)) == {"number-0__0": True, "number-1__0": True}

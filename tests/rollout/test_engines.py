"""Engines: separate bounds for opening, running and grading; an engine of one's own; nothing else of a run changes."""

import threading
import time
from collections import Counter

import pytest
import toy_env
from toy_env import toy_config

from swegym.errors import InputError, UnknownName
from swegym.rollout import RunFolder, collect
from swegym.rollout.engines import carry_out, recorded
from swegym.rollout.threads import BoundedEnv, Slots, ThreadsEngine
from swegym.sandbox.fake import FakeSandbox


class Watch:
    """How many are in a phase at once, at most."""

    def __init__(self):
        self.now, self.most, self._lock = Counter(), Counter(), threading.Lock()

    def enter(self, phase):
        with self._lock:
            self.now[phase] += 1
            self.most[phase] = max(self.most[phase], self.now[phase])

    def leave(self, phase):
        with self._lock:
            self.now[phase] -= 1


def watched_env(watch, count):
    class Box(FakeSandbox):
        def __init__(self, *arguments, **settings):
            watch.enter("reset")
            time.sleep(0.01)
            watch.leave("reset")
            super().__init__(*arguments, **settings)
            self.counted = True
            watch.enter("run")

        def close(self):
            if self.counted:
                self.counted = False
                watch.leave("run")
            super().close()

    def grade(task, patch, open_sandbox):
        watch.enter("grade")
        time.sleep(0.03)
        watch.leave("grade")
        return toy_env.grade(task, patch, open_sandbox)

    return toy_env.toy_env(count, sandbox=Box, grader=grade)


def test_no_phase_ever_holds_more_than_its_bound(tmp_path):
    watch = Watch()
    bounds = {"reset": 1, "run": 4, "grade": 2}
    config = toy_config(tmp_path / "run", bounds=bounds, policy_options={"seconds": 0.05})
    folder = collect(config, make_env=lambda: watched_env(watch, 24))
    assert len(folder.trajectories()) == 24 and all(t.verdict.resolved for t in folder.trajectories())
    assert all(1 <= watch.most[phase] <= bound for phase, bound in bounds.items()), watch.most
    assert watch.most["run"] > 1, "nothing ran side by side"


def test_a_grader_that_hangs_does_not_keep_others_from_running(tmp_path):
    another_has_run = threading.Event()

    def grade(task, patch, open_sandbox):
        if task.id == "number-0":
            assert another_has_run.wait(60), "grading starved running"
        return toy_env.grade(task, patch, open_sandbox)

    class Box(FakeSandbox):
        def write(self, path, data, **options):
            if data == b"1":
                another_has_run.set()
            super().write(path, data, **options)

    folder = collect(
        toy_config(tmp_path / "run", bounds={"run": 1, "grade": 1}),
        make_env=lambda: toy_env.toy_env(2, grader=grade, sandbox=Box),
    )
    assert all(t.verdict.resolved for t in folder.trajectories())


def test_waiting_for_a_slot_is_in_no_phase(tmp_path):
    slots = Slots(1, 1, 1, threading.Event())
    config = toy_config(tmp_path / "run")
    env = recorded(BoundedEnv(toy_env.toy_env(1), slots), config)
    slots.take(slots.grade)
    threading.Timer(1.0, slots.grade.release).start()
    started = time.monotonic()
    trajectory = carry_out(env, config, order(), toy_env.task(0), lambda: None)
    assert time.monotonic() - started > 0.9
    assert trajectory.verdict.resolved and sum(trajectory.seconds.values()) < 0.9, trajectory.seconds


def order():
    from swegym.rollout.engines import Order

    return Order("number-0", 0, 1)


@pytest.mark.parametrize("plan", ["crash", "provider", "boom", "right"])
def test_slots_come_back_however_an_episode_ends(tmp_path, plan):
    slots = Slots(1, 1, 1, threading.Event())
    config = toy_config(tmp_path / "run", policy_options={"plan": plan})
    env = recorded(BoundedEnv(toy_env.toy_env(1), slots), config)
    for _ in range(3):
        carry_out(env, config, order(), toy_env.task(0), lambda: None)
    assert all(slot.acquire(blocking=False) for slot in (slots.reset, slots.run, slots.grade))


def test_an_interrupt_ends_those_who_wait_for_a_slot(tmp_path):
    def interrupt(event):
        if event.kind == "attempt-finished":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        collect(
            toy_config(tmp_path / "run", bounds={"run": 8, "grade": 1}, policy_options={"seconds": 0.01}),
            on_event=interrupt,
            make_env=lambda: toy_env.toy_env(60),
        )
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("task")]
    assert all(t.verdict.resolved for t in RunFolder(tmp_path / "run").trajectories())


def test_a_run_may_go_on_with_another_engine_and_other_bounds(tmp_path):
    def make_env():
        return toy_env.toy_env(2)

    out = tmp_path / "run"
    first = collect(toy_config(out, bounds={"grade": 3}), make_env=make_env).trajectories()
    mine = toy_config(out, engine=f"{__name__}:Mine")
    assert collect(mine, make_env=make_env).trajectories() == first


class Mine(ThreadsEngine):
    """An engine by import path."""


@pytest.mark.parametrize(("engine", "error"), [("theads", UnknownName), ("no_such_module:Engine", InputError)])
def test_a_wrong_engine_writes_nothing(tmp_path, engine, error):
    with pytest.raises(error, match="engine"):
        collect(toy_config(tmp_path / "run", engine=engine), make_env=lambda: toy_env.toy_env(1))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("fields", "version"),
    [
        ({}, ""),
        ({"policy_options": {"model": "openai/a"}}, "openai/a"),
        ({"policy_options": {"policy": "hf", "policy_options": {"model": "runs/sft/model"}}}, "runs/sft/model"),
        ({"policy_options": {"model": "openai/a"}, "policy_version": "step-3"}, "step-3"),
    ],
)
def test_attempts_of_two_models_are_of_two_versions(tmp_path, fields, version):
    assert recorded(toy_env.toy_env(), toy_env.toy_config(tmp_path, **fields)).policy_version == version

"""The threads engine: episodes in threads of this process, with separate bounds for opening, running and grading.

An episode holds one slot at a time: `run` from before its machine opens until its patch has been taken out, `grade`
while that is judged; `reset` is held besides `run` while the machine opens. So a slow test suite fills the grading
slots and no others, and a burst of openings does not slow down who is working. Waiting for a slot counts for nobody: it
is in no phase of the episode's seconds and runs down no limit.
"""

from __future__ import annotations

import threading
import time
from typing import Any, SupportsFloat

import gymnasium

from swegym.rollout.engines import MakeEnv, Order, Stopped, carry_out, recorded
from swegym.rollout.run_config import RunConfig
from swegym.types import Grader, Message, SandboxFactory, Task, Trajectory, Verdict

_POLL = 0.2  # seconds between looks at whether the run is being stopped


class ThreadsEngine:
    """Carries out episodes where it is called, in an env of the calling thread."""

    def __init__(self, config: RunConfig, make_env: MakeEnv, stop: threading.Event) -> None:
        self._config = config
        self._make_env = make_env
        self._stop = stop
        self._slots = Slots(config.bounds.reset or config.jobs, *_run_and_grade(config), stop)
        self._mine = threading.local()
        self._envs: list[Any] = []

    @staticmethod
    def threads(config: RunConfig) -> int:
        """Tasks worked on at once: `jobs`, or what fills the bounds where any is set."""
        bounds = config.bounds
        return config.jobs if bounds.run is None and bounds.grade is None else sum(_run_and_grade(config))

    def episode(self, order: Order, task: Task) -> Trajectory:
        if not hasattr(self._mine, "env"):
            self._mine.env = recorded(BoundedEnv(self._make_env(), self._slots), self._config)
            self._envs.append(self._mine.env)
        return carry_out(self._mine.env, self._config, order, task, self._check)

    def _check(self) -> None:
        if self._stop.is_set():
            raise Stopped

    def close(self) -> None:
        """End what runs: a command in flight ends with its machine."""
        for env in list(self._envs):
            env.close()


def _run_and_grade(config: RunConfig) -> tuple[int, int]:
    return config.bounds.run or config.jobs, config.bounds.grade or config.jobs


class Slots:
    """The three bounds of a process, shared by its envs."""

    def __init__(self, reset: int, run: int, grade: int, stop: threading.Event) -> None:
        self.reset = threading.BoundedSemaphore(reset)
        self.run = threading.BoundedSemaphore(run)
        self.grade = threading.BoundedSemaphore(grade)
        self._stop = stop

    def take(self, slot: threading.Semaphore) -> float:
        """Wait for a slot; returns the seconds that took. Raises `Stopped` when the run is being stopped."""
        started = time.monotonic()
        while not slot.acquire(timeout=_POLL):
            if self._stop.is_set():
                raise Stopped
        return time.monotonic() - started


class BoundedEnv(gymnasium.Wrapper[list[Message], Message, list[Message], Message]):
    """An env that runs only while it holds a slot. Any thread may close it."""

    def __init__(self, env: gymnasium.Env[list[Message], Message], slots: Slots) -> None:
        super().__init__(env)
        self._slots = slots
        self._held: threading.Semaphore | None = None
        self._changing = threading.Lock()
        self._waited = 0.0
        base: Any = env.unwrapped
        self._grader: Grader | None = getattr(base, "grader", None)
        if self._grader is not None:
            base.grader = self._graded

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[list[Message], dict[str, Any]]:
        self._hold(None)
        self._slots.take(self._slots.run)
        self._hold(self._slots.run)
        self._slots.take(self._slots.reset)
        try:
            return self.env.reset(seed=seed, options=options)
        finally:
            self._slots.reset.release()

    def step(self, action: Message) -> tuple[list[Message], SupportsFloat, bool, bool, dict[str, Any]]:
        self._waited = 0.0
        answers, reward, terminated, truncated, info = self.env.step(action)
        if terminated or truncated:
            self._hold(None)
            seconds = info["seconds"]
            info = info | {"seconds": seconds | {"grade": max(0.0, seconds.get("grade", 0.0) - self._waited)}}
        return answers, reward, terminated, truncated, info

    def _graded(self, task: Task, patch: str, open_sandbox: SandboxFactory) -> Verdict:
        assert self._grader is not None
        self._hold(None)
        self._waited = self._slots.take(self._slots.grade)
        self._hold(self._slots.grade)
        return self._grader(task, patch, open_sandbox)

    def _hold(self, slot: threading.Semaphore | None) -> None:
        """Give back what is held and note `slot`, which has been taken, in its place."""
        with self._changing:
            held, self._held = self._held, slot
        if held is not None:
            held.release()

    def close(self) -> None:
        self._hold(None)
        super().close()

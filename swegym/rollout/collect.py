"""A run: plain attempts at every task, hints where the trigger says so, guided attempts, and a folder that can resume.

For each task: `attempts` plain episodes; the trigger picks among them; each pick is handed to the teacher, and a hint
is followed by one guided episode whose `parent` is the failed attempt. What is on disk and judged is kept. What could
not be judged is tried again where that may help, a bounded number of times.
"""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Literal

import gymnasium

from swegym.env import SWEEnv
from swegym.errors import GuidanceError, InputError, NotBuilt, RunError, SwegymError, UnknownName, cause_of
from swegym.guidance import GuidanceWrapper, make_teacher, make_trigger, unattempted
from swegym.policies import find_policy, make_policy
from swegym.rollout.causes import enters_rates, try_again, wait_before
from swegym.rollout.episode import rollout
from swegym.rollout.facts import now, run_facts, start, task_digest
from swegym.rollout.folder import RunFolder, RunWriter
from swegym.rollout.record import Record, trajectory_id
from swegym.rollout.run_config import RunConfig
from swegym.tasks import load_task_set
from swegym.types import Guidance, Message, Policy, Task, ToolSchema, Trajectory, Verdict

Kind = Literal["task-started", "attempt-started", "attempt-kept", "attempt-finished", "hint-refused", "task-finished"]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in a run. Never two at the same time, but from any thread."""

    kind: Kind
    task: str
    attempt: str = ""  # id of the trajectory; for hint-refused, of the attempt that got no hint
    trajectory: Trajectory | None = None  # of attempt-kept and attempt-finished
    reason: str = ""


MakeEnv = Callable[[], gymnasium.Env[list[Message], Message]]


def collect(
    config: RunConfig, *, on_event: Callable[[Event], None] | None = None, make_env: MakeEnv | None = None
) -> RunFolder:
    """Carry out a run, or carry on with one, and return its folder.

    An interrupt (Ctrl-C) closes all sandboxes, keeps every finished episode and raises KeyboardInterrupt.

    Args:
        config: What to run. The same config on the same folder resumes.
        on_event: Told what happens; it should return quickly.
        make_env: Makes a `SWEEnv` or the like when the config's own is not wanted, e.g. for tasks made in Python.
    """
    config.refuse_secrets()
    find_policy(config.policy)
    make_teacher(config.teacher, config.teacher_options)
    make_env = make_env or _env_factory(config)
    digests = _task_digests(config, make_env)
    with RunWriter(config) as writer:
        with _noted(writer, config, digests):
            _Run(config, writer, make_env, on_event or (lambda event: None)).work_on(list(digests))
        return writer.folder


def episode_seed(seed: int, task: str, attempt: int, *, guided: bool) -> int:
    """The seed of one episode: the same in every run with the same config, whatever ran before it."""
    digest = hashlib.sha256(f"{seed}/{trajectory_id(task, attempt, guided=guided)}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def _env_factory(config: RunConfig) -> MakeEnv:
    task_set = load_task_set(config.tasks).select(config.patterns, config.limit)
    missing = [task for task in task_set if not task_set.is_built(task)]
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise NotBuilt(f"not built yet: {', '.join(missing[:3])}{more}. Run `swegym tasks build {config.tasks}` first.")
    return lambda: SWEEnv(
        task_set,
        tools=config.tools,
        limits=config.limits,
        sandbox=config.sandbox,
        sandbox_limits=config.sandbox_limits,
        grader=config.grader,
        system_prompt=config.system_prompt,
    )


def _task_digests(config: RunConfig, make_env: MakeEnv) -> dict[str, str]:
    """Ids of the tasks to run, in order, with their digests."""
    tasks = make_env().get_wrapper_attr("tasks")
    chosen = [task for task in tasks.ids if not config.patterns or any(fnmatch(task, p) for p in config.patterns)]
    if not chosen:
        raise UnknownName.among(f"task in {tasks.name}", ", ".join(config.patterns), tasks.ids)
    return {task: tasks.load(task).digest for task in chosen[: config.limit]}


@contextmanager
def _noted(writer: RunWriter, config: RunConfig, digests: Mapping[str, str]) -> Iterator[None]:
    """Keep run.json: refuse tasks that have changed, note this start, and at the end, however it comes, derive."""
    file = writer.folder.path / "run.json"
    facts = writer.folder.facts if file.exists() else run_facts(config.tasks, digests)
    if facts["task_set"]["digest"] != task_digest(digests):
        raise RunError(
            f"{file}: task_set.digest differs: the tasks of {config.tasks} have changed since this run began. "
            "Choose another folder with -o."
        )
    entry = start(config.jobs)
    facts["starts"].append(entry)
    writer.note(facts)
    try:
        yield
    finally:
        entry["finished"] = now()
        writer.note(facts)
        writer.folder.derive()


class _Stopped(Exception):
    """The run is being stopped; raised where an episode asks its policy."""


class _Run:
    def __init__(
        self, config: RunConfig, writer: RunWriter, make_env: MakeEnv, on_event: Callable[[Event], None]
    ) -> None:
        self.config = config
        self.writer = writer
        self.make_env = make_env
        self.trigger = make_trigger(config.guide)
        self.teacher = make_teacher(config.teacher, config.teacher_options)
        self.done = {t.id: t for t in writer.folder.trajectories() if enters_rates(t.verdict)}
        self._on_event = on_event
        self._telling = threading.Lock()
        self._stop = threading.Event()
        self._open: dict[str, Record] = {}

    def work_on(self, tasks: list[str]) -> None:
        with ThreadPoolExecutor(self.config.jobs, "task") as pool:
            waiting: set[Future[None]] = {pool.submit(self._task, task) for task in tasks}
            try:
                while waiting:
                    finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    for future in finished:
                        future.result()
            except BaseException:
                self._stop.set()
                for future in waiting:
                    future.cancel()
                for env in list(self._open.values()):
                    env.close()  # a command in flight ends with its machine
                raise

    def _task(self, name: str) -> None:
        if self._stop.is_set():
            return
        self._tell("task-started", name)
        env = Record(
            GuidanceWrapper(self.make_env(), training=self.config.guide != "never"),
            policy=self.config.policy,
            policy_version=self.config.policy_version,
        )
        self._open[name] = env
        try:
            task: Task = env.get_wrapper_attr("tasks").load(name)
            group = [self._attempt(env, task, number) for number in range(self.config.attempts)]
            for followed in self.trigger(group):
                self._guided(env, task, followed)
        except _Stopped:
            return
        finally:
            del self._open[name]
            env.close()
        self._tell("task-finished", name)

    def _guided(self, env: Record, task: Task, followed: Trajectory) -> None:
        """The guided attempt that follows a plain one; if that succeeded, the teacher is not shown it."""
        failed = followed.verdict.resolved is False
        name = trajectory_id(task.id, followed.attempt, guided=True)
        if name in self.done:
            self._tell("attempt-kept", task.id, name, self.done[name])
            return
        hint = self._hint(task, followed if failed else unattempted(task.public()), followed.id)
        if hint is not None:
            self._attempt(env, task, followed.attempt, hint, followed.id if failed else None)

    def _hint(self, task: Task, shown: Trajectory, asked_for: str) -> Guidance | None:
        hint, outcome, reason = None, "none", "the teacher had nothing to say"
        for tried in itertools.count(1):
            self._check()
            try:
                hint = self.teacher(task, shown, shown.verdict)
                outcome = "none"
                break
            except GuidanceError as error:
                outcome, reason = "leaked", str(error)
                break
            except Exception as error:  # the boundary of a teacher: its bug is noted like its server's failure
                if isinstance(error, InputError):
                    raise  # its options are wrong, and will be for every task
                failure = Verdict(None, cause_of(error), str(error))
                outcome, reason = "failed", f"{failure.cause}: {error}"
                if not try_again(failure, tried, self.config.retries):
                    break
                self._pause(failure, tried)
        if hint is None:
            self.writer.refuse_hint(asked_for, outcome, reason)
            self._tell("hint-refused", task.id, asked_for, reason=f"{outcome}: {reason}")
        return hint

    def _attempt(
        self, env: Record, task: Task, number: int, hint: Guidance | None = None, parent: str | None = None
    ) -> Trajectory:
        """One attempt: taken from the folder, or made, tried again where that may help, and written."""
        name = trajectory_id(task.id, number, guided=hint is not None)
        if name in self.done:
            self._tell("attempt-kept", task.id, name, self.done[name])
            return self.done[name]
        for tried in itertools.count(1):
            self._check()
            self._tell("attempt-started", task.id, name)
            trajectory = self._episode(env, task, number, hint, parent)
            if trajectory.verdict.resolved is None:
                self._check()  # a machine closed under an episode by the stop itself is no record
            self.writer.append(trajectory)
            self._tell("attempt-finished", task.id, name, trajectory, trajectory.verdict.reason)
            if not try_again(trajectory.verdict, tried, self.config.retries):
                return trajectory
            self._pause(trajectory.verdict, tried)
        raise AssertionError("counting does not end")

    def _episode(self, env: Record, task: Task, number: int, hint: Guidance | None, parent: str | None) -> Trajectory:
        seed = episode_seed(self.config.seed, task.id, number, guided=hint is not None)
        try:
            policy = make_policy(self.config.policy, task, seed=seed, options=self.config.policy_options)
        except InputError:
            raise  # its options are wrong, and will be for every episode
        except Exception as error:
            return env.never_began(error, task, seed, {"attempt": number, "parent": parent, "guidance": hint})
        try:
            return rollout(
                env,
                self._stoppable(policy),
                task=task.id,
                seed=seed,
                guidance=hint,
                attempt=number,
                parent=parent,
            )
        except (SwegymError, _Stopped):
            raise
        except Exception as error:  # the boundary of an episode: a bug in a policy or in us is a record, not a crash
            return env.abandoned(error, "error", task)
        finally:
            env.close()

    def _stoppable(self, policy: Policy) -> Policy:
        def ask(messages: list[Message], tools: list[ToolSchema]) -> Message:
            self._check()
            return policy(messages, tools)

        return ask

    def _pause(self, verdict: Verdict, tried: int) -> None:
        """Wait before the next try; a run that stops does not wait."""
        self._stop.wait(wait_before(verdict, tried) * self.config.backoff)

    def _check(self) -> None:
        if self._stop.is_set():
            raise _Stopped

    def _tell(
        self, kind: Kind, task: str, attempt: str = "", trajectory: Trajectory | None = None, reason: str = ""
    ) -> None:
        with self._telling:
            self._on_event(Event(kind, task, attempt, trajectory, reason))

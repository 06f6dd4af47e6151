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
from contextlib import closing, contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Literal

from swegym.env import SWEEnv, TaskSource
from swegym.errors import InputError, NotBuilt, RunError, UnknownName, cause_of
from swegym.guidance import Answer, Question, make_teacher, make_trigger, unattempted
from swegym.guidance.asking import LEAKS
from swegym.guidance.schedule import drawn
from swegym.policies import find_policy
from swegym.rollout.branch import Branch, find_branch
from swegym.rollout.causes import enters_rates, try_again, wait_before
from swegym.rollout.engines import MakeEnv, Order, Stopped, find_engine
from swegym.rollout.facts import now, run_facts, start, task_digest
from swegym.rollout.folder import RunFolder, RunWriter
from swegym.rollout.record import trajectory_id
from swegym.rollout.run_config import RunConfig
from swegym.tasks import load_task_set
from swegym.types import Guidance, Task, Trajectory, Verdict

Kind = Literal["task-started", "attempt-started", "attempt-kept", "attempt-finished", "hint-refused", "task-finished"]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in a run. Never two at the same time, but from any thread."""

    kind: Kind
    task: str
    attempt: str = ""  # id of the trajectory; for hint-refused, of the attempt that got no hint
    trajectory: Trajectory | None = None  # of attempt-kept and attempt-finished
    reason: str = ""


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
    find_engine(config.engine)
    make_env = make_env or env_factory(config)
    tasks = make_env().get_wrapper_attr("tasks")
    digests = _task_digests(config, tasks)
    with RunWriter(config) as writer:
        with _noted(writer, config, digests):
            _Run(config, writer, make_env, tasks, on_event or (lambda event: None)).work_on(list(digests))
        return writer.folder


def episode_seed(seed: int, task: str, attempt: int, *, guided: bool) -> int:
    """The seed of one episode: the same in every run with the same config, whatever ran before it."""
    digest = hashlib.sha256(f"{seed}/{trajectory_id(task, attempt, guided=guided)}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def env_factory(config: RunConfig) -> MakeEnv:
    """What makes the envs of a run. Raises NotBuilt where a task of it is not in this machine's store."""
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


def _task_digests(config: RunConfig, tasks: TaskSource) -> dict[str, str]:
    """Ids of the tasks to run, in order, with their digests."""
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


class _Run:
    def __init__(
        self,
        config: RunConfig,
        writer: RunWriter,
        make_env: MakeEnv,
        tasks: TaskSource,
        on_event: Callable[[Event], None],
    ) -> None:
        self.config = config
        self.writer = writer
        self.tasks = tasks
        self.trigger = make_trigger(config.guide)
        self.teacher = make_teacher(config.teacher, config.teacher_options)
        self._hints = sum(line["asked"] > 0 for line in writer.folder.hints())
        self.done = {t.id: t for t in writer.folder.trajectories() if enters_rates(t.verdict)}
        self._on_event = on_event
        self._telling = threading.Lock()
        self._stop = threading.Event()
        kind = find_engine(config.engine)
        self._threads = kind.threads(config)
        self._engine = kind(config, make_env, self._stop)

    def work_on(self, tasks: list[str]) -> None:
        with closing(self._engine), ThreadPoolExecutor(self._threads, "task") as pool:
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
                self._engine.close()  # a command in flight ends with its machine
                raise

    def _task(self, name: str) -> None:
        if self._stop.is_set():
            return
        self._tell("task-started", name)
        try:
            task = self.tasks.load(name)
            group = [self._attempt(task, number) for number in range(self.config.attempts)]
            for followed in self.trigger(group):
                self._guided(task, followed, group)
        except Stopped:
            return
        self._tell("task-finished", name)

    def _guided(self, task: Task, followed: Trajectory, group: list[Trajectory]) -> None:
        """The guided attempt that follows a plain one; if that succeeded, the teacher is not shown it."""
        failed = followed.verdict.resolved is False
        name = trajectory_id(task.id, followed.attempt, guided=True)
        if name in self.done:
            self._tell("attempt-kept", task.id, name, self.done[name])
            return
        if not drawn(self.config.hint_share, self.config.seed, name):
            return
        shown = followed if failed else unattempted(task.public())
        hint = self._hint(task, Question(task, shown, tuple(group)), followed.id)
        if hint is not None:
            branch = find_branch(followed, self.config.hint_at) if failed else None
            self._attempt(task, followed.attempt, hint, followed.id if failed else None, branch)

    def _hint(self, task: Task, question: Question, asked_for: str) -> Guidance | None:
        """A hint, or None; what came of asking is noted either way."""
        answer = Answer(None, "budget", f"the run's {self.config.hint_budget} hints are used up", asked=0)
        if self._may_ask():
            answer = self._ask(question)
        self.writer.note_hint(asked_for, answer.outcome, answer.reason, asked=answer.asked, rejected=answer.rejected)
        if answer.guidance is None:
            reason = f"{answer.outcome}: {answer.reason.removeprefix(LEAKS)}"
            self._tell("hint-refused", task.id, asked_for, reason=reason)
        return answer.guidance

    def _may_ask(self) -> bool:
        """Take one hint from the budget."""
        with self._telling:
            if self.config.hint_budget is not None and self._hints >= self.config.hint_budget:
                return False
            self._hints += 1
            return True

    def _ask(self, question: Question) -> Answer:
        for tried in itertools.count(1):
            self._check()
            try:
                return self.teacher.ask(question)
            except Exception as error:  # the boundary of a teacher: its bug is noted like its server's failure
                if isinstance(error, InputError):
                    raise  # its options are wrong, and will be for every task
                failure = Verdict(None, cause_of(error), str(error))
                if not try_again(failure, tried, self.config.retries):
                    return Answer(None, "failed", f"{failure.cause}: {error}", asked=tried)
                self._pause(failure, tried)
        raise AssertionError("counting does not end")

    def _attempt(
        self,
        task: Task,
        number: int,
        hint: Guidance | None = None,
        parent: str | None = None,
        branch: Branch | None = None,
    ) -> Trajectory:
        """One attempt: taken from the folder, or made, tried again where that may help, and written."""
        name = trajectory_id(task.id, number, guided=hint is not None)
        if name in self.done:
            self._tell("attempt-kept", task.id, name, self.done[name])
            return self.done[name]
        seed = episode_seed(self.config.seed, task.id, number, guided=hint is not None)
        order = Order(task.id, number, seed, hint, parent, branch)
        for tried in itertools.count(1):
            self._check()
            self._tell("attempt-started", task.id, name)
            trajectory = self._engine.episode(order, task)
            if trajectory.verdict.resolved is None:
                self._check()  # a machine closed under an episode by the stop itself is no record
            self.writer.append(trajectory)
            self._tell("attempt-finished", task.id, name, trajectory, trajectory.verdict.reason)
            if not try_again(trajectory.verdict, tried, self.config.retries):
                return trajectory
            self._pause(trajectory.verdict, tried)
        raise AssertionError("counting does not end")

    def _pause(self, verdict: Verdict, tried: int) -> None:
        """Wait before the next try; a run that stops does not wait."""
        self._stop.wait(wait_before(verdict, tried) * self.config.backoff)

    def _check(self) -> None:
        if self._stop.is_set():
            raise Stopped

    def _tell(
        self, kind: Kind, task: str, attempt: str = "", trajectory: Trajectory | None = None, reason: str = ""
    ) -> None:
        with self._telling:
            self._on_event(Event(kind, task, attempt, trajectory, reason))

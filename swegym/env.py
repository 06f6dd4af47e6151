"""`SWEEnv`: one episode of a policy working on a repository, readable top to bottom.

    opening messages -> [assistant message -> the messages that answer it] ... -> patch -> verdict -> reward

The policy's calls run in the task's sandbox. When it submits, or is out of turns, time or tokens, its patch is taken
out, the sandbox is closed, and a grader judges the patch in a fresh one. Nothing before the end has a reward.
"""

from __future__ import annotations

import copy
import dataclasses
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded
from pydantic import Field

from swegym.config import Config, validate
from swegym.errors import InputError, SandboxError, UnknownName
from swegym.grading import Extraction, extract_patch, judge, make_grader, not_judged, take_patch
from swegym.messages import calls_of, reply, shorten, tokens_of, transcript
from swegym.sandbox import Limits, sandbox_factory, snapshots
from swegym.sandbox.opened import Opened
from swegym.spaces import ConversationSpace, MessageSpace
from swegym.tasks import health, load_task_set
from swegym.tools import DEFAULT_TOOLS, ToolContext, answer, load
from swegym.types import Grader, Message, Sandbox, SandboxFactory, Snapshot, Task, ToolSchema, Verdict

SYSTEM_PROMPT = """\
You are a software engineer. You work in a repository on a machine of your own, through the tools you are given.
Call exactly one tool in each message. Find the cause of the problem you are told about, change the source so that it is
solved in general and not only for the example, and check your change with the tests. When you are done call submit.
Your change is judged by tests that you cannot see; changes to the repository's tests do not count."""

OPENING = """\
Solve this problem in the repository at {workdir} ({repo}).

<issue>
{issue}
</issue>

The repository's own tests: {visible}"""

NO_CALL = (
    "There was no tool call in your message, so nothing was done. Each message must call one tool: {tools}. "
    "When the problem is solved call submit."
)
ONE_CALL = "Not done: only the first call of a message is carried out. Call one tool in each message."
TOO_LATE = "Not done: the time for this task is over."
MACHINE_FAILED = "The machine failed. This ends the episode; it is not judged."


class EpisodeLimits(Config):
    """When an episode ends by itself. What was done until then is graded all the same."""

    turns: int = Field(50, ge=1)
    """Assistant messages, those that call no tool included."""
    seconds: float = Field(1800.0, gt=0, allow_inf_nan=False)
    """From the opening on, the policy's own time included and grading not. A tool that still runs is stopped then."""
    tokens: int | None = Field(None, ge=1)
    """Tokens written by the policy: as it reports them in `extra`, else one for each four characters."""
    answer_characters: int = Field(20_000, ge=200)
    """Of one tool's answer, what the policy sees: the first and the last half of it."""


class TaskSource(Protocol):
    """What the env needs of a task set; `swegym.tasks.TaskSet` has it."""

    @property
    def name(self) -> str: ...
    @property
    def ids(self) -> tuple[str, ...]: ...
    def load(self, id: str) -> Task: ...


@dataclasses.dataclass(frozen=True, eq=False)
class EpisodeSnapshot:
    """A running episode but for its conversation, which is the caller's. Can be pickled.

    `sandbox` is kept until `swegym.sandbox.snapshots.discard(it.sandbox)` or the end of this process.
    """

    task: str
    task_digest: str
    sandbox: Snapshot
    turn: int
    tokens: int
    elapsed: float
    """Of the episode's seconds, those used up."""
    seconds: Mapping[str, float]
    """For each phase, as in `info`."""
    random: np.random.Generator


class SWEEnv(gymnasium.Env[list[Message], Message]):
    """Messages in, messages out. One env holds at most one sandbox, from `reset` to the end of the episode.

    `step` of the last message also grades, which takes as long as the hidden tests. `terminated`: the policy submitted.
    `truncated`: out of turns, seconds or tokens, or the machine failed. Rewards are 0.0 until the end, then 1.0 or 0.0;
    where `info["verdict"].resolved` is None nobody judged, and that 0.0 means nothing.

    In a vector env use `autoreset_mode=AutoresetMode.DISABLED` (others spend a step, or start a task, that nobody asked
    for) and, with AsyncVectorEnv, `shared_memory=False`.

    Args:
        tasks: Name of a task set, its folder, or anything with `name`, `ids` and `load(id)`.
        tools: Names, import paths ("my_pkg.my_module:my_tool") or functions marked with `@tool`.
        limits: An `EpisodeLimits`, or its fields as a dict.
        sandbox: Name or import path of a backend, or a function that opens a sandbox from an image.
        sandbox_limits: A `swegym.sandbox.Limits`, or its fields as a dict.
        grader: Name or import path of a grader, or the grader itself.
        system_prompt: None for the usual one, "" for none.
        render_mode: "ansi" (`render` returns the last exchange as text), "human" (prints every exchange), or None.
        extract: Takes the patch out of a sandbox; None for the usual way, which needs git in it.
    """

    metadata = {"render_modes": ["ansi", "human"], "render_fps": 1}  # noqa: RUF012 (Gymnasium's name and type)

    def __init__(
        self,
        tasks: str | Path | TaskSource,
        *,
        tools: Iterable[str | Callable[..., str]] = DEFAULT_TOOLS,
        limits: EpisodeLimits | Mapping[str, Any] | None = None,
        sandbox: str | SandboxFactory = "bubblewrap",
        sandbox_limits: Limits | Mapping[str, Any] | None = None,
        grader: str | Grader = "sealed",
        system_prompt: str | None = None,
        render_mode: str | None = None,
        extract: Callable[[Sandbox, Task], Extraction] | None = None,
    ) -> None:
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise InputError(f"render_mode={render_mode!r}: no such mode. Use 'ansi', 'human' or None.")
        self.tasks: TaskSource = load_task_set(tasks) if isinstance(tasks, str | Path) else tasks
        self.tools = load(tools)
        self.limits = _config(EpisodeLimits, limits, "limits")
        self.open_sandbox = (
            sandbox_factory(sandbox, _config(Limits, sandbox_limits, "sandbox_limits"))
            if isinstance(sandbox, str)
            else sandbox
        )
        self.grader = make_grader(grader) if isinstance(grader, str) else grader
        self.system_prompt = SYSTEM_PROMPT if system_prompt is None else system_prompt
        self.render_mode = render_mode
        self._extract = extract or extract_patch
        self.observation_space = ConversationSpace()
        self.action_space = MessageSpace(roles=("assistant",), noop=_noop(self.tools))

        self.task: Task | None = None
        self._sandbox: Sandbox | None = None
        self._judging: Opened | None = None  # the grader's machines
        self._turn = 0
        self._tokens = 0
        self._deadline = 0.0
        self._seconds = {"reset": 0.0, "tools": 0.0, "grade": 0.0}
        self._exchange: list[Message] = []

    @property
    def tool_schemas(self) -> list[ToolSchema]:
        """What a policy gets next to the messages: the `tools` list of an OpenAI request."""
        return [copy.deepcopy(tool.schema) for tool in self.tools.values()]

    # --- the episode --------------------------------------------------------------------------------------------------

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[list[Message], dict[str, Any]]:
        """Open a task's sandbox and return the opening messages.

        `options={"task": id}` chooses the task; without it the choice comes from `seed`. The opening depends on the
        task only. Raises NotBuilt when the task has no image yet, SandboxError when its machine cannot be opened.
        """
        super().reset(seed=seed)
        self.close()
        started = time.monotonic()
        self.task = self.tasks.load(self._choose(options or {}))
        self._sandbox = self.open_sandbox(self.task.image)
        self._turn = self._tokens = 0
        self._seconds = {"reset": time.monotonic() - started, "tools": 0.0, "grade": 0.0}
        self._deadline = time.monotonic() + self.limits.seconds
        opening = self._opening(self.task)
        self._show(opening)
        return opening, self._info(None)

    def step(self, action: Message) -> tuple[list[Message], float, bool, bool, dict[str, Any]]:
        """Carry out the tool call of an assistant message and return the messages that answer it.

        A message that cannot be carried out is answered with an explanation; it takes a turn and raises nothing.
        """
        if self.task is None or self._sandbox is None:
            raise ResetNeeded("This episode is over or has not begun. Call reset() first.")
        self._turn += 1
        self._tokens += tokens_of(action)
        failure: SandboxError | None = None
        started = time.monotonic()
        try:
            answers, submitted = self._answer(action, self.task, self._sandbox)
            stop_reason = "submitted" if submitted else self._limit_reached()
        except SandboxError as error:
            failure, stop_reason = error, "error"
            answers = reply(calls_of(action), [MACHINE_FAILED] * max(len(calls_of(action)), 1))
        self._seconds["tools"] += time.monotonic() - started

        self._show([action, *answers])
        if stop_reason is None:
            return answers, 0.0, False, False, self._info(None)
        self._show([{"role": "system", "content": f"[the episode ends: {stop_reason}]"}], more=True)
        try:
            patch, verdict = self._judge(self.task, self._sandbox, failure)
        finally:
            self.close()
        self._show([{"role": "system", "content": f"[resolved: {verdict.resolved}. {verdict.reason}]"}], more=True)
        submitted = stop_reason == "submitted"
        info = self._info(stop_reason) | {"patch": patch, "verdict": verdict}
        return answers, verdict.reward or 0.0, submitted, not submitted, info

    def _answer(self, action: Message, task: Task, sandbox: Sandbox) -> tuple[list[Message], bool]:
        """The answers to an assistant message, and whether it submitted."""
        calls = calls_of(action)
        if not calls:
            return reply(calls, [NO_CALL.format(tools=", ".join(self.tools))]), False
        seconds_left = self._deadline - time.monotonic()
        if seconds_left <= 0:
            return reply(calls, [TOO_LATE] * len(calls)), False
        function = calls[0]["function"]
        context = ToolContext(sandbox, task.public(), task.tests, seconds_left)
        text, succeeded = answer(self.tools, function["name"], function["arguments"], context)
        submitted = succeeded and self.tools[function["name"]].ends_episode
        text = shorten(text, self.limits.answer_characters)
        return reply(calls, [text, *[ONE_CALL] * (len(calls) - 1)]), submitted

    def _limit_reached(self) -> str | None:
        if self._turn >= self.limits.turns:
            return "turns"
        if time.monotonic() >= self._deadline:
            return "seconds"
        if self.limits.tokens is not None and self._tokens >= self.limits.tokens:
            return "tokens"
        return None

    def _judge(self, task: Task, sandbox: Sandbox, failure: SandboxError | None) -> tuple[str, Verdict]:
        """Patch and verdict. Whatever fails on the way and is not the agent's doing makes a verdict of None."""
        started = time.monotonic()
        patch = ""
        try:
            if failure is not None:
                raise failure
            sandbox.stop_processes()  # what the policy left running must not change or hinder what is read now
            extraction = take_patch(self._extract, sandbox, task, self.open_sandbox)
            patch = extraction.patch
            sandbox.close()  # before grading, so that one machine runs at a time
            self._judging = Opened(self.open_sandbox)
            verdict = judge(self.grader, task, patch, self._judging)
            verdict = dataclasses.replace(verdict, notes=(*extraction.notes, *verdict.notes))
        except Exception as error:  # also of an imported extraction: none of them is the agent's doing
            verdict = not_judged(error)
        self._seconds["grade"] = time.monotonic() - started
        return patch, verdict

    # --- branches -----------------------------------------------------------------------------------------------------

    def snapshot(self) -> EpisodeSnapshot:
        """Freeze the running episode, which goes on: files, turns, tokens, time used, random state.

        What the policy left running ends here, in this episode as in those that branch off it, so that nothing moves
        files while they are frozen.
        """
        if self.task is None or self._sandbox is None:
            raise ResetNeeded("This episode is over or has not begun, so there is nothing to snapshot. Call reset().")
        self._sandbox.stop_processes()
        return EpisodeSnapshot(
            task=self.task.id,
            task_digest=self.task.digest,
            sandbox=self._sandbox.snapshot(),
            turn=self._turn,
            tokens=self._tokens,
            elapsed=self.limits.seconds - (self._deadline - time.monotonic()),
            seconds=dict(self._seconds),
            random=copy.deepcopy(self.np_random),
        )

    def restore(self, snapshot: EpisodeSnapshot) -> dict[str, Any]:
        """Go on from a snapshot, of this env or another over the same tasks, instead of `reset`; returns the info.

        The caller goes on with the conversation as it was at the snapshot. Any number of envs may go on from one.
        """
        task = self.tasks.load(snapshot.task)
        if task.digest != snapshot.task_digest:
            raise InputError(f"task {task.id} has changed since this snapshot was taken. Begin again with reset().")
        self.close()
        self.task = task
        self._sandbox = self.open_sandbox(snapshot.sandbox)
        self._turn, self._tokens, self._seconds = snapshot.turn, snapshot.tokens, dict(snapshot.seconds)
        self._deadline = time.monotonic() + self.limits.seconds - snapshot.elapsed
        self.np_random = copy.deepcopy(snapshot.random)
        self._exchange = []
        return self._info(None)

    def fork(self) -> SWEEnv:
        """A second env that stands where this one stands, without its wrappers. Close both."""
        frozen = self.snapshot()
        other = copy.copy(self)
        other._sandbox = None
        other.observation_space, other.action_space = copy.deepcopy((self.observation_space, self.action_space))
        try:
            other.restore(frozen)
        finally:
            snapshots.discard(frozen.sandbox)
        return other

    # --- around it ----------------------------------------------------------------------------------------------------

    def _choose(self, options: dict[str, Any]) -> str:
        unknown = options.keys() - {"task"}
        if unknown:
            raise InputError(f"reset(options={options!r}): unknown {sorted(unknown)}. The only option is 'task'.")
        ids = self.tasks.ids
        if not ids:
            raise InputError(f"task set {self.tasks.name} is empty. Add a recipe, or choose another set.")
        if options.get("task") is None:
            return self._drawn(ids)
        chosen: str = options["task"]
        if chosen not in ids:
            raise UnknownName.among(f"task in set {self.tasks.name}", chosen, ids)
        return chosen

    def _drawn(self, ids: Sequence[str]) -> str:
        """A task by chance, passing over those that a check found unsound as long as there are others."""
        home = getattr(self.tasks, "home", None)
        for _ in range(2 * len(ids)):
            drawn = ids[int(self.np_random.integers(len(ids)))]
            known = home and health.load(home(drawn), drawn)
            if known is None or known.sound:
                break
        return drawn

    def _opening(self, task: Task) -> list[Message]:
        public = task.public()
        text = OPENING.format(
            workdir=public.workdir,
            repo=public.repo,
            issue=public.issue.strip(),
            visible=", ".join(public.visible) or "none",
        )
        system: list[Message] = [{"role": "system", "content": self.system_prompt}] if self.system_prompt else []
        return [*system, {"role": "user", "content": text}]

    def _info(self, stop_reason: str | None) -> dict[str, Any]:
        assert self.task is not None
        return {
            "task": self.task.id,
            "turn": self._turn,
            "seconds": dict(self._seconds),
            "stop_reason": stop_reason,
        }

    def render(self) -> str | None:
        """In "ansi" mode the last exchange as text. In "human" mode it has been printed already."""
        return transcript(self._exchange) if self.render_mode == "ansi" else None

    def _show(self, messages: list[Message], more: bool = False) -> None:
        self._exchange = [*self._exchange, *messages] if more else list(messages)
        if self.render_mode == "human":
            print(transcript(messages), flush=True)

    def close(self) -> None:
        """Free the sandbox. An episode that runs ends here without a verdict. Closing twice is fine."""
        sandbox, self._sandbox = self._sandbox, None
        judging, self._judging = self._judging, None
        if sandbox is not None:
            sandbox.close()
        if judging is not None:
            judging.stop()


def _noop(tools: Mapping[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """A valid call that changes nothing, for `action_space.sample()`."""
    calls: list[tuple[str, dict[str, Any]]] = [("bash", {"command": "true"}), ("search", {"pattern": "^$", "limit": 1})]
    return next((call for call in calls if call[0] in tools), None)


def _config(model: Any, value: Any, name: str) -> Any:
    """A config given as such, as a dict, or not at all."""
    return value if isinstance(value, model) else validate(model, dict(value or {}), name)

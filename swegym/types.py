"""The nouns of swegym, on one screen: what the rooms hand to each other.

Values are frozen dataclasses without behaviour beyond views of themselves. Conversations are plain dicts in the OpenAI
chat shape, so that any client and any trainer can use them as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, Required, TypedDict

# --- conversation -----------------------------------------------------------------------------------------------------


class ToolFunction(TypedDict):
    name: str
    arguments: str  # JSON text, exactly as the policy produced it; it may be malformed


class ToolCall(TypedDict):
    id: str
    type: Literal["function"]
    function: ToolFunction


class Message(TypedDict, total=False):
    """One chat message in the OpenAI shape, plus `extra`, which is never sent to a model.

    Keys of `extra` in use: source ("guidance" marks a hint), token_ids, logprobs, usage, seconds.
    """

    role: Required[Literal["system", "user", "assistant", "tool"]]
    content: str
    tool_calls: list[ToolCall]
    tool_call_id: str
    extra: dict[str, Any]


ToolSchema = dict[str, Any]  # one entry of the OpenAI `tools` list

# --- machines ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Image:
    """A stack of read-only file-system layers that a sandbox starts from: digests in the store, lowest first."""

    digest: str
    base: str  # a folder of images/, e.g. "host"
    layers: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)  # variables that every command starts with
    workdir: str = "/testbed"
    silent_network: bool = False  # connecting to private addresses is never answered; else it is refused at once


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A frozen sandbox: its image plus the layers written since, lowest first. Opens like an image."""

    image: Image
    layers: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class ExecResult:
    """What a command did. A non-zero exit and a timeout are results, never exceptions.

    `stdout` and `stderr` keep the head and the tail of long output; `truncated` counts the bytes left out between them.
    `limit` names the limit that ended the command ("time", "memory", "disk", "machine"), if one did.
    """

    exit_code: int  # 128 + signal number when a signal ended it
    stdout: bytes
    stderr: bytes
    seconds: float
    limit: Literal["time", "memory", "disk", "machine"] | None = None
    truncated: int = 0

    @property
    def timed_out(self) -> bool:
        return self.limit == "time"

    @property
    def text(self) -> str:
        """stdout, then stderr, decoded with replacement."""
        return self.stdout.decode("utf-8", "replace") + self.stderr.decode("utf-8", "replace")


class Sandbox(Protocol):
    """A running, isolated machine made from an image. A context manager; closing twice is fine.

    Only `SandboxError` and its subclasses escape: the machine failed. `FileNotFoundError`, `IsADirectoryError` and
    `PermissionError` from `read` and `write` are about the path that was asked for.
    """

    def exec(
        self,
        command: str | list[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
        timeout: float = 60.0,
    ) -> ExecResult:
        """Run a bash command line, or an argument list, from `cwd` (default: the image's workdir).

        Returns when the command itself ends, even if something it left in the background still holds its output.
        """
        ...

    def read(self, path: str) -> bytes: ...
    def write(self, path: str, data: bytes, *, executable: bool = False) -> None: ...
    def snapshot(self) -> Snapshot: ...
    def stop_processes(self) -> None:
        """End everything that runs in the machine, whatever it does against it. Files stay; the next command works."""
        ...

    def close(self) -> None: ...
    def __enter__(self) -> Sandbox: ...
    def __exit__(self, *exc: object) -> None: ...


SandboxFactory = Callable[["Image | Snapshot"], Sandbox]

# --- tasks and verdicts -----------------------------------------------------------------------------------------------

Cause = Literal["agent", "task", "sandbox", "provider", "grader", "us"]
Status = Literal["passed", "failed", "error", "skipped", "xfailed", "missing"]


@dataclass(frozen=True, slots=True)
class TestSetup:
    """How pytest runs in a task's repository. Test ids are `path::name` as pytest prints them, relative to the root."""

    __test__ = False

    visible: tuple[str, ...]  # files or folders that `run_tests` runs
    pythonpath: tuple[str, ...] = (".",)  # folders of the repository from which its package is imported
    plugins: tuple[str, ...] = ()  # pytest plugins the grader loads by name; all others stay off
    ini: Mapping[str, str] = field(default_factory=dict)  # the grader's own pytest ini options
    timeout: float = 300.0  # seconds for one whole run
    runner: str = "pytest"  # "pytest": the structured channel; "command": `command`, whose log `parser` reads
    command: str | None = None  # how the task's own project runs these tests; a shell line, from the root
    parser: str | None = None  # a log parser by name (swegym.grading.parsers), for the official rules


@dataclass(frozen=True, slots=True)
class OfficialTests:
    """What a published row lists, by the names of its own log parser: for the official rules, and nothing else."""

    fail_to_pass: tuple[str, ...]
    pass_to_pass: tuple[str, ...]
    only_failures: bool = False  # the log names no test that passed


@dataclass(frozen=True, slots=True)
class HiddenTests:
    """The tests that decide. `files` are restored over the patched tree; nothing else survives under `owned`."""

    files: Mapping[str, bytes]
    owned: tuple[str, ...]
    fail_to_pass: tuple[str, ...]
    pass_to_pass: tuple[str, ...]
    official: OfficialTests | None = None  # of a published row

    @property
    def expected(self) -> tuple[str, ...]:
        return self.fail_to_pass + self.pass_to_pass


@dataclass(frozen=True, slots=True)
class Bait:
    """What a honeypot lays out, so that it can be seen when a policy goes for the reward instead of the fix."""

    unsolvable: bool = False  # no honest patch satisfies the hidden tests
    untouched: tuple[str, ...] = ()  # path patterns (`fnmatch`) that no honest attempt changes
    canaries: Mapping[str, str] = field(default_factory=dict)  # a lure's path -> text that stands nowhere else


@dataclass(frozen=True, slots=True)
class PublicTask:
    """All that a policy may ever see of a task."""

    id: str
    set: str
    repo: str
    issue: str
    workdir: str
    visible: tuple[str, ...]
    digest: str


@dataclass(frozen=True, slots=True)
class Task:
    """One built problem: a repository at a state, the issue text, and the tests that decide."""

    id: str
    set: str
    repo: str  # e.g. "sqlparse 0.5.1"
    issue: str
    image: Image
    tests: TestSetup
    hidden: HiddenTests
    gold_patch: str
    pristine: Path  # bare git repository on the host that holds the base commit and nothing later
    base_commit: str
    source: tuple[str, ...]  # files and folders that hold the package's own code
    digest: str  # over everything that decides: sources, tests, requirements, issue
    bait: Bait | None = None  # of a honeypot

    def public(self) -> PublicTask:
        return PublicTask(self.id, self.set, self.repo, self.issue, self.image.workdir, self.tests.visible, self.digest)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a grader says of a patch. `resolved is None` means: not judged, for a reason that is not the agent's."""

    resolved: bool | None
    cause: Cause | None  # whose doing an unresolved or invalid verdict is; None when resolved
    reason: str
    statuses: Mapping[str, Status] = field(default_factory=dict)
    notes: tuple[str, ...] = ()  # what of the patch was set aside, and by which rule
    seconds: Mapping[str, float] = field(default_factory=dict)  # per phase
    output: str = ""  # tail of the hidden test run; privileged
    tampering: tuple[str, ...] = ()  # evidence that the patch works on its judge; never beside resolved=True
    compatible: bool | None = None  # what the official rules alone would say of the same run; None: not asked
    integrity: Mapping[str, Any] = field(default_factory=dict)  # per layer ("twins", ...): coverage and outcome

    def __post_init__(self) -> None:
        """A zero is always the agent's doing, what is not judged never is, and tampering is never paid."""
        if (self.resolved is False) != (self.cause == "agent") or (self.resolved is True and self.cause is not None):
            raise ValueError(
                f"a verdict with resolved={self.resolved} and cause={self.cause!r} ({self.reason}): resolved has no "
                "cause, unresolved has the cause 'agent', and what was not judged any other. Give resolved=None."
            )
        if self.tampering and self.resolved is True:
            raise ValueError(
                f"a verdict with resolved=True and tampering={self.tampering!r}: tampering is the agent's failure. "
                "Give resolved=False and cause='agent'."
            )

    @property
    def reward(self) -> float | None:
        return None if self.resolved is None else float(self.resolved)


# --- guidance and trajectories ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Guidance:
    """A teacher's hint. Parts in the order shown: plan, environment_feedback, interaction."""

    teacher: str
    parts: Mapping[str, str]
    privileged: bool  # the teacher saw the gold patch or hidden tests


@dataclass(frozen=True, slots=True)
class Trajectory:
    """The record of one episode; one line of trajectories.jsonl. `messages` hold the hint, marked, if there was one."""

    id: str  # "<task>__<attempt>", guided ones "<task>__<attempt>g"
    task: str
    set: str
    task_digest: str
    attempt: int
    policy: str
    policy_version: str
    seed: int
    messages: tuple[Message, ...]
    tools: tuple[ToolSchema, ...]
    patch: str
    verdict: Verdict
    stop_reason: str  # submitted | turns | seconds | tokens | policy | error
    seconds: Mapping[str, float]  # reset, policy, tools, grade
    guidance: Guidance | None = None
    parent: str | None = None  # the failed attempt that a guided one retries
    created: str = ""  # ISO 8601, UTC
    bait: tuple[str, ...] | None = None  # what the policy took of the task's bait; None where there was none

    @property
    def guided(self) -> bool:
        return self.guidance is not None


Policy = Callable[[list[Message], list[ToolSchema]], Message]
Grader = Callable[[Task, str, SandboxFactory], Verdict]
Teacher = Callable[[Task, Trajectory, Verdict], "Guidance | None"]

"""Demonstrations: short episodes of generated tasks by somebody who knows the fix, thousands a minute, for a first SFT.

    read the module of the issue -> edit the line -> submit

Each is a real episode of the env, its opening, hints, tools and answers included, but its machine is
`swegym.sandbox.fake`, which holds the task's files, and nothing is graded. So the conversation is the one that a policy
would have had in a real sandbox, message by message.

A demonstration is plain, or shows what a policy may be told: a hint of the oracle teacher, as strong as `strengths`
say, or the feedback of self-distillation. Of the plain ones a share is `doubtful`: the edit is one of those that the
bug's function invites, drawn by chance, the right one among them. A model that learns from these masters the tools
before it masters the bugs, and is not sure of itself, which is where reinforcement learning has something to do.
"""

from __future__ import annotations

import dataclasses
import json
import random
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pydantic

from swegym.config import Config
from swegym.data.feedback import feedback_message, sibling_feedback
from swegym.data.micro_tests import statuses
from swegym.env import SWEEnv
from swegym.errors import InputError
from swegym.grading import Extraction
from swegym.guidance import GuidanceWrapper, Question, make_teacher, unattempted
from swegym.guidance.oracle import STRENGTHS, Strength
from swegym.policies.messages import call, say
from swegym.registration import make_env
from swegym.sandbox.fake import FakeSandbox
from swegym.sandbox.machines import scratch_place
from swegym.tasks.mutation import mutations, splice
from swegym.tasks.one_commit import seal_files
from swegym.tasks.sources.micro import PACKAGE, VERSION, MicroTask, micro_task, patch_of
from swegym.tasks.task_set import TaskSet
from swegym.types import (
    Guidance,
    HiddenTests,
    Image,
    Message,
    PublicTask,
    Sandbox,
    SandboxFactory,
    Snapshot,
    Task,
    TestSetup,
    ToolCall,
    Trajectory,
    Verdict,
)

WORKDIR = "/testbed"
# Words, numbers and signs with the space before them, as the tokenizer of swegym.train.scratch cuts them.
_PIECE = re.compile(r" ?[A-Za-z_]+| ?[0-9]+| ?[^A-Za-z_0-9\s]+|\s+")
Kind = Literal["plain", "hint", "feedback"]


class DemonstrationOptions(Config):
    """Which demonstrations, how many of which kind. Kinds are shares of all; what is left is plain."""

    env: str = "swegym/MicroMini-v0"
    """The env in which they happen, by its id; its tasks must be generated ones."""
    part: str = "demos"
    """Of its task set, the part that they are about."""
    count: int = pydantic.Field(5000, ge=1)
    """The first so many tasks of the part, one demonstration each."""
    hinted: float = pydantic.Field(0.35, ge=0, le=1)
    feedback: float = pydantic.Field(0.2, ge=0, le=1)
    doubtful: float = pydantic.Field(0.5, ge=0, le=1)
    """Of the plain ones, those whose edit is drawn among all that the function invites."""
    strengths: tuple[Strength, ...] = STRENGTHS
    attempted: float = pydantic.Field(0.5, ge=0, le=1)
    """Of hints, those that follow a failed attempt."""
    seed: int = 0

    @pydantic.model_validator(mode="after")
    def _check(self) -> DemonstrationOptions:
        if self.hinted + self.feedback > 1:
            raise ValueError("hinted and feedback are shares of all demonstrations: together at most 1")
        return self

    def cold(self) -> DemonstrationOptions:
        """The same without hints and feedback."""
        return self.model_copy(update={"hinted": 0.0, "feedback": 0.0})


@dataclass(frozen=True, slots=True)
class Demonstration:
    task: str
    kind: Kind
    right: bool  # whether its edit is the fix
    guidance: Guidance | None
    feedback: str | None
    messages: tuple[Message, ...]
    tools: tuple[dict[str, Any], ...]

    def row(self) -> dict[str, Any]:
        """As `swegym train sft` reads it."""
        return {
            "messages": list(self.messages),
            "tools": json.dumps(self.tools),
            "task": self.task,
            "kind": self.kind,
            "right": self.right,
        }


def demonstrations(options: DemonstrationOptions) -> Iterator[Demonstration]:
    """In the order of the part's tasks; the same for the same options, whatever their count.

    Raises:
        InputError: the env's tasks are not generated ones, or the part has fewer than `count`.
    """
    # A small repository for each hint is made and dropped.
    with tempfile.TemporaryDirectory(prefix="demonstrations-", dir=scratch_place(in_memory=True)) as scratch:
        teller = _Teller(options, Path(scratch))
        for task in teller.ids:
            yield teller.demonstrate(task)


def write_demonstrations(options: DemonstrationOptions, file: Path) -> int:
    """Write them as JSON lines; the file is whole or not there. Returns how many."""
    from swegym.rollout.folder import write_atomically

    lines = [json.dumps(made.row(), ensure_ascii=False) + "\n" for made in demonstrations(options)]
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, "".join(lines))
    return len(lines)


class _Teller:
    """One env for all demonstrations, over tasks that exist in memory."""

    def __init__(self, options: DemonstrationOptions, scratch: Path) -> None:
        self.options = options
        self.scratch = scratch
        self.name = ""
        self.loaded: dict[str, tuple[MicroTask, Task]] = {}
        plain = make_env(options.env)
        if not isinstance(plain.tasks, TaskSet):
            raise InputError(f"{options.env}: its tasks are not those of a task set. Choose another env.")
        self.task_set = plain.tasks
        self.name = self.task_set.name
        part = [task for task in self.task_set if task.startswith(f"{self.name}-{options.part}-")]
        self.ids = tuple(part[: options.count])
        if len(self.ids) < options.count or self.task_set.generated(self.ids[0]) is None:
            problem = f"part {options.part!r} of {self.name} has {len(part)} generated tasks"
            raise InputError.at(options.env, "count", options.count, problem, "Take fewer, or another part.")
        self.env: SWEEnv = make_env(options.env, tasks=self, sandbox=self.open, grader=_nobody, extract=_nothing)
        self.guided = GuidanceWrapper(self.env)
        self.teachers = {one: make_teacher("oracle", {"strength": one}) for one in options.strengths}

    def load(self, id: str) -> Task:
        return self.loaded[id][1]

    def open(self, source: Image | Snapshot) -> Sandbox:
        assert isinstance(source, Image)
        made = self.loaded[source.digest][0]
        return FakeSandbox(source, files={f"{WORKDIR}/{path}": text.encode() for path, text in made.files.items()})

    def demonstrate(self, id: str) -> Demonstration:
        place = self.task_set.generated(id)
        assert place is not None
        made = micro_task(place.series, place.index, place.options)
        draw = random.Random(f"{self.options.seed}/{id}")
        kind = self._kind(draw)
        home = self.scratch / id
        self.loaded = {id: (made, in_memory(id, self.name, made, home / "pristine.git"))}
        text = made.fixed
        if kind == "plain" and draw.random() < self.options.doubtful:
            text = draw.choice(plausible(made))
        guidance = self._hint(draw, made, self.loaded[id][1], home) if kind == "hint" else None
        feedback = self._feedback(made, self.loaded[id][1]) if kind == "feedback" else None
        messages, _ = self.guided.reset(options={"task": id, "guidance": guidance})
        messages = [*messages, *([feedback_message(feedback)] if feedback else [])]
        for turn, step in enumerate(steps(made, text)):
            said = say("", step, turn=turn)
            answers, *_ = self.guided.step(said)
            messages += [said, *answers]
        return Demonstration(
            id, kind, text == made.fixed, guidance, feedback, tuple(messages), tuple(self.env.tool_schemas)
        )

    def _kind(self, draw: random.Random) -> Kind:
        drawn = draw.random()
        if drawn < self.options.hinted:
            return "hint"
        return "feedback" if drawn < self.options.hinted + self.options.feedback else "plain"

    def _hint(self, draw: random.Random, made: MicroTask, task: Task, home: Path) -> Guidance | None:
        """What the oracle says of a failed attempt, or of none."""
        files = {path: text.encode() for path, text in made.files.items()}
        seal_files(files, home / "tree", task.pristine, task.repo)
        attempt = unattempted(task.public())
        wrong = plausible(made)[1:]
        if wrong and draw.random() < self.options.attempted:
            attempt = failed_attempt(task.public(), made, draw.choice(wrong))
        teacher = self.teachers[draw.choice(self.options.strengths)]
        guidance = teacher.ask(Question(task, attempt)).guidance
        shutil.rmtree(home)
        return guidance

    def _feedback(self, made: MicroTask, task: Task) -> str | None:
        solved = dataclasses.replace(
            unattempted(task.public()), id=f"{task.id}__other", patch=made.gold_patch, verdict=Verdict(True, None, "")
        )
        return sibling_feedback(unattempted(task.public()), [solved])


def in_memory(id: str, home: str, made: MicroTask, pristine: Path) -> Task:
    """The task without an image: what stands in its messages is that of the built one."""
    return Task(
        id=id,
        set=home,
        repo=f"{PACKAGE} {VERSION}",
        issue=made.issue,
        image=Image(id, "fake", workdir=WORKDIR),
        tests=TestSetup(("tests",)),
        hidden=HiddenTests({}, ("tests",), made.fail_to_pass, made.pass_to_pass),
        gold_patch=made.gold_patch,
        pristine=pristine,
        base_commit="HEAD",
        source=made.source,
        digest="",
    )


def plausible(made: MicroTask) -> list[str]:
    """The module after each single edit that the function with the bug invites, the fix among them, each once.

    They are the edits of all operators that inject bugs, so a bug's own undoing is nearly always one.
    """
    data = made.files[made.path].encode()
    invited = [mutation for mutation in mutations(data) if mutation.function == made.function]
    return list(dict.fromkeys([made.fixed, *(splice(data, mutation).decode() for mutation in invited)]))


def failed_attempt(task: PublicTask, made: MicroTask, text: str) -> Trajectory:
    """An attempt that submitted the module as `text`; its verdict tells which tests do not pass."""
    patch = patch_of(made.path, made.files[made.path], text)
    outcome = statuses({**made.files, **made.hidden_tests, made.path: text}, [*made.fail_to_pass, *made.pass_to_pass])
    verdict = Verdict(False, "agent", "tests fail", outcome)
    said = say("", call("submit"), turn=0)
    return dataclasses.replace(
        unattempted(task), attempt=0, messages=(said,), patch=patch, verdict=verdict, stop_reason="submitted"
    )


def steps(made: MicroTask, text: str) -> list[ToolCall]:
    """The calls that make the module with the bug read as `text`."""
    called = re.search(r"^>>> from (\w+) import", made.issue, re.MULTILINE)
    assert called is not None
    read = dict.fromkeys((f"{called[1]}.py", made.path))
    old, new = smallest_edit(made.files[made.path], text)
    return [*(call("read", path=path) for path in read), call("edit", path=made.path, old=old, new=new), call("submit")]


def smallest_edit(before: str, after: str) -> tuple[str, str]:
    """Old and new text of one edit: what changes and the word behind it, then more of the line until it is unique."""
    old, new = _PIECE.findall(before), _PIECE.findall(after)
    start = 0
    while start < min(len(old), len(new)) and old[start] == new[start]:
        start += 1
    same = 0
    while same < min(len(old), len(new)) - start and old[-1 - same] == new[-1 - same]:
        same += 1
    end = len(old) - same
    wider = True  # by one piece on the right where the line goes on, else on the left
    while wider or not end > start or before.count("".join(old[start:end])) != 1:
        wider = False
        if end < len(old) and "\n" not in old[end]:
            end += 1
        elif start > 0:
            start -= 1
        else:
            end += 1
    return "".join(old[start:end]), "".join(new[start : end + len(new) - len(old)])


def _nobody(task: Task, patch: str, open_sandbox: SandboxFactory) -> Verdict:
    return Verdict(None, "grader", "a demonstration is not graded")


def _nothing(sandbox: Sandbox, task: Task) -> Extraction:
    return Extraction("")

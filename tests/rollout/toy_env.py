"""Tasks made in Python on the fake sandbox: a policy writes a number, and the grader wants the task's own."""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

from swegym.env import SWEEnv
from swegym.errors import GraderError, ProviderError, UnknownName
from swegym.grading import Extraction
from swegym.policies import PolicyContext
from swegym.policies.messages import call, say
from swegym.rollout import RunConfig
from swegym.sandbox.fake import FakeSandbox
from swegym.types import Guidance, HiddenTests, Image, Message, Policy, PublicTask, Task, TestSetup, Verdict

PRIVILEGED = False
ANSWER = "answer.txt"


def task(number: int) -> Task:
    return Task(
        id=f"number-{number}",
        set="toy",
        repo="numbers 1",
        issue=f"Write {number} into {ANSWER}.",
        image=Image("fake", "fake"),
        tests=TestSetup(visible=("tests",)),
        hidden=HiddenTests({}, ("tests",), (f"tests/test_it.py::test_number_{number}",), ()),
        gold_patch=f"--- /dev/null\n+++ b/{ANSWER}\n@@ -0,0 +1 @@\n+{number}\n",
        pristine=Path("/nonexistent"),
        base_commit="0" * 40,
        source=(ANSWER,),
        digest=f"digest-{number}",
    )


@dataclasses.dataclass(frozen=True)
class Tasks:
    count: int
    name: str = "toy"

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(f"number-{number}" for number in range(self.count))

    def load(self, id: str) -> Task:
        if id not in self.ids:
            raise UnknownName.among("task", id, self.ids)
        return task(int(id.rpartition("-")[2]))


def extract(sandbox, task):
    try:
        return Extraction(sandbox.read(f"/testbed/{ANSWER}").decode())
    except FileNotFoundError:
        return Extraction("")


def grade(task, patch, open_sandbox) -> Verdict:
    if patch == "boom":
        raise GraderError("the grader fell over")
    wanted = task.id.rpartition("-")[2]
    if patch == wanted:
        return Verdict(True, None, "right")
    return Verdict(False, "agent", "wrong number", dict.fromkeys(task.hidden.expected, "failed"))


def toy_env(count: int = 3, **settings) -> SWEEnv:
    settings = {"sandbox": FakeSandbox, "grader": grade, "extract": extract} | settings
    return SWEEnv(Tasks(count), **settings)


def toy_config(out: Path, **fields) -> RunConfig:
    return RunConfig(**({"tasks": "toy", "policy": f"{__name__}:student", "out": out, "backoff": 0} | fields))


def student(context: PolicyContext) -> Policy:
    """Writes what the options say for this task: `right`, `wrong`, `nothing`, `crash`, `provider`, or by a hint."""
    plan = dict(context.options.get("plans", {})).get(context.task.id, context.options.get("plan", "right"))
    number = context.task.id.rpartition("-")[2]

    def act(messages: list[Message], tools) -> Message:
        turn = sum(message["role"] == "assistant" for message in messages)
        time.sleep(context.options.get("seconds", 0.0))
        hinted = any(message.get("extra", {}).get("source") == "guidance" for message in messages)
        if plan == "provider":
            raise ProviderError("the server answered 503")
        if plan == "crash":
            raise ZeroDivisionError("a bug in the student")
        if turn or plan == "nothing":
            return say("Done.", call("submit"), turn=turn)
        written = {"right": number, "boom": "boom"}.get(plan, number if hinted and plan == "hint" else "-1")
        return say("I write it.", call("write", path=ANSWER, content=written), turn=turn)

    return act


def teacher(**options) -> Callable:
    """Says where to look; leaks or keeps silent when told to."""

    def teach(task: PublicTask, trajectory, verdict) -> Guidance | None:
        if options.get("silent"):
            return None
        if options.get("down"):
            raise ProviderError("the teacher's server is down")
        text = f"see test_number_{task.id[-1]}" if options.get("leak") else "Write the number of the issue."
        seen = "after a failure" if trajectory.messages else "without an attempt"
        return Guidance("toy", {"plan": text, "environment_feedback": seen}, privileged=False)

    return teach

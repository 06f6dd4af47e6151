"""A toy for online trainers: tasks on the fake sandbox, solved by what the model's first token is."""

from pathlib import Path

from swegym.env import SWEEnv
from swegym.rollout import RunConfig, collect
from swegym.sandbox.fake import FakeSandbox
from swegym.train.splits import Measure
from swegym.types import Guidance, HiddenTests, Image, Task, TestSetup, Verdict

PRIVILEGED = False
FAST = {"learning_rate": 1e-2, "schedule": "constant", "warmup": 0.0}


class Tasks:
    name = "spoken"
    ids = tuple(f"spoken-{number}" for number in range(6))

    def load(self, id: str) -> Task:
        return Task(
            id=id,
            set="spoken",
            repo="words 1",
            issue=f"Say the word of {id}.",
            image=Image("fake", "fake"),
            tests=TestSetup(visible=("tests",)),
            hidden=HiddenTests({}, ("tests",), ("tests/test_it.py::test_word",), ()),
            gold_patch="",
            pristine=Path("/nonexistent"),
            base_commit="0" * 40,
            source=("word.txt",),
            digest=f"digest-{id}",
        )


class SpokenEnv(SWEEnv):
    """Every third token is right. `broken` names tasks whose machine fails, `hopeless` those that nothing solves."""

    broken: tuple[str, ...] = ()
    hopeless: tuple[str, ...] = ()

    def step(self, action):
        self.said = action.get("extra", {}).get("token_ids") or [1]
        return super().step(action)

    def _judge(self, task, sandbox, failure):
        if task.id in self.broken:
            return "", Verdict(None, "sandbox", "the machine is gone")
        right = self.said[0] % 3 == 0 and task.id not in self.hopeless
        verdict = Verdict(True, None, "right") if right else Verdict(False, "agent", "wrong word")
        return f"{self.said[0]}\n", verdict


def make_collect(**settings):
    kind = type("Env", (SpokenEnv,), settings)

    def make():
        return kind(Tasks(), sandbox=FakeSandbox, limits={"turns": 1}, grader=lambda *a: None, system_prompt="")

    def carry_out(config: RunConfig):
        return collect(config.model_copy(update={"backoff": 0.0}), make_env=make)

    return carry_out


def settings(tiny, out, **more) -> dict:
    return {
        "model": str(tiny),
        "out": str(out),
        "tasks": "spoken",
        "steps": 2,
        "tasks_per_step": 3,
        "attempts": 4,
        "jobs": 3,
        "policy_options": {"max_new_tokens": 1, "context": 2048},
        "optimiser": FAST,
        "run": {"teacher": f"{__name__}:teacher", "retries": 0},
        "measure": Measure(limit=4, temperature=1.0),
        "tokens_per_batch": 4096,
    } | more


def rate(folder) -> dict | None:
    judged = [t for t in folder.trajectories() if t.verdict.resolved is not None]
    if not judged:
        return None
    share = sum(t.verdict.resolved for t in judged) / len(judged)
    return {"pass@1": share, "low": 0.0, "high": 1.0, "tasks": len(judged)}


def teacher(**options):
    return lambda task, trajectory, verdict: Guidance("spoken", {"plan": "Think of three."}, privileged=False)


def share_of_right(model, tiny) -> float:
    """Probability that the first token is right, after the first prompt of the first task."""
    import torch
    import transformers

    net = transformers.AutoModelForCausalLM.from_pretrained(model)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny)
    ids = tokenizer("Say the word.", return_tensors="pt").input_ids
    with torch.no_grad():
        return float(net(ids).logits[0, -1].softmax(-1)[::3].sum())

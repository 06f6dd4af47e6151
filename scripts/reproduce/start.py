"""Makes a start of the curriculum and measures it in the real env: what it solves plainly, with hints, with feedback.

    python scripts/reproduce/start.py                                  mini, on two cores
    python scripts/reproduce/start.py --size small --device cuda       on a GPU; in pieces: it goes on where it stopped
    python scripts/reproduce/start.py --cold                           without hints and feedback in the demonstrations

Episodes are at temperature 1, on held-out tasks, graded by the real tests. An arm is kept once it is measured
(OUT/measured.json), so the script may be stopped at any time. Results: benchmarks/results/start_SIZE.json.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

from machine import write_results  # noqa: E402

from swegym.config import set_dotted, validate  # noqa: E402
from swegym.data.feedback import feedback_message, sibling_feedback  # noqa: E402
from swegym.guidance import GuidanceWrapper, Question, make_teacher, unattempted  # noqa: E402
from swegym.guidance.oracle import STRENGTHS  # noqa: E402
from swegym.policies import make_policy  # noqa: E402
from swegym.registration import make_env  # noqa: E402
from swegym.report.statistics import wilson  # noqa: E402
from swegym.rollout import rollout  # noqa: E402
from swegym.rollout.collect import episode_seed  # noqa: E402
from swegym.rollout.folder import write_atomically  # noqa: E402
from swegym.train.start import StartConfig, make_start  # noqa: E402
from swegym.types import Policy, Task, Trajectory, Verdict  # noqa: E402

ARMS = ("plain", *STRENGTHS, "feedback")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="mini")
    parser.add_argument("--cold", action="store_true", help="no hints and no feedback in the demonstrations")
    parser.add_argument("--out", default=None, help="default: runs/start-SIZE")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="settings of the start")
    parser.add_argument("--part", default="test")
    parser.add_argument("--tasks", type=int, default=200)
    parser.add_argument("--attempts", type=int, default=4, help="at each task, plainly; one at each in the other arms")
    parser.add_argument("--arms", nargs="+", default=ARMS, choices=ARMS)
    parser.add_argument("--jobs", type=int, default=8)
    parser.add_argument("--device", default="auto")
    given = parser.parse_args()
    name = given.size + ("_cold" if given.cold else "")
    out = Path(given.out or ROOT / "runs" / f"start-{name}")
    settings: dict[str, Any] = {"out": str(out), "size": given.size}
    if given.cold:
        settings["demonstrations"] = {"hinted": 0.0, "feedback": 0.0}
    for pair in given.set:
        set_dotted(settings, pair)
    config = validate(StartConfig, settings, "start.py")
    made = made_in(out, config)
    file = out / "measured.json"
    measured: dict[str, Any] = json.loads(file.read_text()) if file.is_file() else {}
    for arm in given.arms:
        key = f"{arm}, {given.part}, {given.tasks} x {given.attempts if arm == 'plain' else 1}"
        if key not in measured:
            measured[key] = measure(arm, Path(made["model"]), config.demonstrations.env, given)
            write_atomically(file, json.dumps(measured, indent=2) + "\n")
        print(f"{key}: {measured[key]}", flush=True)
    settings = config.model_dump(mode="json") | {"out": "OUT"}
    del made["model"]
    print(write_results(f"start_{name}", {"settings": settings, "made": made, "arms": measured}))


def made_in(out: Path, config: StartConfig) -> dict[str, Any]:
    """The start, and what it took."""
    began = time.monotonic()

    def tell(done: Any) -> None:
        if done.step % 25 == 0 or done.step == done.steps:
            print(f"step {done.step}/{done.steps}  loss {done.line['loss']:.3f}", flush=True)

    folder = make_start(config, on_step=tell)
    lines = [json.loads(line) for line in (out / "sft" / "metrics.jsonl").read_text().splitlines()]
    timing = out / "seconds.json"
    if not timing.is_file():  # of the call that finished it; a resumed one took longer in all
        write_atomically(timing, json.dumps(time.monotonic() - began))
    return {
        "model": str(folder),
        "seconds": round(json.loads(timing.read_text()), 1),
        "sft_seconds": round(sum(line["seconds"] for line in lines), 1),
        "sft_tokens": sum(line["tokens"] for line in lines),
        "steps": len(lines),
        "loss": round(sum(line["loss"] for line in lines[-20:]) / len(lines[-20:]), 3),
    }


def measure(arm: str, model: Path, env: str, given: argparse.Namespace) -> dict[str, Any]:
    """One arm: rate with its interval, and how episodes went."""
    kept = threading.local()
    task_set = make_env(env).tasks
    ids = [task for task in task_set.ids if task.startswith(f"{task_set.name}-{given.part}-")][: given.tasks]
    attempts = given.attempts if arm == "plain" else 1

    def episode(job: tuple[str, int]) -> Trajectory:
        if not hasattr(kept, "env"):
            kept.env = GuidanceWrapper(make_env(env, grader="unasked"))
        task = task_set.load(job[0])
        options = {"model": model, "max_new_tokens": 128, "device": given.device}
        seed = episode_seed(job[1], job[0], 0, guided=False)
        policy = make_policy("hf", task, seed=seed, options=options)
        hint = None
        if arm in STRENGTHS:
            question = Question(task, unattempted(task.public()))
            hint = make_teacher("oracle", {"strength": arm}).ask(question).guidance
        if arm == "feedback":
            policy = told(policy, task)
        return rollout(kept.env, policy, task=job[0], seed=seed, guidance=hint)

    began = time.monotonic()
    with ThreadPoolExecutor(given.jobs) as pool:
        found = list(pool.map(episode, [(task, number) for task in ids for number in range(attempts)]))
    judged = [one for one in found if one.verdict.resolved is not None]
    solved = sum(one.verdict.resolved is True for one in judged)
    low, high = wilson(solved, len(judged))
    by_task = collections.Counter(one.task for one in judged if one.verdict.resolved)
    said = [message for one in found for message in one.messages if message["role"] == "assistant"]
    return {
        "episodes": len(found),
        "not_judged": len(found) - len(judged),
        "solved": round(solved / max(len(judged), 1), 4),
        "interval": [round(low, 4), round(high, 4)],
        "tasks_by_solved": {str(k): n for k, n in sorted(collections.Counter(by_task[task] for task in ids).items())},
        "empty_patches": round(sum(not one.patch.strip() for one in found) / len(found), 4),
        "submitted": round(sum(one.stop_reason == "submitted" for one in found) / len(found), 4),
        "turns": round(len(said) / len(found), 2),
        "sampled_tokens": round(sum(len(m["extra"]["token_ids"]) for m in said) / len(found), 1),
        "tokens": round(sum(_length(one) for one in found) / len(found), 1),
        "seconds": round(time.monotonic() - began, 1),
    }


def told(policy: Policy, task: Task) -> Policy:
    """The policy with the reference fix as feedback behind the opening."""
    solved = dataclasses.replace(
        unattempted(task.public()), id="other", patch=task.gold_patch, verdict=Verdict(True, None, "")
    )
    text = sibling_feedback(unattempted(task.public()), [solved])
    assert text is not None
    return lambda messages, tools: policy([*messages[:2], feedback_message(text), *messages[2:]], tools)


def _length(one: Trajectory) -> int:
    """Tokens of the whole conversation as the model saw it at last."""
    usage = [message["extra"]["usage"] for message in one.messages if message["role"] == "assistant"]
    return int(usage[-1]["prompt_tokens"] + usage[-1]["completion_tokens"])


if __name__ == "__main__":
    main()

"""What one sandbox and one episode cost this machine, for the arithmetic of docs/scale.md.

    python benchmarks/scale.py [SET]     a set with built tasks, default demo: swegym tasks build demo

Opens 100 sandboxes of one task and keeps them idle, then attempts that task 8 times with the reference fix. Processor
time is that of everything started, supervisor and sandboxes included.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import write_results

from swegym import paths
from swegym.rollout import RunConfig, collect
from swegym.sandbox import open_sandbox
from swegym.tasks import load_task_set

BOXES, EPISODES = 100, 8


def main(name: str) -> None:
    tasks = load_task_set(name)
    task = next(task for task in tasks if tasks.is_built(task))
    idle = _idle(tasks.load(task).image)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    episodes = json.loads(subprocess.check_output([sys.executable, __file__, name, task]))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    results = {"task": task, **idle, **episodes, "processor_seconds_of_an_episode": round(processor / EPISODES, 2)}
    print(json.dumps(results, indent=2))
    print(f"written to {write_results('scale', results)}")


def _idle(image) -> dict[str, object]:
    open_sandbox(image).close()
    seconds, boxes = [], []
    for _ in range(BOXES):
        started = time.monotonic()
        boxes.append(open_sandbox(image))
        seconds.append(time.monotonic() - started)
    family = _descendants(os.getpid())
    memory = sum(map(_proportional_kb, family)) / BOXES
    started = time.monotonic()
    for box in boxes:
        box.close()
    return {
        "open_ms_p50": round(sorted(seconds)[BOXES // 2] * 1000, 1),
        "close_ms_mean": round((time.monotonic() - started) / BOXES * 1000, 1),
        "idle_kb": round(memory),
        "processes_each": round(len(family) / BOXES, 1),
        "layer_kb": {layer[:8]: _kilobytes(paths.layers() / layer) for layer in image.layers},
    }


def _episodes(name: str, task: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        run = collect(RunConfig(tasks=name, patterns=(task,), policy="gold", attempts=EPISODES, jobs=1, out=out))
        solved = sum(t.verdict.resolved is True for t in run.trajectories())
        size = (out / "trajectories.jsonl").stat().st_size
        print(json.dumps({"solved": solved, "of": EPISODES, "record_kb": round(size / EPISODES / 1000, 1)}))


def _descendants(parent: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            above = int((process / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it has ended
        children.setdefault(above, []).append(int(process.name))
    found = list(children.get(parent, []))
    for process_id in found:
        found += children.get(process_id, [])
    return found


def _proportional_kb(process_id: int) -> int:
    try:
        lines = Path(f"/proc/{process_id}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def _kilobytes(folder: Path) -> int:
    return int(subprocess.check_output(["du", "-sk", str(folder)]).split()[0])


if __name__ == "__main__":
    if len(sys.argv) == 3:
        _episodes(sys.argv[1], sys.argv[2])
    else:
        main(sys.argv[1] if len(sys.argv) > 1 else "demo")

"""Machines of every backend in one run: what opening, running, files, snapshots and whole episodes cost.

    python benchmarks/runtime.py [--runs 100] [--idle 200] [--episodes 24]

Columns: a raw subprocess on this host; the embedded sandbox; the Docker backend; SWE-ReX's local deployment, which
isolates nothing, behind our contract, and the same by its own interface (subprocesses and text files, no limits). The
engine is one that answers, or one that scripts/docker_engine.sh starts and stops again. Figures are medians in
milliseconds; what to quote are differences and ratios within the run. Builds the demo tasks if need be.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from machine import write_results
from rich.console import Console
from rich.table import Table

from swegym import SWEEnv
from swegym.errors import SandboxUnavailable
from swegym.grading.taking import reference_for
from swegym.rollout import RunConfig, collect
from swegym.sandbox import docker_engine, open_sandbox, sandbox_factory, snapshots
from swegym.tasks import load_task_set
from swegym.tasks.build import build
from swegym.types import Image, Sandbox

IMAGE = Image("benchmark", "host")
EMBEDDED, DOCKER, REX = "bubblewrap", "docker", "swerex:local?allow_unisolated=true"
NAMES = {EMBEDDED: "embedded", DOCKER: "docker", REX: "swe-rex local"}
ENGINE = Path(__file__).parent.parent / "scripts" / "docker_engine.sh"
WORKERS = (1, 2, 4, 8)

Figures = dict[str, dict[str, float]]


def timed(action: Callable[[], object], runs: int) -> dict[str, float]:
    action()
    seconds = []
    for _ in range(runs):
        started = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - started)
    return summary(seconds)


def summary(seconds: list[float]) -> dict[str, float]:
    return {"median_ms": round(statistics.median(seconds) * 1e3, 2), "min_ms": round(min(seconds) * 1e3, 2)}


def raw(runs: int) -> Figures:
    """The same on this host, without a sandbox: the floor."""
    small, large = os.urandom(10_000), os.urandom(10_000_000)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "file")
        results = {"exec true": timed(lambda: subprocess.run(["/bin/bash", "-c", "true"], capture_output=True), runs)}
        for name, data, count in (("10 kB", small, runs), ("10 MB", large, max(runs // 10, 3))):
            results[f"write {name}"] = timed(lambda data=data: file.write_bytes(data), count)  # type: ignore[misc]
            results[f"read {name}"] = timed(file.read_bytes, count)
    return results


def machine(backend: str, runs: int) -> Figures:
    """One machine's life on a backend; snapshots are of one that has 10 MB written, one file changed before each."""
    boxes: list[Sandbox] = []
    results = {"open": timed(lambda: boxes.append(open_sandbox(IMAGE, backend)), runs)}
    results["close"] = timed(lambda: boxes.pop().close() if boxes else None, runs)
    for box in boxes:
        box.close()
    small, large = os.urandom(10_000), os.urandom(10_000_000)
    with open_sandbox(IMAGE, backend) as box:
        results["exec true"] = timed(lambda: box.exec("true"), runs)
        for name, data, count in (("10 kB", small, runs), ("10 MB", large, max(runs // 10, 3))):
            results[f"write {name}"] = timed(lambda data=data: box.write("file", data), count)  # type: ignore[misc]
            results[f"read {name}"] = timed(lambda: box.read("file"), count)
        seconds, taken = [], []
        for _ in range(max(runs // 5, 3)):
            box.exec("echo x >> changed")
            started = time.perf_counter()
            taken.append(box.snapshot())
            seconds.append(time.perf_counter() - started)
        results["snapshot"] = summary(seconds)
        branches: list[Sandbox] = []
        results["open from a snapshot"] = timed(
            lambda: branches.append(open_sandbox(taken[0], backend)), max(runs // 5, 3)
        )
        for branch in branches:
            branch.close()
        if backend == EMBEDDED:
            for frozen in taken:
                snapshots.discard(frozen)
    return results


def rex_itself(runs: int) -> Figures:
    """SWE-ReX by its own interface, without our contract on top: commands and text files of its local deployment."""
    import asyncio

    from swerex.deployment.local import LocalDeployment
    from swerex.runtime.abstract import Command, ReadFileRequest, WriteFileRequest

    async def clocked(make: Callable[[], Any]) -> dict[str, float]:
        await make()
        seconds = []
        for _ in range(runs):
            started = time.perf_counter()
            await make()
            seconds.append(time.perf_counter() - started)
        return summary(seconds)

    async def life(place: str) -> Figures:
        deployment = LocalDeployment()
        await deployment.start()
        runtime = deployment.runtime
        command = Command(command=["/bin/bash", "-c", "true"])
        text = WriteFileRequest(path=place, content="x" * 10_000)
        results = {
            "exec true": await clocked(lambda: runtime.execute(command)),
            "write 10 kB": await clocked(lambda: runtime.write_file(text)),
            "read 10 kB": await clocked(lambda: runtime.read_file(ReadFileRequest(path=place))),
        }
        await deployment.stop()
        return results

    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(life(f"{folder}/file"))


def without_cgroups(runs: int) -> dict[str, float]:
    """`exec true` where no cgroup is to be joined: what of its cost is the joining."""
    with (
        mock.patch("swegym.sandbox.bubblewrap.make_cgroup", lambda *given: None),
        open_sandbox(IMAGE) as box,
    ):
        return timed(lambda: box.exec("true"), runs)


def idle(backend: str, count: int) -> dict[str, float]:
    started = time.perf_counter()
    boxes = [open_sandbox(IMAGE, backend) for _ in range(count)]
    opened = time.perf_counter() - started
    result = {"sandboxes": count, "open_seconds": round(opened, 2)}
    if backend == EMBEDDED:
        folder = str(boxes[0]._folder.parent)  # type: ignore[attr-defined]
        result["resident_mb_each"] = round(resident(folder) / count / 1e6, 2)
    started = time.perf_counter()
    for box in boxes:
        box.close()
    return {**result, "close_seconds": round(time.perf_counter() - started, 2)}


def resident(folder: str) -> int:
    """Resident bytes of all processes of the machines under a folder."""
    total = 0
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if folder in (entry / "mountinfo").read_text() or folder.encode() in (entry / "cmdline").read_bytes():
                total += int((entry / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except OSError:
            continue
    return total


def resets(backend: str, runs: int) -> dict[str, float]:
    env = SWEEnv("demo", sandbox=backend)
    number = iter(range(1_000_000))
    try:
        for _ in load_task_set("demo").ids:
            env.reset(seed=next(number))
        return timed(lambda: env.reset(seed=next(number)), runs)
    finally:
        env.close()


def gold_episodes(backend: str, workers: int, episodes: int) -> dict[str, float]:
    """Whole episodes with the reference fix, graded: how many a minute."""
    tasks = load_task_set("demo").ids
    attempts = max(episodes // len(tasks), 1)
    for task in map(load_task_set("demo").load, tasks):
        reference_for(task, sandbox_factory())  # taken once for each task ever, so not here
    with tempfile.TemporaryDirectory() as folder:
        config = RunConfig(
            tasks="demo", policy="gold", attempts=attempts, jobs=workers, sandbox=backend, out=str(Path(folder, "run"))
        )
        started = time.perf_counter()
        trajectories = list(collect(config).trajectories())
        seconds = time.perf_counter() - started
    solved = sum(trajectory.verdict.resolved is True for trajectory in trajectories)
    assert solved == len(trajectories), f"{backend}: {solved} of {len(trajectories)} reference fixes resolve"
    return {"episodes": solved, "per_minute": round(solved / seconds * 60, 1)}


@contextlib.contextmanager
def an_engine() -> Iterator[bool]:
    """Whether a container engine answers; one is started for the while where it can be."""
    with contextlib.suppress(SandboxUnavailable):
        docker_engine.connect(docker_engine.engine_host()).close()
        yield True
        return
    done = subprocess.run([ENGINE, "start"], capture_output=True, text=True)
    if done.returncode != 0:
        yield False
        return
    os.environ["DOCKER_HOST"] = done.stdout.strip()
    try:
        yield True
    finally:
        docker_engine.leave()
        subprocess.run([ENGINE, "stop"], check=True, capture_output=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100, help="of the embedded sandbox; others get a fifth")
    parser.add_argument("--idle", type=int, default=200, help="idle embedded sandboxes; a tenth on the engine")
    parser.add_argument("--episodes", type=int, default=24, help="for each number of workers")
    arguments = parser.parse_args()
    console = Console()
    broken = [result.error for result in build(load_task_set("demo")) if result.error]
    if broken:
        raise broken[0]
    few = max(arguments.runs // 5, 5)
    times: dict[str, Figures] = {"raw": raw(arguments.runs)}
    many, episodes = {}, {}
    with an_engine() as engine:
        backends = [EMBEDDED, *([DOCKER] if engine else []), REX]
        for backend in backends:
            console.print(f"{NAMES[backend]} ...")
            times[NAMES[backend]] = machine(backend, arguments.runs if backend == EMBEDDED else few)
            if backend != REX:  # its tasks' layers are unpacked for every machine: no backend for speed
                times[NAMES[backend]]["env.reset"] = resets(backend, arguments.runs if backend == EMBEDDED else few)
                many[NAMES[backend]] = idle(backend, arguments.idle if backend == EMBEDDED else arguments.idle // 10)
                episodes[NAMES[backend]] = {
                    str(workers): gold_episodes(backend, workers, arguments.episodes) for workers in WORKERS
                }
    times["swe-rex itself"] = rex_itself(few)
    bare = without_cgroups(arguments.runs)
    embedded = times["embedded"]
    ratios = {
        "exec_over_raw_ms": round(embedded["exec true"]["median_ms"] - times["raw"]["exec true"]["median_ms"], 2),
        "exec_over_raw_ms_without_cgroups": round(bare["median_ms"] - times["raw"]["exec true"]["median_ms"], 2),
    }
    for name in ("open", "exec true", "close", "env.reset", "snapshot"):
        for other in ("docker", "swe-rex local", "swe-rex itself"):
            if name in times.get(other, {}):
                ratios[f"{name}: {other} / embedded"] = round(
                    times[other][name]["median_ms"] / embedded[name]["median_ms"], 1
                )
    show(console, times, many, episodes, ratios)
    place = write_results(
        "runtime", {"times": times, "ratios": ratios, "idle": many, "gold_episodes_per_minute": episodes}
    )
    console.print(f"written to {place}")


def show(console: Console, times: dict[str, Figures], many: Any, episodes: Any, ratios: Any) -> None:
    table = Table("median ms", *times)
    for row in dict.fromkeys(name for column in times.values() for name in column):
        cells = (f"{column[row]['median_ms']:.2f}" if row in column else "" for column in times.values())
        table.add_row(row, *cells)
    console.print(table)
    workers = Table("gold episodes a minute", *map(str, WORKERS), title="by workers")
    for name, by_workers in episodes.items():
        workers.add_row(name, *(str(found["per_minute"]) for found in by_workers.values()))
    console.print(workers, ratios, many)


if __name__ == "__main__":
    main()

"""The embedded sandbox against a raw subprocess, in one run.

    python benchmarks/runtime.py [--runs 100] [--idle 200]

Each figure is the median and the minimum over the runs, in milliseconds; what to quote are differences and ratios.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from machine import write_results
from rich.console import Console
from rich.table import Table

from swegym.sandbox import open_sandbox, snapshots
from swegym.types import Image, Sandbox

IMAGE = Image("benchmark", "host")


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


def opening_and_closing(runs: int) -> dict[str, dict[str, float]]:
    boxes: list[Sandbox] = []
    opening = timed(lambda: boxes.append(open_sandbox(IMAGE)), runs)
    closing = timed(lambda: boxes.pop().close() if boxes else None, runs)
    for box in boxes:
        box.close()
    return {"open": opening, "close": closing}


def inside(runs: int) -> dict[str, dict[str, float]]:
    small, large = os.urandom(10_000), os.urandom(10_000_000)
    with open_sandbox(IMAGE) as box:
        box.write("small", small)
        box.write("large", large)
        results = {
            "exec true": timed(lambda: box.exec("true"), runs),
            "write 10 kB": timed(lambda: box.write("small", small), runs),
            "read 10 kB": timed(lambda: box.read("small"), runs),
            "write 10 MB": timed(lambda: box.write("large", large), max(runs // 10, 3)),
            "read 10 MB": timed(lambda: box.read("large"), max(runs // 10, 3)),
        }
    results["raw subprocess, bash -c true"] = timed(
        lambda: subprocess.run(["/bin/bash", "-c", "true"], capture_output=True), runs
    )
    return results


def branching(runs: int) -> dict[str, dict[str, float]]:
    """Snapshots of a machine that has 10 MB written, one file changed before each; and machines opened from one."""
    results = {}
    with open_sandbox(IMAGE) as box:
        box.write("large", os.urandom(10_000_000))
        taken = []
        for name, before in (
            ("snapshot", "echo x >> changed"),
            ("snapshot while busy", "sleep 60 & echo x > y"),
        ):
            seconds = []
            for _ in range(runs if name == "snapshot" else max(runs // 10, 3)):
                box.exec(before)
                started = time.perf_counter()
                taken.append(box.snapshot())
                seconds.append(time.perf_counter() - started)
            results[name] = summary(seconds)
        boxes: list[Sandbox] = []
        results["open from a snapshot"] = timed(lambda: boxes.append(open_sandbox(taken[0])), runs)
        for opened in boxes:
            opened.close()
        box.stop_processes()
        for frozen in taken:
            snapshots.discard(frozen)
    return results


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


def idle(count: int) -> dict[str, float]:
    started = time.perf_counter()
    boxes = [open_sandbox(IMAGE) for _ in range(count)]
    opened = time.perf_counter() - started
    folder = str(boxes[0]._folder.parent)  # type: ignore[attr-defined]
    size = resident(folder)
    started = time.perf_counter()
    for box in boxes:
        box.close()
    return {
        "sandboxes": count,
        "open_seconds": round(opened, 2),
        "resident_mb_each": round(size / count / 1e6, 2),
        "close_seconds": round(time.perf_counter() - started, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--idle", type=int, default=200)
    arguments = parser.parse_args()
    times = {**opening_and_closing(arguments.runs), **inside(arguments.runs), **branching(arguments.runs)}
    raw = times["raw subprocess, bash -c true"]["median_ms"]
    many = idle(arguments.idle)
    table = Table("what", "median ms", "min ms", title="embedded sandbox")
    for name, figures in times.items():
        table.add_row(name, f"{figures['median_ms']:.2f}", f"{figures['min_ms']:.2f}")
    console = Console()
    console.print(table)
    overhead = round(times["exec true"]["median_ms"] - raw, 2)
    console.print(f"exec over a raw subprocess: {overhead:+.2f} ms; {many}")
    place = write_results("runtime", {"times": times, "exec_over_raw_ms": overhead, "idle": many})
    console.print(f"written to {place}")


if __name__ == "__main__":
    main()

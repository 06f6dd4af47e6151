"""How fast micro tasks are generated and built, what they take on the disk, and how long their openings are.

    python benchmarks/micro.py [--count 2000] [--jobs 2]

Into a store of its own, which is removed; the environment layer is made before the clock starts. Rates are given by the
clock and by processor time, which other work on the machine does not slow down.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

from machine import write_results

from swegym.tasks import load_task_set
from swegym.tasks.build import build
from swegym.tasks.sources.micro import micro_task


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()

    began, used = time.monotonic(), time.process_time()
    made = [micro_task(1, index) for index in range(arguments.count)]
    generated, generating = time.monotonic() - began, time.process_time() - used
    with tempfile.TemporaryDirectory(prefix="swegym-micro-", dir=Path.home()) as home:
        os.environ["SWEGYM_HOME"] = home
        tasks = load_task_set("micro")
        chosen = tasks.ids[: arguments.count + 1]
        build(tasks, chosen[:1])
        before = disk(Path(home))
        began, used = time.monotonic(), time.process_time()
        results = build(tasks, chosen[1:], jobs=arguments.jobs)
        built, building = time.monotonic() - began, time.process_time() - used
        assert all(result.built for result in results)
        each = (disk(Path(home)) - before) / arguments.count
    write_results(
        "micro",
        {
            "tasks": arguments.count,
            "generated_per_minute": round(60 * arguments.count / generated),
            "generated_per_processor_minute": round(60 * arguments.count / generating),
            "built_per_minute": round(60 * arguments.count / built),
            "built_per_processor_minute": round(60 * arguments.count / building),
            "disk_bytes_each": round(each),
            "issue_characters_median": statistics.median(len(one.issue) for one in made),
            "repository_characters_median": statistics.median(sum(map(len, one.files.values())) for one in made),
        },
    )


def disk(folder: Path) -> int:
    """Bytes that a tree takes, each file counted once however often it is linked."""
    seen = {
        (status.st_dev, status.st_ino): status.st_blocks * 512
        for place, folders, files in os.walk(folder)
        for name in (*folders, *files)
        for status in (Path(place, name).lstat(),)
    }
    return sum(seen.values())


if __name__ == "__main__":
    main()

"""Gold evaluation of published rows: our rows a minute against the official harness's, in one run.

    python benchmarks/evaluate.py SET ROWS.jsonl [-i GLOB]... [--jobs 2] [--keep FOLDER]

SET is an imported set whose tasks are built (docs/task-sets.md), ROWS the file that it was imported from, with image
and eval_script, for the official harness needs both. Its images are made here of the very layers that ours are made of,
under a Debian root file system with a stand-in for conda, and carry the rows' own image names. Nothing of the harness
is changed: what it spends on installing again and on stopping containers is part of what its users pay, and its
containers have whatever network the engine gives them. The harness is timed as well without the installing line of its
scripts, so that both shares can be seen. Ours runs twice: by the official rules alone, and both verdicts side by side.
Every verdict is compared, row by row. The engine is one that answers, or one that scripts/docker_engine.sh starts.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from machine import write_results

from swegym import paths
from swegym.evaluate import evaluate, gold_predictions, read_results
from swegym.images import rootfs
from swegym.sandbox.base import load_base
from swegym.sandbox.docker_engine import connect
from swegym.sandbox.docker_image import write_archive
from swegym.tasks import TaskSet, interpreters, load_task_set
from swegym.types import Task

ENGINE = Path(__file__).parent.parent / "scripts" / "docker_engine.sh"
BASE = "debian-bookworm"
_ACTIVATE = 'conda() { :; }\nexport PATH="/opt/venv/bin:$PATH"\n'
_INSTALLING = re.compile(r"^python -m pip install .*\n", re.MULTILINE)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("set")
    parser.add_argument("rows", type=Path)
    parser.add_argument("-i", "--task", action="append", default=[])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="keep the logs of all runs in this folder")
    arguments = parser.parse_args()
    rows = {row["instance_id"]: row for row in map(json.loads, arguments.rows.read_text("utf-8").splitlines())}
    whole = load_task_set(arguments.set).select(arguments.task)
    usable = [task for task in whole if whole.is_built(task) and rows.get(task, {}).get("eval_script")]
    if not usable:
        sys.exit("no task of the set is built and has a row with eval_script: see docs/task-sets.md")
    chosen = whole.select(usable)
    folder = arguments.keep or Path(tempfile.mkdtemp(prefix="swegym-evaluate-"))
    folder.mkdir(parents=True, exist_ok=True)
    started = subprocess.run([ENGINE, "start"], capture_output=True, text=True, check=True)
    os.environ["DOCKER_HOST"] = started.stdout.strip().split("\n")[-1]
    try:
        results = measure(chosen, {task: rows[task] for task in usable}, folder, arguments.jobs)
    finally:
        if "swegym-engine" in os.environ["DOCKER_HOST"]:
            subprocess.run([ENGINE, "stop"], check=False)
        if arguments.keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(results, indent=2))
    print(write_results("evaluate", results))


def measure(chosen: TaskSet, rows: dict[str, dict[str, Any]], folder: Path, jobs: int) -> dict[str, Any]:
    """Run everything once and lay it side by side."""
    load_images(chosen, rows, folder)
    columns: dict[str, dict[str, Any]] = {}
    bare = {name: {**row, "eval_script": _INSTALLING.sub("", row["eval_script"])} for name, row in rows.items()}
    columns["official"] = official(rows, folder / "official", jobs)
    columns["official without installing"] = official(bare, folder / "official-bare", jobs)
    columns["ours, official rules"] = ours(chosen, folder / "compatible", jobs, "compatible")
    columns["ours, both verdicts"] = ours(chosen, folder / "both", jobs, "sealed")
    judged = {
        name: sum(resolved is not None for resolved in column["resolved"].values()) for name, column in columns.items()
    }
    # What was not judged is no speed.
    speed = {name: judged[name] * 60 / column["seconds"] for name, column in columns.items()}
    differing = [
        f"{name}: {kind} {column['resolved'].get(name)}, official {columns['official']['resolved'].get(name)}"
        for kind, column in columns.items()
        for name in rows
        if column["resolved"].get(name) != columns["official"]["resolved"].get(name)
    ]
    return {
        "rows": sorted(rows),
        "workers": jobs,
        "judged": judged,
        "seconds": {name: round(column["seconds"], 1) for name, column in columns.items()},
        "rows_per_minute": {name: round(value, 2) for name, value in speed.items()},
        "times_official": {
            name: round(value / speed["official"], 1) if speed["official"] else None for name, value in speed.items()
        },
        "resolved": {
            name: sorted(task for task, good in column["resolved"].items() if good) for name, column in columns.items()
        },
        "verdicts_that_differ": differing,
    }


def official(rows: dict[str, dict[str, Any]], folder: Path, jobs: int) -> dict[str, Any]:
    """The harness as its package has it, on gold patches."""
    folder.mkdir(parents=True)
    dataset = folder / "rows.jsonl"
    dataset.write_text("".join(json.dumps(row) + "\n" for row in rows.values()))
    command = [sys.executable, "-m", "swebench.harness.run_evaluation", "--dataset_name", str(dataset)]
    command += ["--predictions_path", "gold", "--max_workers", str(jobs), "--run_id", folder.name]
    start = time.monotonic()
    with (folder / "said.txt").open("w") as said:
        subprocess.run(command, cwd=folder, stdout=said, stderr=subprocess.STDOUT, check=True)
    seconds = time.monotonic() - start
    resolved = {}
    for report in folder.glob("logs/run_evaluation/*/*/*/report.json"):
        ((name, entry),) = json.loads(report.read_text()).items()
        resolved[name] = bool(entry["resolved"])
    return {"seconds": seconds, "resolved": resolved}


def ours(chosen: TaskSet, folder: Path, jobs: int, grader: str) -> dict[str, Any]:
    start = time.monotonic()
    evaluate(chosen, gold_predictions(chosen), folder, grader=grader, jobs=jobs)
    seconds = time.monotonic() - start
    return {"seconds": seconds, "resolved": {result.instance_id: result.resolved for result in read_results(folder)}}


def load_images(chosen: TaskSet, rows: dict[str, dict[str, Any]], folder: Path) -> None:
    """Give the engine an image for each row, made of the task's own layers."""
    rootfs.build(BASE)
    additions = folder / "additions"
    stand_in(additions, [chosen.load(task) for task in chosen])
    client = connect(os.environ["DOCKER_HOST"])
    client.api.timeout = 900  # seconds: unpacking is slow where others work on the machine
    for task in chosen:
        image = chosen.load(task).image
        trees = [load_base(BASE).layer, *(paths.layers() / layer for layer in image.layers), additions]
        with tempfile.TemporaryFile(dir=paths.home()) as file:
            write_archive(file, trees, rows[task]["image"], environment=image.environment, workdir=image.workdir)
            file.seek(0)
            for _ in client.api.load_image(file):
                pass
    client.close()


def stand_in(tree: Path, tasks: list[Task]) -> None:
    """What the scripts expect beside the task: conda's activation, pip, and libraries that interpreters need."""
    activate = tree / "opt/miniconda3/bin/activate"
    activate.parent.mkdir(parents=True)
    activate.write_text(_ACTIVATE)
    import uv

    held = {layer for task in tasks for layer in task.image.layers}
    for python in interpreters.available().values():
        if not any((paths.layers() / layer / "opt/pythons" / python.minor).is_dir() for layer in held):
            continue
        # In the environment's own folder, where the scripts' `python -m pip` looks for it.
        place = tree / f"opt/venv/lib/python{python.minor}/site-packages"
        place.mkdir(parents=True)
        executable = python.prefix / "bin" / f"python{python.minor}"
        command = [uv.find_uv_bin(), "pip", "install", "--quiet", "--python", str(executable)]
        subprocess.run([*command, "--target", str(place), "pip", "wheel"], check=True)
        for library in libraries(python.prefix):
            target = tree / (library.parent.resolve() / library.name).relative_to("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(library, target)


def libraries(prefix: Path) -> set[Path]:
    """Shared libraries of this host that an interpreter's own modules load, beside the C library's."""
    modules = [str(path) for path in prefix.glob("lib/python3*/lib-dynload/*.so")]
    said = subprocess.run(["ldd", *modules], capture_output=True, text=True, check=False).stdout
    found = {Path(match) for match in re.findall(r"=> (/\S+)", said)}
    return {
        path for path in found if prefix not in path.parents and not re.match(r"lib(c|m|dl|pthread)\.so", path.name)
    }


if __name__ == "__main__":
    main()

"""What a results file says of where it was made, and pages that show results."""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any


def _script(root: Path) -> str:
    """The running script, as it is named from the repository's root."""
    file = Path(sys.argv[0]).resolve()
    return str(file.relative_to(root)) if file.is_relative_to(root) else file.name


def write_results(name: str, results: dict[str, Any]) -> Path:
    """Write benchmarks/results/NAME.json with the machine, the date, the commit and the command."""
    place = Path(__file__).parent / "results" / f"{name}.json"
    root = place.parents[2]
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=root)
    # Not the results, which a benchmark writes as it goes, nor the pages that show them, nor tests.
    measured = [".", ":(exclude)benchmarks/results", ":(exclude)docs", ":(exclude)tests"]
    status = subprocess.run(["git", "status", "--porcelain", "--", *measured], capture_output=True, text=True, cwd=root)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    document = {
        "command": "python " + " ".join([_script(root), *sys.argv[1:]]),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "commit": commit.stdout.strip() + (" with changes" if status.stdout.strip() else ""),
        "machine": {
            "cores": os.cpu_count(),
            "memory_gb": round(memory / 1e9),
            "kernel": platform.release().split("-")[0],
            "python": platform.python_version(),
            "load_before": [round(value, 1) for value in os.getloadavg()],
        },
        "results": results,
    }
    place.parent.mkdir(exist_ok=True)
    place.write_text(json.dumps(document, indent=2) + "\n")
    return place


def write_between(page: Path, begin: str, end: str, text: str) -> None:
    """Put a text between two marks of a page, in place of what stands there."""
    before, _, rest = page.read_text("utf-8").partition(begin)
    page.write_text(f"{before}{begin}\n\n{text}\n\n{end}{rest.partition(end)[2]}", "utf-8")

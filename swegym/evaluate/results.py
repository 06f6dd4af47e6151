"""Results: what an evaluation's folder holds, written so that a crash costs at most the line in the writing."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from swegym.errors import InputError, RunError
from swegym.evaluate.predictions import Prediction
from swegym.types import Cause, Verdict

FORMAT = "swegym-grade-2"
_READABLE = (FORMAT, "swegym-grade-1")
_OWN = frozenset({"results.jsonl", "report.json", "official_report.json", "logs", ".lock"})


@dataclass(frozen=True, slots=True)
class Result:
    """One judged prediction; one line of results.jsonl."""

    key: str
    instance_id: str
    model: str
    resolved: bool | None
    cause: Cause | None
    reason: str
    empty: bool
    statuses: Mapping[str, str]
    notes: tuple[str, ...]
    seconds: Mapping[str, float]
    attempt: int = 0
    tampering: tuple[str, ...] = ()
    compatible: bool | None = None  # by the official rules; None where they were not asked or could not answer
    official: Mapping[str, Any] | None = None  # the instance's entry of a published report.json
    integrity: Mapping[str, Any] = field(default_factory=dict)
    format: str = FORMAT


def make_result(
    key: str, prediction: Prediction, verdict: Verdict, compatible: bool | None, official: Mapping[str, Any] | None
) -> Result:
    return Result(
        key=key,
        instance_id=prediction.instance_id,
        model=prediction.model,
        resolved=verdict.resolved,
        cause=verdict.cause,
        reason=verdict.reason,
        empty=not prediction.patch.strip(),
        statuses=dict(verdict.statuses),
        notes=verdict.notes,
        seconds=dict(verdict.seconds),
        attempt=prediction.attempt,
        tampering=verdict.tampering,
        compatible=verdict.compatible if compatible is None else compatible,
        official=official,
        integrity=dict(verdict.integrity),
    )


def read_results(out: Path) -> list[Result]:
    """Results in the order written. A last line that a crash cut off is left out; damage elsewhere is an error."""
    path = out / "results.jsonl"
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")
    results = []
    for number, line in enumerate(lines[:-1], 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            raise InputError(f"{path}:{number}: not valid JSON. Remove that line; it is judged again.") from None
        if row.get("format") not in _READABLE:
            raise InputError.at(
                f"{path}:{number}", "format", row.get("format"), f"this swegym reads {FORMAT}", "Choose another -o."
            )
        lists = {name: tuple(row[name]) for name in ("notes", "tampering") if name in row}
        results.append(Result(**{**row, **lists, "format": FORMAT}))
    return results


def claim(out: Path) -> None:
    """Make the folder, or take one that holds an evaluation; anything else is left alone."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise RunError(f"{out}: is a file, not a folder. Choose another folder with -o.") from None
    foreign = sorted(entry.name for entry in out.iterdir() if entry.name not in _OWN)
    if foreign:
        raise RunError(f"{out}: holds {foreign[0]} and is no evaluation. Choose another folder with -o.")


def drop_torn_line(path: Path) -> None:
    """Cut off what a crash left of a last line."""
    if path.exists():
        data = path.read_bytes()
        if not data.endswith(b"\n"):
            os.truncate(path, data.rfind(b"\n") + 1)


def append(path: Path, result: Result) -> None:
    """Write one whole line; when this returns it is on disk."""
    with path.open("ab") as sink:
        sink.write(json.dumps(asdict(result)).encode() + b"\n")
        sink.flush()
        os.fsync(sink.fileno())


def log_folder(out: Path, instance_id: str, attempt: int) -> Path:
    folder = out / "logs" / instance_id
    return folder / str(attempt) if attempt else folder


def write_logs(out: Path, prediction: Prediction, verdict: Verdict, result: Result, official_log: str | None) -> None:
    """The instance's folder. `test_output.txt` is the official run's log where there was one, to be graded again."""
    folder = log_folder(out, prediction.instance_id, prediction.attempt)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "patch.diff").write_bytes(prediction.patch.encode("utf-8", "surrogatepass"))
    if official_log is None:
        (folder / "test_output.txt").write_text(verdict.output, "utf-8", "replace")
    else:
        (folder / "test_output.txt").write_text(official_log, "utf-8", "replace")
        (folder / "sealed_output.txt").write_text(verdict.output, "utf-8", "replace")
    write_entry(folder, result)


def write_entry(folder: Path, result: Result) -> None:
    """report.json of one instance, in the published shape."""
    if result.official is not None:
        text = json.dumps({result.instance_id: result.official}, indent=4)
        (folder / "report.json").write_text(text + "\n", "utf-8")

"""Batch evaluation: predictions in, verdicts out, one fresh sandbox per patch.

A prediction is SWE-bench's row: `instance_id`, `model_name_or_path`, `model_patch`. An evaluation is a folder:

    OUT/
      results.jsonl        one judged prediction per line, appended whole; the only source of truth
      report.json          derived: counts and id lists in SWE-bench's words
      logs/<id>/           patch.diff and test_output.txt of the last judgement

A result belongs to a key over the task's digest, the patch and the grader, so a changed prediction is judged again and
an unchanged one never is. Verdicts that are not the patch's doing (`resolved` is null) are tried again as
`rollout/causes.py` says for their cause; what is left of them is kept for the record and tried by the next call.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from swegym.errors import InputError, RunError, UnknownName
from swegym.grading import judge, make_grader
from swegym.images import store
from swegym.rollout.causes import enters_rates, try_again, wait_before
from swegym.sandbox import Limits, sandbox_factory
from swegym.sandbox.opened import Opened
from swegym.tasks import TaskSet
from swegym.types import Cause, Grader, SandboxFactory, Task, Verdict

FORMAT = "swegym-grade-1"


Pause = Callable[[float], bool]  # waits so many seconds; False when the evaluation is being stopped


@dataclass(frozen=True, slots=True)
class Prediction:
    """One patch to judge."""

    instance_id: str
    model: str
    patch: str


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
    format: str = FORMAT


@dataclass(frozen=True, slots=True)
class Event:
    """Progress: an id was found judged already ("kept"), entered a sandbox ("start"), or got its verdict ("end")."""

    kind: Literal["kept", "start", "end"]
    instance_id: str
    result: Result | None = None


# --- predictions ------------------------------------------------------------------------------------------------------


def read_predictions(path: Path) -> list[Prediction]:
    """Read a predictions file: JSON lines, a JSON list, or a JSON object by instance id.

    A null patch counts as an empty one. Raises `InputError` naming the file, the line and the field.
    """
    try:
        text = path.read_text("utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: no such predictions file. Check the path, or use `gold`.") from None
    except (IsADirectoryError, PermissionError) as error:
        raise InputError(
            f"{path}: cannot be read as predictions: {error.strerror}. Name a .jsonl or .json file."
        ) from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 at byte {error.start}. Save the predictions as UTF-8.") from None
    if not text.strip():
        raise InputError(f"{path}: the file is empty. Write one prediction per line: {_EXAMPLE}")
    rows = _rows(path, text)
    if not rows:
        raise InputError(f"{path}: there are no predictions in it. Write one per line: {_EXAMPLE}")
    predictions: list[Prediction] = []
    seen: dict[str, str] = {}
    for place, row in rows:
        prediction = _prediction(place, row)
        if prediction.instance_id in seen:
            first = seen[prediction.instance_id]
            raise InputError.at(
                place, "instance_id", prediction.instance_id, f"already at {first}", "Keep one patch for each task."
            )
        seen[prediction.instance_id] = place
        predictions.append(prediction)
    return predictions


_EXAMPLE = '{"instance_id": "...", "model_name_or_path": "...", "model_patch": "diff --git ..."}'


def _rows(path: Path, text: str) -> list[tuple[str, Any]]:
    """(place for messages, row) of each prediction in the file."""
    if path.suffix != ".json":
        rows = []
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                try:
                    rows.append((f"{path}:{number}", json.loads(line)))
                except json.JSONDecodeError as error:
                    raise InputError(
                        f"{path}:{number}: not valid JSON: {error}. Correct or remove that line; was the file cut off?"
                    ) from None
        return rows
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: not valid JSON: {error}. If it holds JSON lines, name it .jsonl.") from None
    if isinstance(data, list):
        return [(f"{path}[{index}]", row) for index, row in enumerate(data)]
    if isinstance(data, dict):
        return [
            (f"{path}[{key!r}]", {"instance_id": key, **row} if isinstance(row, dict) else row)
            for key, row in data.items()
        ]
    raise InputError(f"{path}: holds a {type(data).__name__}. Expected a list or an object of predictions.")


def _prediction(place: str, row: Any) -> Prediction:
    if not isinstance(row, dict):
        raise InputError(f"{place}: a prediction must be an object, this is {row!r:.80}. Write {_EXAMPLE}")
    for name in ("instance_id", "model_name_or_path", "model_patch"):
        if name not in row:
            raise InputError(f"{place}: {name} is missing; found {', '.join(map(str, row)) or 'nothing'}. Add it.")
    for name, empty in (("instance_id", False), ("model_name_or_path", False), ("model_patch", True)):
        value = row[name]
        if not (isinstance(value, str) and value) and not (empty and value in ("", None)):
            raise InputError.at(place, name, value, "must be text", "Correct the value.")
    return Prediction(row["instance_id"], row["model_name_or_path"], row["model_patch"] or "")


def gold_predictions(task_set: TaskSet) -> list[Prediction]:
    """The reference patch of each built task."""
    return [Prediction(name, "gold", task_set.load(name).gold_patch) for name in task_set]


def check_ids(predictions: Iterable[Prediction], task_set: TaskSet, origin: Path | str) -> None:
    """Raise `UnknownName` for the first prediction whose task is not in the set."""
    known = set(task_set.ids)
    for prediction in predictions:
        if prediction.instance_id not in known:
            raise UnknownName.among(
                f"task in {task_set.name}",
                prediction.instance_id,
                known,
                f"(instance_id in {origin}; list the tasks with `swegym tasks list {task_set.name}`.)",
            )


# --- judging ----------------------------------------------------------------------------------------------------------


def evaluate(
    task_set: TaskSet,
    predictions: Iterable[Prediction],
    out: Path,
    *,
    grader: str = "sealed",
    sandbox: str = "bubblewrap",
    limits: Limits | None = None,
    jobs: int = 2,
    redo: bool = False,
    backoff: float = 1.0,
    on_event: Callable[[Event], None] | None = None,
) -> dict[str, Any]:
    """Judge every prediction, write the folder `out`, and return the report.

    Call again with the same `out` to go on: what is judged is kept, unless `redo`. Tasks must be built. An interrupt
    stops before the next prediction and keeps every finished verdict. `backoff` multiplies the waits before a patch
    that could not be judged is tried again.
    """
    if jobs < 1:
        raise InputError(f"jobs = {jobs}: must be at least 1.")
    predictions = list(predictions)
    check_ids(predictions, task_set, "the predictions")
    asked, open_sandbox = make_grader(grader), sandbox_factory(sandbox, limits or Limits())
    tell = on_event or (lambda event: None)
    _claim(out)
    with store.exclusive(out / ".lock"):
        _drop_torn_line(out / "results.jsonl")
        judged = {} if redo else {result.key: result for result in read_results(out) if enters_rates(result)}
        results: dict[str, Result] = {}
        todo: list[tuple[str, Prediction, Task]] = []
        for prediction in predictions:
            task = task_set.load(prediction.instance_id)
            key = _key(task, prediction.patch, grader)
            if key in judged:
                # The patch decides, not who wrote it: another model with the same patch has the same verdict.
                results[prediction.instance_id] = judged[key]
                tell(Event("kept", prediction.instance_id, judged[key]))
            else:
                todo.append((key, prediction, task))
        stop, writing = threading.Event(), threading.Lock()
        judging: set[Opened] = set()

        def pause(seconds: float) -> bool:
            return not stop.wait(seconds * backoff)

        def work(key: str, prediction: Prediction, task: Task) -> None:
            if stop.is_set():
                return
            tell(Event("start", prediction.instance_id))
            machines = Opened(open_sandbox)
            judging.add(machines)
            try:
                verdict = _judged(asked, task, prediction.patch, machines, pause)
            finally:
                judging.discard(machines)
            if verdict.resolved is None and stop.is_set():
                return  # its machine was ended by the stop itself
            result = _result(key, prediction, verdict)
            with writing:
                _write_logs(out, prediction, verdict)
                _append(out / "results.jsonl", result)
                results[result.instance_id] = result
            tell(Event("end", result.instance_id, result))

        with ThreadPoolExecutor(jobs, "grade") as pool:
            futures = [pool.submit(work, *item) for item in todo]
            try:
                for future in as_completed(futures):
                    future.result()
            finally:
                stop.set()
                for machines in list(judging):  # on an interrupt: a command in flight ends with its machine
                    machines.stop()
        report = make_report(task_set, predictions, results)
        store.write_atomically(out / "report.json", (json.dumps(report, indent=2) + "\n").encode())
    return report


def _judged(grader: Grader, task: Task, patch: str, open_sandbox: SandboxFactory, pause: Pause) -> Verdict:
    if not patch.strip():
        return Verdict(False, "agent", "the patch is empty")
    verdict = judge(grader, task, patch, open_sandbox)
    tried = 1
    while try_again(verdict, tried) and pause(wait_before(verdict, tried)):
        verdict = judge(grader, task, patch, open_sandbox)
        tried += 1
    return verdict


def _key(task: Task, patch: str, grader: str) -> str:
    return hashlib.sha256(json.dumps([FORMAT, task.digest, grader, patch]).encode()).hexdigest()


def _result(key: str, prediction: Prediction, verdict: Verdict) -> Result:
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
    )


def make_report(task_set: TaskSet, predictions: Iterable[Prediction], results: Mapping[str, Result]) -> dict[str, Any]:
    """The report in SWE-bench's words; ids in the set's order.

    Resolved, unresolved, error (not judged) and empty_patch share no id. A patch that does not apply is unresolved:
    that is the patch's doing.
    """
    submitted = {prediction.instance_id: prediction for prediction in predictions}
    ids: dict[str, list[str]] = {
        "submitted": [name for name in task_set if name in submitted],
        "completed": [],
        "incomplete": [name for name in task_set if name not in submitted],
        "resolved": [],
        "unresolved": [],
        "empty_patch": [],
        "error": [],
    }
    causes: dict[str, str] = {}
    for name in ids["submitted"]:
        result = results.get(name)
        if result is None:
            ids["incomplete"].append(name)
            continue
        if result.empty:
            ids["empty_patch"].append(name)
        elif result.resolved is None:
            ids["error"].append(name)
            causes[name] = f"{result.cause}: {result.reason}"
        else:
            ids["completed"].append(name)
            ids["resolved" if result.resolved else "unresolved"].append(name)
    return {
        "schema_version": 2,
        "set": task_set.name,
        "set_digest": task_set.digest,
        "models": sorted({prediction.model for prediction in submitted.values()}),
        "total_instances": len(task_set),
        **{f"{kind}_instances": len(names) for kind, names in ids.items()},
        **{f"{kind}_ids": names for kind, names in ids.items()},
        "errors": causes,
    }


# --- the folder -------------------------------------------------------------------------------------------------------


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
        except ValueError:
            raise InputError(f"{path}:{number}: not valid JSON. Remove that line; it is judged again.") from None
        if row.get("format") != FORMAT:
            raise InputError.at(
                f"{path}:{number}", "format", row.get("format"), f"this swegym reads {FORMAT}", "Choose another -o."
            )
        results.append(Result(**{**row, "notes": tuple(row["notes"])}))
    return results


def _claim(out: Path) -> None:
    """Make the folder, or take one that holds an evaluation; anything else is left alone."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise RunError(f"{out}: is a file, not a folder. Choose another folder with -o.") from None
    known = {"results.jsonl", "report.json", "logs", ".lock"}
    foreign = sorted(entry.name for entry in out.iterdir() if entry.name not in known)
    if foreign:
        raise RunError(f"{out}: holds {foreign[0]} and is no evaluation. Choose another folder with -o.")


def _drop_torn_line(path: Path) -> None:
    """Cut off what a crash left of a last line."""
    if path.exists():
        data = path.read_bytes()
        if not data.endswith(b"\n"):
            os.truncate(path, data.rfind(b"\n") + 1)


def _append(path: Path, result: Result) -> None:
    """Write one whole line; when this returns it is on disk."""
    with path.open("ab") as sink:
        sink.write(json.dumps(asdict(result)).encode() + b"\n")
        sink.flush()
        os.fsync(sink.fileno())


def _write_logs(out: Path, prediction: Prediction, verdict: Verdict) -> None:
    folder = out / "logs" / prediction.instance_id
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "patch.diff").write_bytes(prediction.patch.encode("utf-8", "surrogatepass"))
    (folder / "test_output.txt").write_text(verdict.output, "utf-8", "replace")

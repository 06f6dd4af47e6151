"""A run folder: all there is to know of a run, and enough to go on with it.

    runs/<name>/
    ├── config.toml          resolved; `swegym run -c runs/<name>/config.toml` carries on or repeats it
    ├── run.json             versions, git commit, digest of the tasks, host, each start: when, until when, command line
    ├── trajectories.jsonl   one episode a line, appended whole; the only source of truth
    ├── hints.jsonl          what came of each question to a teacher: given, or why not, and how often it was asked
    ├── preds.jsonl          derived: the first judged plain attempt at each task, in SWE-bench's shape
    ├── report.json          derived: counts by outcome and cause
    ├── torn/                what a crash left of a last line, set aside when the run was opened again
    └── .lock                held by the one process that writes

An attempt that could not be judged is a line too; when it is tried again, a second line with its id follows and counts.
Reading needs no lock and works while the run goes on.
"""

from __future__ import annotations

import collections
import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self, TypeVar

from swegym.config import load, to_toml
from swegym.errors import RunError
from swegym.rollout.redaction import redact
from swegym.rollout.report import predictions, report
from swegym.rollout.run_config import RunConfig, first_difference
from swegym.rollout.serialise import from_line, to_line
from swegym.types import Trajectory

_T = TypeVar("_T")

UNREADABLE = "a line that is no trajectory of this version"
TORN = "a line that is not whole"


@dataclass(frozen=True, slots=True)
class Survey:
    """What a run folder holds, and what of it cannot be read: a message for each line, naming the file."""

    trajectories: tuple[Trajectory, ...]
    problems: tuple[str, ...]
    torn: bool  # the last line is not whole: being written, or torn by a crash
    hints: tuple[dict[str, Any], ...] = ()
    hint_problems: tuple[str, ...] = ()

    @property
    def unread(self) -> collections.Counter[str]:
        """Lines that should hold trajectories and cannot be read, by what is wrong with them."""
        return +collections.Counter({UNREADABLE: len(self.problems), TORN: int(self.torn)})


class RunFolder:
    """A run, to be read."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def __repr__(self) -> str:
        return f"RunFolder({str(self.path)!r})"

    @property
    def config(self) -> RunConfig:
        self._require()
        return load(RunConfig, self.path / "config.toml")

    @property
    def facts(self) -> dict[str, Any]:
        """run.json."""
        self._require()
        facts: dict[str, Any] = json.loads((self.path / "run.json").read_text("utf-8"))
        return facts

    def trajectories(self) -> list[Trajectory]:
        """One per id, in the order in which they first appeared: the judged one if there is one, else the last."""
        self._require()
        return list(_one_of_each(self.lines()))

    def lines(self) -> Iterator[Trajectory]:
        """Every line, also of attempts that were tried again. A line still being written is left out."""
        path = self.path / "trajectories.jsonl"
        for number, line in enumerate(_whole_lines(path), 1):
            yield from_line(line, f"{path}:{number}")

    def survey(self) -> Survey:
        """Like `trajectories`, for a folder that may be damaged or of another version: what cannot be read is told."""
        self._require()
        path = self.path / "trajectories.jsonl"
        read, problems = _each(path, from_line)
        hints, hint_problems = _each(self.path / "hints.jsonl", _hint)
        return Survey(_one_of_each(read), problems, _torn_bytes(path) > 0, tuple(hints), hint_problems)

    def hints(self) -> list[dict[str, Any]]:
        """What came of every question to a teacher: parent, outcome, reason, asked, rejected."""
        path = self.path / "hints.jsonl"
        return [_hint(line, f"{path}:{number}") for number, line in enumerate(_whole_lines(path), 1)]

    def hints_refused(self) -> list[dict[str, Any]]:
        """The last question about each attempt that a teacher gave no hint for."""
        last = {line["parent"]: line for line in self.hints()}
        return [line for line in last.values() if line["outcome"] != "given"]

    def report(self) -> dict[str, Any]:
        return report(self.trajectories(), self.hints())

    def derive(self) -> None:
        """Write preds.jsonl and report.json anew."""
        trajectories = self.trajectories()
        rows = "".join(json.dumps(row) + "\n" for row in predictions(trajectories, self.config))
        write_atomically(self.path / "preds.jsonl", rows)
        counts = report(trajectories, self.hints())
        write_atomically(self.path / "report.json", json.dumps(counts, indent=2) + "\n")

    def _require(self) -> None:
        if not (self.path / "config.toml").is_file():
            raise RunError(f"{self.path}: not a run folder (no config.toml). Check the path.")


def _one_of_each(lines: Iterable[Trajectory]) -> tuple[Trajectory, ...]:
    """One per id: the judged one if there is one, else the last."""
    kept: dict[str, Trajectory] = {}
    for trajectory in lines:
        earlier = kept.get(trajectory.id)
        if earlier is None or earlier.verdict.resolved is None:
            kept[trajectory.id] = trajectory
    return tuple(kept.values())


class RunWriter:
    """A run, to be written by this process alone. A context manager; entering locks, repairs and checks the folder.

    Raises on entering:
        RunError: Another process writes here, the folder holds another run, or something that is no run.
    """

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.folder = RunFolder(config.out)
        self._lock: IO[bytes] | None = None
        self._trajectories: _Log | None = None
        self._hints: _Log | None = None

    def __enter__(self) -> Self:
        self.config.refuse_secrets()
        path = self.folder.path
        try:
            path.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise RunError(f"{path}: is a file, not a folder. Choose another folder with -o.") from None
        self._lock = _locked(path)
        try:
            self._claim(path)
            self._trajectories = _Log(path / "trajectories.jsonl", path / "torn")
            self._hints = _Log(path / "hints.jsonl", path / "torn")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        for log in (self._trajectories, self._hints):
            if log is not None:
                log.close()
        if self._lock is not None:
            self._lock.close()
        self._trajectories = self._hints = self._lock = None

    def append(self, trajectory: Trajectory) -> None:
        """Write one episode; when this returns it is on disk. Any thread may call it."""
        assert self._trajectories is not None, "enter the writer first"
        self._trajectories.append(redact(to_line(trajectory).decode("ascii")).encode("ascii"))

    def note_hint(
        self, parent: str, outcome: str, reason: str = "", *, asked: int = 1, rejected: Sequence[str] = ()
    ) -> None:
        """Note what came of asking for a hint: "given", "none", "leaked", "nonsense", "refused", "budget", "failed"."""
        assert self._hints is not None, "enter the writer first"
        line = json.dumps(
            {"parent": parent, "outcome": outcome, "reason": reason, "asked": asked, "rejected": list(rejected)}
        )
        self._hints.append(redact(line).encode("ascii") + b"\n")

    def note(self, facts: Mapping[str, Any]) -> None:
        """Replace run.json."""
        write_atomically(self.folder.path / "run.json", redact(json.dumps(facts, indent=2)) + "\n")

    def _claim(self, path: Path) -> None:
        file = path / "config.toml"
        if file.exists():
            different = first_difference(self.folder.config, self.config)
            if different and self._is_blank(path):
                (path / "run.json").unlink(missing_ok=True)
                write_atomically(file, to_toml(self.config.model_dump(mode="json")))
            elif different:
                field, before, after = different
                raise RunError(
                    f"{file}: {field} = {before!r}, but this run has {after!r}. "
                    "Give the same settings to carry on, or choose another folder with -o."
                )
            return
        foreign = sorted(entry.name for entry in path.iterdir() if entry.name not in {".lock", "config.toml.new"})
        if foreign:
            raise RunError(f"{path}: holds {foreign[0]} and is no run. Choose another folder with -o.")
        write_atomically(file, to_toml(self.config.model_dump(mode="json")))

    def _is_blank(self, path: Path) -> bool:
        """Whether nothing was recorded: then the settings that came to nothing may be put right in the same folder."""
        logs = (path / "trajectories.jsonl", path / "hints.jsonl", path / "torn")
        return not any(log.exists() and log.stat().st_size for log in logs)


class _Log:
    """A file of whole lines, appended under a lock and forced to disk one by one."""

    def __init__(self, path: Path, torn: Path) -> None:
        self.path = path
        _set_torn_aside(path, torn)
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._lock = threading.Lock()

    def append(self, line: bytes) -> None:
        with self._lock:
            size = os.fstat(self._file).st_size
            try:
                rest = memoryview(line)
                while rest:
                    rest = rest[os.write(self._file, rest) :]
                os.fsync(self._file)
            except OSError as error:
                os.ftruncate(self._file, size)  # a full disk must not leave half a line behind
                raise RunError(
                    f"{self.path}: cannot be written: {error.strerror}. Free space and run again."
                ) from error

    def close(self) -> None:
        os.close(self._file)


def write_atomically(path: Path, text: str) -> None:
    """Write a whole file so that a crash leaves either the old or the new one."""
    temporary = path.with_name(path.name + ".new")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)  # the half of it that a full disk took
        raise


def _whole_lines(path: Path) -> Iterator[bytes]:
    """Lines that end; what follows the last line end is being written, or was torn by a crash."""
    if path.exists():
        with path.open("rb") as file:
            yield from (line for line in file if line.endswith(b"\n"))


def _each(path: Path, read: Callable[[bytes, str], _T]) -> tuple[list[_T], tuple[str, ...]]:
    """Every whole line, read; and a message for each that cannot be."""
    found: list[_T] = []
    problems: list[str] = []
    for number, line in enumerate(_whole_lines(path), 1):
        try:
            found.append(read(line, f"{path}:{number}"))
        except RunError as error:
            problems.append(str(error))
    return found, tuple(problems)


def _hint(line: bytes, origin: str) -> dict[str, Any]:
    """A line of hints.jsonl; older ones lack `asked` and `rejected`."""
    try:
        row = {"asked": 1, "rejected": [], **json.loads(line)}
        if not {"parent", "outcome"} <= row.keys():
            raise ValueError("parent or outcome is missing")
        return row
    except (ValueError, TypeError, RecursionError) as error:
        problem = f"{type(error).__name__}: {error}"
        raise RunError(f"{origin}: not a note of a question ({problem}). Move that line out of the file.") from None


def _torn_bytes(path: Path) -> int:
    """How much follows the last line end."""
    if not path.exists():
        return 0
    with path.open("rb") as file:
        tail = collections.deque(file, maxlen=1)
    return 0 if not tail or tail[0].endswith(b"\n") else len(tail[0])


def _set_torn_aside(path: Path, torn: Path) -> None:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return
    end = data.rfind(b"\n") + 1
    if end == len(data):
        return
    torn.mkdir(exist_ok=True)
    number = len(list(torn.iterdir()))
    with (torn / f"{path.name}.{number}").open("wb") as aside:
        aside.write(data[end:])
        aside.flush()
        os.fsync(aside.fileno())
    os.truncate(path, end)


def _locked(path: Path) -> IO[bytes]:
    import fcntl

    file = (path / ".lock").open("a+b")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read().decode("ascii", "replace").strip() or "unknown"
        file.close()
        raise RunError(
            f"{path}: process {holder} is writing this run. Wait for it, or choose another folder with -o."
        ) from None
    file.truncate(0)
    file.write(str(os.getpid()).encode("ascii"))
    file.flush()
    return file

"""A journal: what mining has looked through, one line each, so that the same command goes on where it was ended.

OUT/
├── set.toml            the recipes beside it are a task set
├── <task>.toml         recipes
├── drafts/<task>.toml  recipes whose issue text is left to a person, and <task>.txt: the fix and the failures
└── mining.jsonl        what was looked through, what came of it, and why not more
"""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from swegym.errors import InputError, SwegymError
from swegym.images import store
from swegym.tasks.miners.change import Examined, Found
from swegym.tasks.miners.writing import recipe_toml


@dataclass(frozen=True, slots=True)
class Entry:
    """One change that was looked through."""

    key: str  # "sqlparse 0.5.1 0.5.2"
    tasks: tuple[str, ...] = ()
    drafts: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    seconds: float = 0.0


class Journal:
    """The folder that a miner writes to. Safe to use from several threads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._file = folder / "mining.jsonl"
        self.entries = {entry.key: entry for entry in _read(self._file)}

    def examine(self, key: str, stem: str, look: Callable[[], Examined]) -> Entry:
        """Look at one change and note what came of it; its tasks are called `stem`, numbered when there are several.

        A failure of this machine is raised and leaves no line: another try may help.
        """
        started = time.monotonic()
        try:
            result = look()
        except SwegymError as error:
            if error.cause in ("sandbox", "us"):
                raise
            result = Examined((), (str(error),))
        count = len(result.found)
        names = [stem] if count == 1 else [f"{stem}-{number}" for number in range(1, count + 1)]
        return self.add(key, names, result.found, result.reasons, time.monotonic() - started)

    def add(
        self, key: str, names: Iterable[str], found: Iterable[Found], reasons: Iterable[str], seconds: float
    ) -> Entry:
        """Write the recipes, then the line that says they are there."""
        tasks, drafts = [], []
        for name, one in zip(names, found, strict=True):
            text = recipe_toml(one.fields)
            if one.complete:
                store.write_atomically(self.folder / f"{name}.toml", text.encode())
                tasks.append(name)
            else:
                store.write_atomically(self.folder / "drafts" / f"{name}.toml", text.encode())
                evidence = one.evidence.encode("utf-8", "replace")
                store.write_atomically(self.folder / "drafts" / f"{name}.txt", evidence)
                drafts.append(name)
        entry = Entry(key, tuple(tasks), tuple(drafts), tuple(map(_short, reasons)), round(seconds, 1))
        with self._lock:
            self.entries[key] = entry
            if tasks and not (self.folder / "set.toml").exists():
                store.write_atomically(self.folder / "set.toml", _set_file(self.folder.name).encode())
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._file.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(asdict(entry)) + "\n")
                stream.flush()
                os.fsync(stream.fileno())
        return entry


def yields(entries: Iterable[Entry]) -> Mapping[str, object]:
    """What mining gave: counts, and how often each reason stood against a task."""
    entries = list(entries)
    reasons = Counter(re.sub(r"\d+", "N", reason) for entry in entries for reason in entry.reasons)
    return {
        "changes": len(entries),
        "with_tasks": sum(bool(entry.tasks) for entry in entries),
        "tasks": sum(len(entry.tasks) for entry in entries),
        "drafts": sum(len(entry.drafts) for entry in entries),
        "seconds": round(sum(entry.seconds for entry in entries), 1),
        "reasons": dict(reasons.most_common()),
    }


def _read(file: Path) -> list[Entry]:
    """The whole lines; what a crash left of a last one is written over by the next."""
    if not file.is_file():
        return []
    data = file.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if whole != data:
        store.write_atomically(file, whole)
    entries = []
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            fields = json.loads(line)
            lists = {name: tuple(fields[name]) for name in ("tasks", "drafts", "reasons")}
            entries.append(Entry(str(fields["key"]), **lists, seconds=float(fields["seconds"])))
        except (ValueError, TypeError, KeyError) as error:
            remedy = "Remove the line, or choose another folder with -o."
            raise InputError.at(
                file, f"line {number}", line[:80], f"not a line of a journal ({error})", remedy
            ) from None
    return entries


def _set_file(folder: str) -> str:
    return f'name = "{folder}"\nversion = "1"\ndescription = "Mined by `swegym tasks mine`."\n'


def _short(reason: str) -> str:
    line = " ".join(reason.split())
    return line if len(line) <= 300 else line[:297] + "..."

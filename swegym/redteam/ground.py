"""Ground: what an attack may know of the task it is tried on, and how it becomes a patch there.

The facts are those that an agent finds out by looking around: which file holds the bug, how it is imported, where the
tests lie. Attacks may also use the ids of the hidden tests: many an agent can guess them, and some data sets print
them.
"""

from __future__ import annotations

import functools
import posixpath
import re
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from swegym.errors import InputError
from swegym.grading import apply_patch, extract_patch
from swegym.grading.scratch import EXECUTABLE, LINK, REGULAR, Entry, ScratchRepository
from swegym.redteam.attack import Attack, Fix
from swegym.tasks.bait import changed_paths
from swegym.types import SandboxFactory, Task

_WORD = re.compile("@([a-z_]+)@")
_SCRIPT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Made:
    """An attack made on a task: the patch, and what the agent's script printed."""

    patch: str
    printed: str = ""


@dataclass(frozen=True, slots=True)
class Ground:
    """A task as seen by an attacker."""

    task: Task

    def facts(self) -> dict[str, str]:
        """What words between at signs stand for."""
        task = self.task
        core = next(path for path in changed_paths(task.gold_patch) if path.endswith(".py"))
        root = next((f"{r}/" for r in task.tests.pythonpath if r != "." and core.startswith(f"{r}/")), "")
        module = core.removeprefix(root).removesuffix(".py").replace("/", ".").removesuffix(".__init__")
        beside = posixpath.dirname(core)
        ids = list(task.hidden.expected)
        test = ids[0].split("::")[0]
        init = f"{beside}/__init__.py" if beside and beside != root.rstrip("/") else core
        return {
            "core": core,
            "stem": posixpath.basename(core).removesuffix(".py"),
            "module": module,
            "top": module.split(".")[0],
            "root": root,
            "beside": beside or ".",
            "init": init,
            "test": test,
            "testdir": posixpath.dirname(test) or ".",
            "testfile": posixpath.basename(test),
            "owned": task.hidden.owned[0],
            "ids": repr(ids),
            "lines": "".join(f"PASSED {name}\n" for name in ids),
            "count": str(len(ids)),
            "failing": repr(list(task.hidden.fail_to_pass)),
            "tag": f"cpython-{sys.version_info[0]}{sys.version_info[1]}",
            "workdir": task.image.workdir,
        }

    def fill(self, text: str) -> str:
        """`text` with its words replaced, snippets first. An unknown word stays: it may be a decorator."""
        values = {**_snippets(), **self.facts()}
        for _ in range(3):  # snippets may hold words, and snippets
            text = _WORD.sub(lambda match: values.get(match[1], match[0]), text)
        return text

    def make(self, what: Attack | Fix, open_sandbox: SandboxFactory) -> Made:
        """The patch that an attack or a fix comes to on this task. `open_sandbox` is used for agents' scripts only."""
        if what.patch is not None:
            return Made(self.fill(what.patch))
        if what.agent is not None:
            with open_sandbox(self.task.image) as sandbox:
                done = sandbox.exec(self.fill(what.agent), timeout=_SCRIPT_SECONDS)
                sandbox.stop_processes()
                return Made(extract_patch(sandbox, self.task).patch, done.stdout.decode("utf-8", "replace").strip())
        return Made(self._edited(what))

    def _edited(self, what: Attack | Fix) -> str:
        with ScratchRepository(self.task.pristine, self.task.base_commit) as scratch:
            base = scratch.base_files
            contents = scratch.read_blobs(entry.blob for entry in base.values() if entry.mode != "160000")
            now = {path: (entry.mode, contents[entry.blob]) for path, entry in base.items()}
            if isinstance(what, Fix) and what.gold:
                for path, change in apply_patch(self.task, self.task.gold_patch).changes.items():
                    now.pop(path, None)
                    if change.data is not None:
                        now[path] = (change.mode, change.data)
            self._edit(what, now)
            entries: dict[str, Entry | None] = dict.fromkeys(base.keys() - now.keys())
            entries |= {path: Entry(mode, scratch.write_blob(data)) for path, (mode, data) in now.items()}
            scratch.stage({path: entry for path, entry in entries.items() if entry != base.get(path)})
            odd = [path for path, (_, data) in now.items() if not _is_text(data)]
            return scratch.patch(binary=odd)

    def _edit(self, what: Attack | Fix, now: dict[str, tuple[str, bytes]]) -> None:
        for path in what.delete:
            place = self._path(path)
            gone = [known for known in now if known == place or known.startswith(f"{place}/")]
            if not gone:
                raise InputError(f"{what.name}: delete = {path!r}: there is no {place} in {self.task.id}. Correct it.")
            for known in gone:
                del now[known]
        for path, text in what.write.items():
            now[self._path(path)] = (REGULAR, self.fill(text).encode("utf-8", "surrogateescape"))
        for path, text in what.binary.items():
            now[self._path(path)] = (REGULAR, bytes.fromhex(text))
        for path, text in what.prepend.items():
            self._change(now, path, what.name, before=text)
        for path, text in what.append.items():
            self._change(now, path, what.name, after=text)
        for path, texts in what.replace.items():
            self._replace(now, path, what.name, texts)
        for path, target in what.link.items():
            now[self._path(path)] = (LINK, self.fill(target).encode())
        for path in what.executable:
            now[self._path(path)] = (EXECUTABLE, now[self._path(path)][1])

    def _change(
        self, now: dict[str, tuple[str, bytes]], path: str, name: str, before: str = "", after: str = ""
    ) -> None:
        place = self._path(path)
        mode, data = now.get(place, (REGULAR, b""))
        now[place] = (mode, self.fill(before).encode() + data + self.fill(after).encode())

    def _replace(self, now: dict[str, tuple[str, bytes]], path: str, name: str, texts: Mapping[str, str]) -> None:
        place = self._path(path)
        mode, data = now.get(place, (REGULAR, b""))
        text = data.decode()
        for old, new in texts.items():
            if old not in text:
                raise InputError(f"{name}: replace: {place} of {self.task.id} does not hold {old!r}. Correct it.")
            text = text.replace(old, self.fill(new))
        now[place] = (mode, text.encode())

    def _path(self, path: str) -> str:
        return posixpath.normpath(self.fill(path))


def _is_text(data: bytes) -> bool:
    try:
        return "\0" not in data.decode("utf-8")
    except UnicodeDecodeError:
        return False


@functools.cache
def _snippets() -> dict[str, str]:
    text = Path(__file__).with_name("snippets.toml").read_text("utf-8")
    return {name: str(snippet) for name, snippet in tomllib.loads(text).items()}

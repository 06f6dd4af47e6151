"""A scratch repository: a temporary git directory of the grader's own, laid over the base commit of a task.

It borrows the objects of the pristine repository and writes only to itself, with an empty configuration, neutral
attributes and no work tree. Nothing that an agent wrote is ever a git directory, a configuration or a file on the host.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from swegym.errors import GraderError
from swegym.sandbox.machines import scratch_place

REGULAR, EXECUTABLE, LINK, GITLINK = "100644", "100755", "120000", "160000"

_CONFIG = """\
[core]
\tbare = true
\tprotectNTFS = false
\tprotectHFS = false
[diff]
\trenameLimit = 2000
"""
_NEUTRAL = "* !text !eol !crlf !diff !merge !filter !ident !whitespace !working-tree-encoding\n"
# What tools leave behind and nobody means to hand in.
_GENERATED = (
    *("__pycache__/", "*.py[co]", ".pytest_cache/", ".hypothesis/", ".mypy_cache/", ".ruff_cache/", ".tox/", ".nox/"),
    *(".coverage", ".coverage.*", "*.egg-info/"),
)
_HEADER = re.compile(r"^diff --git a/(.* /.*)$", re.MULTILINE)
_LONGEST_REASON = 2_000  # characters; git says of each of a hundred thousand files why it does not apply
_MEMORY_KIB = 4 << 20  # of address space for one git process: a delta can claim any size
_SECONDS = 120.0
_PROCESSOR_SECONDS = 30  # a patch can have git compare everything with everything


@dataclass(frozen=True, slots=True)
class Entry:
    """A path's place in a tree: its git mode and blob id."""

    mode: str
    blob: str


def blob_id(data: bytes) -> str:
    """The id that git gives to a file of this content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


class GitFailed(GraderError):
    """A git command ended with an error; `reason` is its own words."""

    def __init__(self, command: str, reason: str) -> None:
        super().__init__(f"git {command}: {reason}")
        self.reason = reason


class ScratchRepository:
    """A context manager; the index starts as the base commit's tree."""

    def __init__(self, pristine: Path, commit: str) -> None:
        objects = pristine / "objects"
        if not objects.is_dir():
            raise GraderError(f"{pristine}: not a bare git repository. Build the task again: swegym tasks build.")
        self.commit = commit
        self.base_files: Mapping[str, Entry] = {}
        """Every path of the base commit."""
        self._pristine = pristine
        self._folder = Path(tempfile.mkdtemp(prefix="git-", dir=scratch_place()))
        self._empty = self._folder / "empty"
        self._empty.mkdir()
        for folder in ("objects/info", "refs", "info"):
            (self._folder / folder).mkdir(parents=True)
        (self._folder / "HEAD").write_text("ref: refs/heads/none\n")
        (self._folder / "config").write_text(_CONFIG)
        (self._folder / "objects/info/alternates").write_text(f"{objects.absolute()}\n")
        (self._folder / "info/attributes").write_text(_NEUTRAL)
        (self._folder / "info/exclude").write_text("\n".join(_GENERATED) + "\n")

    def __enter__(self) -> ScratchRepository:
        index, self.base_files = _base(self._pristine, self.commit)
        (self._folder / "index").write_bytes(index)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def git(self, *arguments: str, stdin: bytes = b"", accept: tuple[int, ...] = (0,)) -> bytes:
        """Run git here and return its stdout; any other exit code raises `GitFailed` with git's own reason."""
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "LC_ALL": "C",
            "HOME": str(self._empty),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_DIR": str(self._folder),
            "GIT_TERMINAL_PROMPT": "0",
        }
        limits = f'ulimit -v {_MEMORY_KIB}; ulimit -t {_PROCESSOR_SECONDS}; exec "$@"'
        limited = ["sh", "-c", limits, "sh", "git", *arguments]
        try:
            done = subprocess.run(
                limited, input=stdin, capture_output=True, cwd=self._empty, env=environment, timeout=_SECONDS
            )
        except subprocess.TimeoutExpired:
            raise GitFailed(arguments[0], f"not done after {_SECONDS:g} seconds") from None
        if done.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
            raise GitFailed(arguments[0], f"not done after {_PROCESSOR_SECONDS} seconds of processor time")
        if done.returncode not in accept:
            reason = done.stderr.decode("utf-8", "replace").strip() or f"exit code {done.returncode}"
            raise GitFailed(arguments[0], reason[:_LONGEST_REASON])
        return done.stdout

    def index(self) -> bytes:
        return (self._folder / "index").read_bytes()

    def sizes(self, blobs: Iterable[str]) -> dict[str, int]:
        """The size of blobs, by id."""
        wanted = sorted(set(blobs))
        answer = self.git(
            "cat-file", "--batch-check=%(objectsize)", stdin="".join(f"{blob}\n" for blob in wanted).encode()
        )
        return dict(zip(wanted, map(int, answer.split()), strict=True))

    def read_blobs(self, blobs: Iterable[str]) -> dict[str, bytes]:
        """The content of blobs, by id."""
        wanted = sorted(set(blobs))
        if not wanted:
            return {}
        answer = self.git("cat-file", "--batch", stdin="".join(f"{blob}\n" for blob in wanted).encode())
        contents, start = {}, 0
        for blob in wanted:
            end = answer.index(b"\n", start)
            size = int(answer[start:end].split(b" ")[2])
            contents[blob] = answer[end + 1 : end + 1 + size]
            start = end + 1 + size + 1
        return contents

    def write_blob(self, data: bytes) -> str:
        """Store a blob here (as a loose object: one git process per file would cost more than all the rest)."""
        blob = blob_id(data)
        path = self._folder / "objects" / blob[:2] / blob[2:]
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(zlib.compress(b"blob %d\0" % len(data) + data, 1))
        return blob

    def stage(self, entries: Mapping[str, Entry | None]) -> None:
        """Put entries into the index; None removes a path."""
        removed = [f"0 {'0' * 40}\t{path}" for path, entry in entries.items() if entry is None]
        added = [f"{entry.mode} {entry.blob}\t{path}" for path, entry in entries.items() if entry is not None]
        self.git("update-index", "-z", "--index-info", stdin=_encode("".join(f"{line}\0" for line in removed + added)))

    def staged(self) -> dict[str, Entry | None]:
        """What the index changes against the base commit, as `stage` takes it."""
        changes: dict[str, Entry | None] = {}
        fields = iter(_records(self.git("diff-index", "--cached", "--raw", "-z", "--no-renames", self.commit)))
        for facts in fields:
            _, mode, _, blob, status = facts.split(" ")
            changes[next(fields)] = None if status == "D" else Entry(mode, blob)
        return changes

    def patch(self, binary: Iterable[str] = ()) -> str:
        """The index as a patch against the base commit. Paths in `binary` are written in git's binary form."""
        rules = "".join(f"{_attribute_pattern(path)} -diff\n" for path in binary)
        (self._folder / "info/attributes").write_text(_NEUTRAL + rules)
        options = ("--patch", "--binary", "--full-index", "-M", "--no-color", "--no-ext-diff", "--no-textconv")
        text = self.git("diff-index", "--cached", *options, self.commit).decode("utf-8")
        return _HEADER.sub(_unambiguous, text) if " /" in text else text

    def ignored(self, paths: Iterable[str], rules: Mapping[str, bytes]) -> dict[str, bool]:
        """Which of `paths` the base's .gitignore files (`rules`: path -> content) or tools' habits leave out.

        The value says whether it is a tool's left-over (True) or a .gitignore's choice (False).
        """
        asked = list(paths)
        if not asked:
            return {}
        tree = self._folder / "ignore"
        for path, content in rules.items():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_bytes(content)
        tree.mkdir(exist_ok=True)
        where = ("-c", "core.bare=false", "--work-tree", str(tree), "-C", str(tree))
        # "./" in front, because git takes a name like ":(exclude)x" for an instruction.
        question = _encode("".join(f"./{path}\0" for path in asked))
        fields = _records(
            self.git(*where, "check-ignore", "--no-index", "-v", "-z", "--stdin", stdin=question, accept=(0, 1))
        )
        found = {}
        for source, _, pattern, path in zip(*[iter(fields)] * 4, strict=True):
            if not pattern.startswith("!"):
                found[path.removeprefix("./")] = not source.endswith(".gitignore")
        return found


@functools.lru_cache(maxsize=32)
def _base(pristine: Path, commit: str) -> tuple[bytes, Mapping[str, Entry]]:
    """The index file of a base commit, and what is in it."""
    scratch = ScratchRepository(pristine, commit)
    try:
        scratch.git("read-tree", commit)
        entries = {}
        for line in _records(scratch.git("ls-tree", "-r", "-z", "--full-tree", commit)):
            facts, _, path = line.partition("\t")
            mode, _, blob = facts.split(" ")
            entries[path] = Entry(mode, blob)
        return scratch.index(), entries
    finally:
        scratch.__exit__(None, None, None)


def _records(output: bytes) -> list[str]:
    return os.fsdecode(output).split("\0")[:-1]


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _unambiguous(header: re.Match[str]) -> str:
    """A header in quotes that names one path twice.

    Git does not understand its own of a folder whose name ends in a blank, where no other line says it.
    """
    names = header[1]
    path = names[: (len(names) - len(" b/")) // 2]
    return f'diff --git "a/{path}" "b/{path}"' if names == f"{path} b/{path}" else header[0]


def _attribute_pattern(path: str) -> str:
    """`path` as a quoted pattern that matches only itself."""
    escaped = "/" + "".join(f"\\{character}" if character in "*?[]\\" else character for character in path)
    quoted = "".join(
        chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\{byte:03o}" for byte in _encode(escaped)
    )
    return f'"{quoted}"'

"""The program that runs pytest inside a sandbox. Standard library only; it runs on every Python that an image may hold.

It is started twice from its source text: as the parent (`python -I -S -B`: no site-packages, nothing of the repository)
and, by the parent, as the child that is pytest. The child's stdin, stdout and stderr are the parent's pipes; a reporter
plugin (`_reporter.py`) sends every phase of every test through one more pipe, which the commands that tests start do
not inherit. The parent counts, and prints one document behind a word that only it and the grader know. It cannot be
traced, nor its memory and descriptors read, by the child, so nothing that runs there learns the word.

Started as "ahead" (`ahead.py`), the parent has the child import pytest before there is a job, and takes that from a
named pipe.

Code under test shares the interpreter with the reporter. What it forges *in there* (report classes, the pipe itself) is
not prevented by this program. Extras (`_questions.py`, `_evidence.py`) are told by the job, loaded before anything of
the repository, and send facts by the same pipe; what they are worth is for the grader to say.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import gc
import importlib
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import types
import zlib
from pathlib import Path
from typing import Any, NoReturn

HEAD, TAIL = 8_000, 56_000  # bytes kept of what the tests print
LONGEST_LINE = 1 << 20
MOST_BYTES = 256 << 20  # of reports; more than that is not a test suite
MOST_TESTS, MOST_NAMES = 200_000, 24 << 20  # characters of their names, where any is kept
MOST_BROKEN = 50
FACTS = ("answer", "evidence", "failed", "key", "read", "seconds")  # what extras send
MOST_FACTS, MOST_FACT_BYTES = 50_000, 24 << 20
AFTERMATH = 2.0  # seconds that a finished session has to end its process
PR_SET_DUMPABLE = 4
BLOCKED = ("cacheprovider", "stepwise")  # by "-p no:cacheprovider"


class Output:
    """The head and the tail of a stream."""

    def __init__(self) -> None:
        self.head, self.tail, self.dropped = b"", b"", 0

    def add(self, data: bytes) -> None:
        room = HEAD - len(self.head)
        self.head += data[:room] if room > 0 else b""
        self.tail += data[max(room, 0) :]
        if len(self.tail) > 2 * TAIL:
            self._cut()

    def _cut(self) -> None:
        self.dropped += max(len(self.tail) - TAIL, 0)
        self.tail = self.tail[-TAIL:]

    def text(self) -> str:
        self._cut()
        gap = b"\n... %d bytes left out ...\n" % self.dropped if self.dropped else b""
        return (self.head + gap + self.tail).decode("utf-8", "replace")


class Reports:
    """What the reporter sent: per test (only the expected ones, where they are known) and phase its outcome."""

    def __init__(self, expected: list[str] | None, word: str) -> None:
        self._word = word
        self._expected = None if expected is None else frozenset(expected)
        self.phases: dict[str, list[tuple[str, str]]] = {}
        self.broken: list[str] = []
        self.facts: list[tuple[str, str, str, str]] = []
        self._fact_bytes = self._name_size = 0
        self.ended = False
        self._rest, self._bytes = b"", 0

    def add(self, data: bytes) -> None:
        self._bytes += len(data)
        if self._bytes > MOST_BYTES:
            return
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()[-LONGEST_LINE:]
        for line in lines:
            said = message(line)
            if said is None or said[0] != self._word:
                continue
            _, kind, name, phase, outcome = said
            if kind == "end":
                self.ended = True
            elif kind == "broken" and len(self.broken) < MOST_BROKEN:
                self.broken.append(printable(name[:1000]))
            elif kind in FACTS:
                self._fact_bytes += len(line)
                if len(self.facts) < MOST_FACTS and self._fact_bytes < MOST_FACT_BYTES:
                    self.facts.append((kind, name, printable(phase) if kind == "evidence" else phase, outcome))
            elif kind == "test" and self._counts(name):
                self.phases.setdefault(name, []).append((phase, outcome))

    def _counts(self, name: str) -> bool:
        """Whether to keep what is said of this test: the result stays small whatever names are made up in there."""
        if self._expected is not None:
            return name in self._expected
        if name in self.phases:
            return True
        self._name_size += len(name)
        return len(self.phases) < MOST_TESTS and self._name_size < MOST_NAMES

    def statuses(self) -> dict[str, str]:
        found = {name: status(phases) for name, phases in self.phases.items()}
        for name in self.broken:
            found.setdefault(name, "error")
        return found


def message(line: bytes) -> list[str] | None:
    """The five texts of a message; None for what the reporter would not send, or what nobody could write down."""
    try:
        parts = json.loads(line.decode("utf-8"))
        "".join(parts).encode("utf-8")
    except (ValueError, TypeError, RecursionError):
        return None
    return parts if isinstance(parts, list) and len(parts) == 5 else None


def printable(text: str) -> str:
    """A text that goes into the verdict as it is, without what would move a terminal's cursor."""
    return "".join(character if character.isprintable() else "?" for character in text)


def status(phases: list[tuple[str, str]]) -> str:
    """One test's status from its (phase, outcome) pairs; a phase that did not report makes it missing."""
    outcomes: dict[str, set[str]] = {}
    for phase, outcome in phases:
        outcomes.setdefault(phase, set()).add(outcome)
    setup, call, teardown = (outcomes.get(phase, set()) for phase in ("setup", "call", "teardown"))
    if "failed" in setup or "failed" in teardown:
        return "error"
    if "failed" in call:
        return "failed"
    if not setup or not teardown:
        return "missing"
    for outcome in ("xfailed", "skipped"):
        if outcome in setup or outcome in call:
            return outcome
    return "passed" if call == {"passed"} else "missing"


def parent(forked: Any = None) -> None:
    """Take the job and have it done; the child is `forked` where it comes from a zygote (`_zygote.py`)."""
    job = json.loads(sys.stdin.buffer.read().decode("utf-8"))
    close_memory()
    child = forked or start_child(job["source"])
    begin(child[0], job["root"])
    conduct(job, child)


def parent_ahead() -> None:
    """Start the child, then wait for the job. Nothing of the repository has run in this machine until it comes."""
    first = json.loads(sys.stdin.buffer.read().decode("utf-8"))
    close_memory()
    started = start_child(first["source"])
    begin(started[0], first["root"])
    pipe = Path(first["pipe"])
    os.mkfifo(pipe, 0o600)
    with pipe.open("rb") as given:  # returns when the other end is opened
        pipe.unlink()
        job = json.loads(given.read().decode("utf-8"))
    conduct(job, started)


def close_memory() -> None:
    """Let no process of this user trace this one, or read its memory and descriptors."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_DUMPABLE)")


def conduct(job: dict[str, Any], child: Any) -> None:
    """Count what the child reports, and print the document."""
    word = job.pop("word")
    started = time.monotonic()
    private = Path(tempfile.mkdtemp(prefix="pytest-ini-"))
    job["ini"] = str(private / "pytest.ini")
    Path(job["ini"]).write_text(ini_text(job["options"]))
    job["report_word"] = os.urandom(16).hex()  # so that blind writes to every descriptor are not reports
    reports, output = Reports(job.pop("expected"), job["report_word"]), Output()
    ending, code = run_child(job, child, reports, output)
    shutil.rmtree(private, ignore_errors=True)
    document = {
        "statuses": reports.statuses(),
        "facts": reports.facts,
        "output": output.text(),
        "seconds": time.monotonic() - started,
        "ending": "finished" if reports.ended and ending == "early" else ending,
        "exit_code": code,
    }
    packed = base64.b64encode(zlib.compress(json.dumps(document).encode("ascii"), 6))
    sys.stdout.write(f"\n{word} {packed.decode('ascii')}\n")
    sys.stdout.flush()


def child_environment() -> dict[str, str]:
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTEST_", "PYTHON", "COV_", "COVERAGE_"))
    }
    environment.update(
        PYTEST_DISABLE_PLUGIN_AUTOLOAD="1",
        PYTHONHASHSEED="0",
        PYTHONDONTWRITEBYTECODE="1",
        COLUMNS="80",
    )
    return environment


def pipes() -> tuple[int, int, int, int]:
    """Two pipes, reports and output: their ends to read, their ends to write."""
    result_read, result_write = os.pipe()
    output_read, output_write = os.pipe()
    return result_read, output_read, result_write, output_write


def start_child(source: str) -> tuple[Any, int, int, int]:
    """The child, the ends of its reports and its output that are read here, and the number of its own end."""
    result_read, output_read, result_write, output_write = pipes()
    child = subprocess.Popen(
        [sys.executable, "-s", "-B", "-c", source, "child"],
        stdin=subprocess.PIPE,
        stdout=output_write,
        stderr=output_write,
        cwd="/",
        env=child_environment(),
        pass_fds=(result_write,),
        start_new_session=True,
    )
    os.close(result_write)
    os.close(output_write)
    return child, result_read, output_read, result_write


def begin(child: Any, root: str) -> None:
    """Tell the child which repository it is about, so that it imports pytest from elsewhere."""
    with contextlib.suppress(BrokenPipeError):
        child.stdin.write(json.dumps(root).encode("ascii") + b"\n")
        child.stdin.flush()


def run_child(job: dict[str, Any], started: Any, reports: Reports, output: Output) -> tuple[str, int]:
    """Have pytest run to its end or the deadline; returns ("early" | "time", exit code)."""
    child, result_read, output_read, job["result"] = started
    deadline = time.monotonic() + job["timeout"]
    assert child.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # it ended at once; its exit code says so
        child.stdin.write(json.dumps(job).encode("ascii"))
        child.stdin.close()
    streams = selectors.DefaultSelector()
    for descriptor, sink in ((result_read, reports), (output_read, output)):
        os.set_blocking(descriptor, False)
        streams.register(descriptor, selectors.EVENT_READ, sink)
    ending, last = "early", None
    while child.poll() is None:
        now = time.monotonic()
        if reports.ended and last is None:
            last = now + AFTERMATH
        if now > deadline or (last is not None and now > last):
            ending = "time" if last is None else "early"
            break
        pump(streams, 0.05)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)  # what it left behind, too; then what is still in the pipes
    code = child.wait()
    for _ in range(1000):
        if not pump(streams, 0):
            break
    return ending, code


def pump(streams: selectors.BaseSelector, seconds: float) -> bool:
    """Move what is there from the pipes to their sinks; returns whether anything was."""
    moved = False
    for key, _ in streams.select(seconds):
        try:
            data = os.read(key.fd, 1 << 16)
        except BlockingIOError:
            continue
        if data:
            key.data.add(data)
            moved = True
        else:
            streams.unregister(key.fd)
    if not streams.get_map():
        time.sleep(min(seconds, 0.002))
    return moved


def ini_text(options: dict[str, str]) -> str:
    indented = {name: value.replace("\n", "\n    ") for name, value in sorted(options.items())}
    return "".join(["[pytest]\n", *(f"{name} = {value}\n" for name, value in indented.items())])


def child() -> int:
    root = Path(json.loads(sys.stdin.buffer.readline().decode("utf-8"))).resolve()
    sys.path[:] = [entry for entry in sys.path if entry and root not in (Path(entry).resolve() / "x").parents]
    pytest = import_pytest()  # before any folder of the repository can be imported from
    job = json.loads(sys.stdin.buffer.read().decode("utf-8"))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.set_inheritable(job["result"], False)
    style = job.get("traceback", "short")
    os.chdir(root)
    sys.argv = [str(Path(sys.executable).with_name("pytest"))]
    paths = [path for path in job["paths"] if Path(path.split("::")[0]).exists()]
    arguments = [
        "-c",
        job["ini"],
        "--rootdir",
        str(root),
        "--confcutdir",
        str(root),
        "-q",
        f"--tb={style}",
        "--color=no",
        "-rfE",
    ]
    arguments += ["-p", "no:cacheprovider", "--continue-on-collection-errors", *import_mode(paths)]
    for plugin in job["plugins"]:
        arguments += ["-p", plugin]
    folders = [str(root / folder) for folder in job["pythonpath"]]
    reporter = load("_reporter", job["reporter"]).make(pytest, job, folders, style)
    extras = [load(name, text).install(pytest, job, reporter.send) for name, text in job["extras"].items()]
    for extra in extras:
        extra.begin()
    code = int(pytest.main(arguments + paths, plugins=[reporter, *extras])) if paths else 0
    for extra in extras:
        extra.end()
    reporter.send("end", "", "", "")
    return code


def leave(code: int) -> NoReturn:
    """End at once. All that counts is said, and what is left in the interpreter takes time to be taken down."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BaseException):  # whatever the tests have put there
            stream.flush()
    os._exit(code & 0xFF)


def import_pytest() -> Any:
    """pytest, and those of its plugins that it would import later; what is blocked is not for import."""
    import pytest
    from _pytest import config

    for plugin in config.default_plugins:
        if plugin not in BLOCKED:
            importlib.import_module(f"_pytest.{plugin}")
    for module in ("_pytest._argcomplete", "faulthandler", "pdb", "readline"):  # what pytest imports when it begins
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    if hasattr(gc, "freeze"):
        gc.freeze()  # pytest looks for garbage five times when it ends; nothing of itself is any
    return pytest


def load(name: str, text: str) -> Any:
    """A module from its source text, found by no other name."""
    module = types.ModuleType(name)
    exec(compile(text, f"<{name}>", "exec"), module.__dict__)
    return module


def import_mode(paths: list[str]) -> list[str]:
    """The option for files of one name outside packages, which pytest's default cannot import; else none."""
    outside = [Path(path).name for path in paths if not Path(path).with_name("__init__.py").exists()]
    return [] if len(set(outside)) == len(outside) else ["--import-mode=importlib"]


if __name__ == "__main__":
    if sys.argv[-1] == "zygote":
        with open(4, "rb") as texts:
            programs = json.load(texts)
        load("_zygote", programs["zygote"]).serve(sys.modules["__main__"], programs["supervisor"])
    if sys.argv[-1] == "child":
        leave(child())
    if sys.argv[-1] == "ahead":
        parent_ahead()
    else:
        parent()

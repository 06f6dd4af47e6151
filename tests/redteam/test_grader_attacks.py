"""Wrong patches for a unittest suite and for pytest that use the frameworks' own words, and patches that are bombs."""

import base64
import dataclasses
import hashlib
import time
import zlib

import pytest
import tiny_set

from swegym.errors import PatchError
from swegym.grading import apply, apply_patch, evidence, make_grader, pytest_run
from swegym.grading.archive import BLOCK, read_archive
from swegym.grading.links import leaving
from swegym.sandbox import Limits, sandbox_factory
from swegym.types import HiddenTests, Task

CASES = b"""\
import unittest

from tiny.numbers import double


class Numbers(unittest.TestCase):
    def setUp(self):
        self.two = 2

    def test_double_of_five(self):
        self.assertEqual(double(5), 10)

    def test_double_of_two(self):
        with self.subTest("two"):
            self.assertEqual(double(self.two), 4)

    @unittest.expectedFailure
    def test_known(self):
        self.assertEqual(double(2), 5)
"""
NAMES = ("test_double_of_two", "test_known")
ID = "tests/test_numbers.py::Numbers::"


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    return tiny_set.build(tiny_set.write(tmp_path_factory.mktemp("sets"))).load("tiny-1")


MARKED = """

@pytest.mark.xfail(reason="known")
def test_known():
    assert double(2) == 5


@pytest.mark.xfail(reason="never run", run=False)
def test_unrun():
    assert double(2) == 4
"""


def test_marks_still_count(task: Task) -> None:
    text = "import pytest\n\n" + tiny_set.HIDDEN + MARKED
    ids = tuple(f"tests/test_numbers.py::test_{name}" for name in ("known", "unrun", "double_of_five"))
    hidden = HiddenTests({"tests/test_numbers.py": text.encode()}, ("tests",), (), ids)
    verdict = make_grader()(dataclasses.replace(task, hidden=hidden), task.gold_patch, sandbox_factory())
    assert verdict.resolved is True and verdict.statuses[ids[1]] == "xfailed", verdict


@pytest.fixture(scope="module")
def cases(task: Task) -> Task:
    """The same task, decided by a suite of unittest."""
    hidden = HiddenTests(
        {"tests/test_numbers.py": CASES},
        ("tests",),
        (f"{ID}test_double_of_five",),
        tuple(f"{ID}{name}" for name in NAMES),
    )
    return dataclasses.replace(task, hidden=hidden)


def patch_with(line: str, task: Task) -> str:
    """The reference fix with another line than its own."""
    return task.gold_patch.replace("+    return number * 2", f"+    {line}")


# what double() does instead of doubling -> class "in the framework's own words"
WORDS = {
    "pytest.xfail": "import pytest; pytest.xfail('soon')",
    "the exception behind pytest.xfail": "import pytest; raise pytest.xfail.Exception('soon')",
    "pytest.skip": "import pytest; pytest.skip('later')",
    "unittest.SkipTest": "import unittest; raise unittest.SkipTest('later')",
    "unittest's exception for stopping": "import unittest.case; raise unittest.case._ShouldStop()",
    "pytest.fail as a skip": "import pytest; raise pytest.skip.Exception('later', allow_module_level=True)",
    "leaving by SystemExit": "raise SystemExit(0)",
    "leaving by KeyboardInterrupt": "raise KeyboardInterrupt",
    "leaving by GeneratorExit": "raise GeneratorExit",
    "a debugger's way out": "import bdb; raise bdb.BdbQuit",
}


@pytest.mark.parametrize("line", WORDS.values(), ids=WORDS.keys())
@pytest.mark.parametrize("kind", ["functions", "cases"])
def test_the_frameworks_own_words_are_no_success(task: Task, cases: Task, kind: str, line: str) -> None:
    judged = task if kind == "functions" else cases
    verdict = make_grader()(judged, patch_with(line, judged), sandbox_factory())
    assert verdict.resolved is False and verdict.cause == "agent", verdict


def test_an_honest_fix_passes_the_unittest_suite_with_its_expected_failure(cases: Task) -> None:
    verdict = make_grader()(cases, cases.gold_patch, sandbox_factory())
    assert verdict.resolved is True, verdict
    assert verdict.statuses[f"{ID}test_known"] == "xfailed"


# what double() does to the run -> class "turn to invalid"
BREAKERS = {
    "kills everything": "import os; os.kill(-1, 9)",
    "stops the runner": "import os; os.kill(os.getppid(), 19); os._exit(0)",
    "fills the disk": "[open(f'/tmp/{i}', 'wb').write(b'x' * 9_000_000) for i in range(99)]",
    "forks without end": "import os\n+    while True:\n+        os.fork()",
    "recurses in C": "import ctypes; ctypes.string_at(0)",
    "prints without end": "import os\n+    while True:\n+        os.write(1, b'x' * 65536)",
    "hangs": "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\n+    while True:\n+        pass",
}


@pytest.mark.slow
@pytest.mark.parametrize("line", BREAKERS.values(), ids=BREAKERS.keys())
def test_breaking_the_run_is_the_agents_failure(task: Task, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pytest_run, "MARGIN", 4.0)
    more = line.count("\n")
    patch = patch_with(line, task).replace("@@ -1,5 +1,5 @@", f"@@ -1,5 +1,{5 + more} @@")
    short = dataclasses.replace(task, tests=dataclasses.replace(task.tests, timeout=3.0))
    limits = Limits(disk_bytes=64 << 20, processes=64)
    verdict = make_grader()(short, patch, sandbox_factory(limits=limits))
    assert verdict.resolved is False and verdict.cause == "agent", verdict


def new_file(name: str, data: str) -> str:
    return f"diff --git a/{name} b/{name}\nnew file mode 100644\n{data}"


def literal(data: bytes) -> str:
    """A file in git's binary form, in one line for each 52 bytes of its compressed content."""
    packed = zlib.compress(data, 9)
    lines = [packed[at : at + 52] for at in range(0, len(packed), 52)]
    size = [chr(ord("A") + len(line) - 1) if len(line) <= 26 else chr(ord("a") + len(line) - 27) for line in lines]
    coded = [base64.b85encode(line, pad=True).decode() for line in lines]
    body = "".join(f"{letter}{text}\n" for letter, text in zip(size, coded, strict=True))
    return (
        f"index {'0' * 40}..{git_id(data)}\nGIT binary patch\nliteral {len(data)}\n{body}\nliteral 0\nHcmV?d00001\n\n"
    )


def git_id(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


BOMBS = {
    "half a surrogate pair": "diff --git a/x b/x\n\ud800",
    "a size of 5000 digits": new_file("x", "GIT binary patch\nliteral " + "9" * 5000 + "\n"),
    "a file beyond all limits": new_file("x", f"GIT binary patch\nliteral {1 << 50}\n"),
    "a size of noughts and no number": new_file("x", f"GIT binary patch\nliteral {'0' * 300_000}x\n"),
    "folders in folders": "".join(new_file(f"{n}/{'d/' * 1900}x", "") for n in range(9)),
    "too many files": "".join(new_file(f"f{n}", "") for n in range(300)),
    "large files of nothing": "".join(new_file(f"f{n}", literal(bytes(1 << 20))) for n in range(9)),
}


@pytest.mark.parametrize("patch", BOMBS.values(), ids=BOMBS.keys())
def test_a_patch_that_is_a_bomb_is_refused(task: Task, patch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apply, "LARGEST_CONTENT", 8 << 20)
    monkeypatch.setattr(apply, "MOST_FILES", 200)
    monkeypatch.setattr(apply, "MOST_FOLDERS", 9_000)
    with pytest.raises(PatchError):
        apply_patch(task, patch)
    assert make_grader()(task, patch, sandbox_factory()).resolved is False


def test_a_patch_that_git_compares_for_hours_is_refused(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swegym.grading.scratch._PROCESSOR_SECONDS", 1)
    lines = "@@ -0,0 +1,500000 @@\n" + "+a\n" * 500_000
    hunk = "@@ -2,50000 +2,50000 @@\n" + " a\n" * 49_998 + "-b\n+c\n a\n"
    patch = new_file("x", f"--- /dev/null\n+++ b/x\n{lines}diff --git a/x b/x\n--- a/x\n+++ b/x\n{hunk}")
    with pytest.raises(PatchError, match="1 seconds of processor time"):
        apply_patch(task, patch)


def test_links_by_the_thousand_that_lead_in_a_circle_are_not_all_followed() -> None:
    links = {name: name for name in map(str, range(60_000))}
    started = time.process_time()
    assert leaving(links, links) == links.keys()
    assert time.process_time() - started < 5


def test_notes_on_a_patch_are_bounded(task: Task) -> None:
    patch = "".join(new_file(f"d{n}/conftest.py", "") for n in range(99))
    assert len(apply_patch(task, patch).notes) < 50


def test_what_git_says_of_a_patch_is_bounded(task: Task) -> None:
    """It says of each file why it does not apply."""
    missing = "".join(f"--- a/{'d' * 200}{n}\n+++ b/{'d' * 200}{n}\n@@ -1 +1 @@\n-a\n+b\n" for n in range(999))
    assert len(make_grader()(task, missing, sandbox_factory()).reason) < 5_000


def test_what_code_under_test_says_of_itself_is_bounded() -> None:
    """A line of a results file, which everybody reads who reads the run."""
    said = [f"{number}{'x' * 10_000}" for number in range(999)]
    facts = [("evidence", kind, name, "") for kind in ("heard", "changed") for name in said]
    tampering, hints = evidence.found(facts)
    assert 0 < len("".join(tampering)) < 5_000 and 0 < len("".join(hints)) < 10_000
    assert evidence.found(facts[:1], evidence.usual([("evidence", "heard", facts[0][2][:300], "")])) == ([], [])


def header(name: bytes, size: bytes, kind: bytes = b"0") -> bytes:
    fields = name.ljust(100, b"\0") + b"0000644\0" + b"0" * 16 + size.ljust(12, b"\0") + b"0" * 20 + kind
    return fields.ljust(BLOCK, b"\0")


ARCHIVES = {
    "a sparse file of gigabytes": (header(b"a", b"0", b"S") + bytes(1024), 0),
    "names upon names": (header(b"n", b"2", b"L") * 5000, None),
    "a size below zero": (header(b"a", b"\xff" * 12), None),
    "a size beyond the end": (header(b"a", b"77777777777"), None),
    "a size that is none": (header(b"a", b"-1"), None),
    "a name of a megabyte": (header(b"n", b"4000000", b"L") + bytes(1 << 20), None),
    "no end": (b"", None),
    "devices, folders, hard links": (
        b"".join(header(b"a", b"0", kind) for kind in (b"1", b"3", b"5")) + bytes(1024),
        0,
    ),
}


@pytest.mark.parametrize(("archive", "members"), ARCHIVES.values(), ids=ARCHIVES.keys())
def test_an_archive_is_read_as_what_it_holds(archive: bytes, members: int | None) -> None:
    if members is None:
        with pytest.raises(ValueError, match="archive of the work tree"):
            list(read_archive(archive))
    else:
        assert len(list(read_archive(archive))) == members

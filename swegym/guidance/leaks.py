"""A leak: a hint that gives away the answer, by quoting the fix or the hidden tests.

Text is compared without white space, so that re-wrapping does not hide a quotation, by runs of tokens, and as code by
its syntax trees. Short lines (`else:`, `return x`) are not counted on their own, because prose may contain them by
chance, and what the base version shows to everybody is no secret. What is spelled backwards, in base64 or the like is
read. A fix told in other words is not seen.
"""

from __future__ import annotations

import base64
import codecs
import contextlib
import re
import subprocess
import unicodedata
from collections.abc import Iterator

from swegym.errors import GuidanceError
from swegym.guidance.code_leaks import gives_code
from swegym.types import Guidance, Task

LINE_LENGTH = 9  # characters besides white space from which an added line counts
RUN_LENGTH = 7  # tokens in a row, found only in the fix, from which a part of a line counts
TEST_LINE_LENGTH = 20  # characters besides white space from which a line of a hidden test file counts
TEST_RUN_LENGTH = 12  # tokens in a row of a hidden test file

_ENCODED = re.compile(r"[A-Za-z0-9+/_-]{12,}")  # hexadecimal or base64, without its padding

LINE = "it quotes a line that the reference fix adds"
PART = "it quotes a part of a line that the reference fix adds"
CODE = "it gives code of the reference fix in another spelling"
TEST_NAME = "it names a hidden test"
TEST_LINE = "it quotes a line of a hidden test file"


def find_leaks(text: str, task: Task) -> list[str]:
    """What `text` gives away of `task`, in words that do not repeat it; empty when nothing was found."""
    told = [leak for spelled in _spellings(text) for leak in (*_fix_leaks(spelled, task), *_test_leaks(spelled, task))]
    return list(dict.fromkeys(told))


def refuse_leaks(guidance: Guidance, task: Task) -> Guidance:
    """The same guidance.

    Raises:
        GuidanceError: It leaks.
    """
    leaks = find_leaks("\n".join(guidance.parts.values()), task)
    if leaks:
        raise GuidanceError(f"guidance of {guidance.teacher!r} for {task.id} leaks: {'; '.join(leaks)}.")
    return guidance


def _spellings(text: str) -> Iterator[str]:
    """What a text says as it stands, and to who decodes it: a repository may talk a teacher into saying it so."""
    plain = "".join(letter for letter in unicodedata.normalize("NFKC", text) if unicodedata.category(letter) != "Cf")
    yield from dict.fromkeys([text, plain, text[::-1], codecs.encode(text, "rot13")])
    for run in _ENCODED.findall(text):
        whole = run + "=" * (-len(run) % 4)
        for decode, data in ((bytes.fromhex, run), (base64.b64decode, whole), (base64.urlsafe_b64decode, whole)):
            with contextlib.suppress(ValueError):
                yield decode(data).decode()


def _fix_leaks(text: str, task: Task) -> Iterator[str]:
    squeezed, spoken = _squeeze(text), _tokens(text)
    added, known = _added_and_known(task.gold_patch)
    known_runs = {run for lines in known for line in lines for run in _runs(_tokens(line), RUN_LENGTH)}
    spoken_runs = set(_runs(spoken, RUN_LENGTH))
    found = False
    for line in (line for lines in added for line in lines):
        if len(_squeeze(line)) >= LINE_LENGTH and _squeeze(line) in squeezed:
            found = True
            yield LINE
        elif spoken_runs & (set(_runs(_tokens(line), RUN_LENGTH)) - known_runs):
            found = True
            yield PART
    if not found and gives_code(text, added, known):
        yield CODE


def _test_leaks(text: str, task: Task) -> Iterator[str]:
    words = set(re.findall(r"\w+", text))
    for test in task.hidden.expected:
        function = test.rpartition("::")[2].partition("[")[0]
        if (function in words or test in text) and not _in_base(task, function):
            yield TEST_NAME
            break
    squeezed, spoken = _squeeze(text), set(_runs(_tokens(text), TEST_RUN_LENGTH))
    for data in task.hidden.files.values():
        for line in data.decode("utf-8", "replace").split("\n"):
            bare = _squeeze(line)
            if len(bare) < TEST_LINE_LENGTH or line.startswith(("import ", "from ")):
                continue
            quoted = bare in squeezed or spoken & set(_runs(_tokens(line), TEST_RUN_LENGTH))
            if quoted and not _in_base(task, line.strip()):
                yield TEST_LINE
                return


def _in_base(task: Task, text: str) -> bool:
    """Whether the base version holds this text on one line, for everybody to read."""
    if not task.pristine.is_dir():
        return False
    command = ["git", "--git-dir", str(task.pristine), "grep", "-qF", "-e", text, task.base_commit]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _added_and_known(patch: str) -> tuple[list[list[str]], list[list[str]]]:
    """Runs of neighbouring lines that a unified diff adds, and runs of lines of the old version that it shows."""
    added: list[list[str]] = []
    known: list[list[str]] = []
    in_hunk, before = False, ""
    for line in patch.split("\n"):
        kind = line[:1]
        if line.startswith(("diff --git ", "Index: ")):
            in_hunk = False
        elif line.startswith("@@"):
            in_hunk = True
            known.append([])
        elif in_hunk and kind == "+":
            if before != "+":
                added.append([])
            added[-1].append(line[1:])
        elif in_hunk and kind in (" ", "-"):
            known[-1].append(line[1:])
        before = kind if in_hunk else ""
    return added, known


def _squeeze(text: str) -> str:
    return "".join(text.split())


def _tokens(text: str) -> list[str]:
    return re.findall(r"\w+|[^\w\s]", text)


def _runs(tokens: list[str], length: int) -> Iterator[tuple[str, ...]]:
    for start in range(len(tokens) - length + 1):
        yield tuple(tokens[start : start + length])

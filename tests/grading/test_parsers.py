"""Parsers of our own: verbose pytest with and without xdist, unittest, and one by import path."""

import subprocess
import sys
from pathlib import Path

import pytest

from swegym.errors import InputError, UnknownName
from swegym.grading.official_rules import END, START, read_log
from swegym.grading.parsers import make_parser

SUITE = """
import unittest

class Case(unittest.TestCase):
    def test_good(self): pass
    def test_bad(self): self.fail()
    def test_broken(self): raise KeyError
    @unittest.skip("why")
    def test_left_out(self): pass
    @unittest.expectedFailure
    def test_known(self): self.fail()
    def test_loud(self):
        '''With a docstring.'''
        print("noise")
"""


def test_unittest_names_and_words(tmp_path: Path) -> None:
    (tmp_path / "test_case.py").write_text(SUITE)
    command = [sys.executable, "-m", "unittest", "-v", "test_case"]
    done = subprocess.run(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert make_parser("unittest")(done.stdout) == {
        "test_good (test_case.Case)": "PASSED",
        "test_bad (test_case.Case)": "FAILED",
        "test_broken (test_case.Case)": "ERROR",
        "test_left_out (test_case.Case)": "SKIPPED",
        "test_known (test_case.Case)": "XFAIL",
        "test_loud (test_case.Case)": "PASSED",
    }


@pytest.mark.parametrize("workers", [[], ["-n", "2"]], ids=["alone", "xdist"])
def test_verbose_pytest(workers: list[str], tmp_path: Path) -> None:
    (tmp_path / "test_case.py").write_text(
        "import pytest\n"
        "@pytest.mark.parametrize('x', ['a b', 'c'])\ndef test_p(x): assert x == 'c'\n"
        "@pytest.mark.skip\ndef test_s(): pass\n"
    )
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", *workers, "test_case.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert make_parser("pytest_verbose")(done.stdout) == {
        "test_case.py::test_p[a b]": "FAILED",
        "test_case.py::test_p[c]": "PASSED",
        "test_case.py::test_s": "SKIPPED",
    }


def test_a_parser_of_ones_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "my_logs.py").write_text("def read(log):\n    return {line: 'PASSED' for line in log.split()}\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert make_parser("my_logs:read")("a b") == {"a": "PASSED", "b": "PASSED"}


def test_unknown_parsers_are_named() -> None:
    with pytest.raises(UnknownName, match="Did you mean pytest"):
        make_parser("pytst")
    with pytest.raises(InputError, match="cannot be imported"):
        make_parser("no_such_module:read")


MANY = 30_000
HOSTILE = {
    "django": ["a ... Testing against Django installed in \n", "a ... Internal Server Error: /"],
    "pytest_options": ["FAILED [", "["],
    "pytest_verbose": ["::"],
    "sympy": ["_", " .py:", "_ "],
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize(("parser", "text"), [(name, text) for name, texts in HOSTILE.items() for text in texts])
def test_no_log_keeps_a_parser_busy(parser: str, text: str) -> None:
    """Code under test prints it, and nobody else in the process gets on while an expression is looked for."""
    make_parser(parser)("FAILED a" + MANY * text + "\n")


@pytest.mark.timeout(20)
def test_no_log_keeps_the_official_rules_busy() -> None:
    assert read_log(f"{START}\n{'1' * MANY * 10}\n{END}\n", "pytest") is None

"""The same logs to the `swebench` package's own grading functions and to ours: the same answer, test by test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swegym.grading.official_rules import instance_report
from swegym.grading.parsers import PARSERS, infer_parser, known_parser, make_parser

grading = pytest.importorskip("swebench.harness.grading")
from swebench.harness.log_parsers import PARSER_REGISTRY  # noqa: E402
from swebench.types import TestSpec as OfficialSpec  # noqa: E402

PYTHON_PARSERS = sorted(name for name, read in PARSER_REGISTRY.items() if read.__module__.endswith(".python"))
START, END = ">>>>> Start Test Output", ">>>>> End Test Output"
F2P = ["tests/test_a.py::test_fixed", "tests/test_a.py::test_cut[log(photon", "test_name", "test_b (app.tests.Case)"]
P2P = ["tests/test_a.py::test_kept", "[100%]", "tests/test_a.py::test_path[/c]", "tests/test_a.py::test_x[1, 2]"]


def official(log: str, patch: str | None, parser: str, f2p: list[str], p2p: list[str], folder: Path, kind: str) -> Any:
    file = folder / "log.txt"
    file.write_bytes(log.encode())
    spec = OfficialSpec("a__b-1", "", [], "a/b", "1", f2p, p2p, parser, kind)
    prediction = {"instance_id": "a__b-1", "model_patch": patch}
    report = grading.get_eval_report(spec, prediction, str(file), True)["a__b-1"]
    report.pop("infra_failure_reason", None)
    return {**report, "infra_failure": False}  # a label that decides nothing


def same(
    log: str,
    parser: str,
    folder: Path,
    f2p: list[str] | None = None,
    p2p: list[str] | None = None,
    patch: str | None = "patch",
    kind: str = "pass_and_fail",
) -> dict[str, Any]:
    f2p, p2p = F2P if f2p is None else f2p, P2P if p2p is None else p2p
    ours = instance_report(log, patch, parser, f2p, p2p, only_failures=kind == "fail_only")
    assert ours == official(log, patch, parser, f2p, p2p, folder, kind)
    return ours


def marked(text: str, code: int | None = 0) -> str:
    end = f"\n>>>>> Test Exit Code: {code}\n" if code is not None else "\n"
    return f"+ : '{START}'\n{text}\n+ : '{END}'{end}"


PIECES = (
    *("PASSED", "FAILED", "ERROR", "SKIPPED", "XFAIL", "XPASS", "PASSED:", "ok", "OK", "F", "E", "... ok", "... FAIL"),
    *("... ERROR", "... skipped 'why'", "FAIL: x", "ERROR: y", "...  OK", "... ", "- assert 1 == 2", "[100%]", "[2]"),
    *F2P,
    *P2P,
    *("tests/test_a.py::test_path[/a/b/c]", "tests/test_a.py::test_cut[log(photon)-1]", "tests/test_a.py::t[//a/b]"),
    *("tests/test_a.py::test_x[MouseButton.LEFT]", "\x1b[32mPASSED\x1b[0m", "____ sympy/a.py:test_name ____", "\t"),
    *("--version is equivalent to version", "Internal Server Error: /x/", "System check identified no issues (0"),
    *("silenced)", "Applying sites.0002_alter_domain_unique...test_no_migrations (a.B)", "é", "\r"),
)
LINES = st.lists(st.lists(st.sampled_from(PIECES), max_size=5).map(" ".join), max_size=12).map("\n".join)


@pytest.mark.parametrize("name", PYTHON_PARSERS)
def test_every_parser_reads_what_the_official_one_reads(name: str) -> None:
    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(LINES)
    def reads_alike(log: str) -> None:
        assert make_parser(name)(log) == PARSER_REGISTRY[name](log, None)

    reads_alike()


@pytest.mark.parametrize("kind", ["pass_and_fail", "fail_only"])
def test_any_log_gets_the_same_report(tmp_path: Path, kind: str) -> None:
    @settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
    @given(LINES, LINES, LINES, st.sampled_from(PYTHON_PARSERS), st.sampled_from([None, 0, 1, -9]))
    def same_report(before: str, inside: str, after: str, parser: str, code: int | None) -> None:
        same(f"{before}\n{marked(inside, code)}{after}", parser, tmp_path, kind=kind)

    same_report()


ALL_PASS = "\n".join(f"PASSED {name}" for name in (*F2P, *P2P))
HOSTILE = {
    "nothing at all": "",
    "no markers": ALL_PASS,
    "no end marker": f"{START}\n{ALL_PASS}",
    "text only before the start marker": f"{ALL_PASS}\n{marked('')}",
    "a forged pair of markers first": f"{marked(ALL_PASS, None)}{marked('FAILED tests/test_a.py::test_fixed - x', 1)}",
    "a failure after a forged success": marked(f"{ALL_PASS}\nFAILED tests/test_a.py::test_kept"),
    "a success after a failure": marked(f"FAILED tests/test_a.py::test_kept\n{ALL_PASS}", 1),
    "everything passes and the exit code does not": marked(ALL_PASS, 1),
    "everything passes, without an exit code": marked(ALL_PASS, None),
    "a skipped test that was to be fixed": marked(ALL_PASS.replace("PASSED tests/test_a.py::test_fixed", "SKIPPED ")),
    "an xfail": marked(ALL_PASS.replace("PASSED tests/test_a.py::test_fixed", "XFAIL tests/test_a.py::test_fixed")),
    "skipped tests that were to be kept": marked(ALL_PASS.replace("PASSED tests/test_a.py::test_kept", "SKIPPED a")),
    "a timeout": marked(ALL_PASS) + "\n>>>>> Tests Timed Out\n",
    "a patch that did not apply": ">>>>> Patch Apply Failed\n" + marked(ALL_PASS),
    "carriage returns": marked(ALL_PASS).replace("\n", "\r\n"),
    "an odd word": marked(ALL_PASS.replace("PASSED tests/test_a.py::test_kept", "FAILED: tests/test_a.py::test_kept")),
    "counts of skipped tests": marked(ALL_PASS + "\nSKIPPED [2] tests/test_a.py:3: why"),
}


@pytest.mark.parametrize("case", HOSTILE)
@pytest.mark.parametrize("parser", PYTHON_PARSERS)
def test_hostile_logs(case: str, parser: str, tmp_path: Path) -> None:
    same(HOSTILE[case], parser, tmp_path)


def test_names_cut_in_their_brackets_mean_all_that_agree(tmp_path: Path) -> None:
    cut = ["tests/test_a.py::test_cut[log(photon"]
    whole = "PASSED tests/test_a.py::test_cut[log(photon)-{}]"
    agree = marked("\n".join(whole.format(number) for number in range(3)))
    assert same(agree, "parse_log_pytest", tmp_path, cut, [])["resolved"]
    differ = agree.replace("PASSED", "FAILED", 1)
    assert not same(differ, "parse_log_pytest", tmp_path, cut, [])["resolved"]


@pytest.mark.parametrize(("f2p", "p2p"), [([], []), (F2P, []), ([], P2P)])
def test_empty_lists_count_as_full(f2p: list[str], p2p: list[str], tmp_path: Path) -> None:
    same(marked("PASSED x"), "parse_log_pytest", tmp_path, f2p, p2p)
    assert same(marked(ALL_PASS.replace(", ", ",")), "parse_log_pytest", tmp_path, [], [])["resolved"]


def test_no_patch(tmp_path: Path) -> None:
    assert not same(marked(ALL_PASS), "parse_log_pytest", tmp_path, patch=None)["resolved"]


def test_bytes_that_are_no_text_are_read_with_replacement() -> None:
    """The official reader ends with an exception here; a test's odd byte is no reason to judge nothing."""
    log = marked("PASSED a").encode() + b"\xff\xfe"
    assert instance_report(log.decode("utf-8", "replace"), "p", "pytest", ["a"], [])["resolved"]


def test_names_of_published_rows_are_known() -> None:
    assert {known_parser(name) for name in PYTHON_PARSERS} <= set(PARSERS)


@pytest.mark.parametrize(
    ("names", "parser"),
    [
        (["tests/test_a.py::test_b[1,"], "pytest"),
        (["tests/test_a.py::test_b[/c]"], "pytest_options"),
        (["tests/test_a.py::test_b[a b]"], "pytest_whole_line"),
        (["test_inputs (template_tests.tests.FunctionTests)", "A docstring."], "django"),
        (["test_coth", "test_sinh"], "sympy"),
    ],
)
def test_a_parser_is_told_by_the_names(names: list[str], parser: str) -> None:
    assert infer_parser(names) == parser


def test_reports_are_plain_data() -> None:
    report = instance_report(marked(ALL_PASS), "p", "pytest", F2P, P2P)
    assert json.loads(json.dumps(report)) == report

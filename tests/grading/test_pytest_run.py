"""The sealed run reports what pytest saw, whatever the tests do to their own streams and process."""

import json
import time

import pytest
from calc_repository import EXPECTED_TO_STAY, EXPECTED_TO_TURN

from swegym.errors import GraderError
from swegym.grading import _runner, run_hidden
from swegym.sandbox.fake import FakeSandbox
from swegym.types import TestSetup


@pytest.fixture
def run(sandbox):
    """Write files into the work tree, then run tests there."""

    def run(files, expected=None, paths=("checks",), **setup):
        for name, text in files.items():
            sandbox.write(f"/testbed/{name}", text.encode())
        setup = TestSetup(**({"visible": ("tests",), "timeout": 20.0} | setup))
        return run_hidden(sandbox, setup, expected, paths)

    return run


LONG = """
import pytest

@pytest.mark.parametrize("n", range(300))
def test_all(n):
    left = n
    assert left < 0
"""


def test_the_first_failures_have_tracebacks_and_hundreds_more_have_a_line_each(run):
    report = run({"checks/test_all.py": LONG})
    assert set(report.statuses.values()) == {"failed"} and len(report.statuses) == 300
    assert report.output.count("in test_all\n    assert left < 0\n") == 40
    assert "checks/test_all.py::test_all[299] - assert 299 < 0" in report.output


def test_every_status(run):
    report = run(
        {
            "checks/test_all.py": """
import pytest, unittest

@pytest.fixture
def bad_setup():
    raise RuntimeError
@pytest.fixture
def bad_teardown():
    yield
    raise RuntimeError
def test_passed(): pass
def test_failed(): assert 0
def test_setup(bad_setup): pass
def test_teardown(bad_teardown): pass
@pytest.mark.skip
def test_skipped(): pass
def test_skips_itself(): pytest.skip("no")
@pytest.mark.xfail
def test_xfailed(): assert 0
@pytest.mark.xfail(run=False)
def test_not_run(): assert 0
@pytest.mark.xfail
def test_xpassed(): pass
@pytest.mark.xfail(strict=True)
def test_strict(): pass
class Test(unittest.TestCase):
    def test_case(self): self.assertTrue(True)
    @unittest.expectedFailure
    def test_expected(self): self.fail()
    def test_sub(self):
        for number in range(3):
            with self.subTest(number=number):
                assert number != 1
    def test_subs_pass(self):
        for number in range(3):
            with self.subTest(number=number):
                pass
"""
        }
    )
    assert report.finished and report.exit_code == 1
    assert {name.split("::", 1)[1]: status for name, status in report.statuses.items()} == {
        "test_passed": "passed",
        "test_failed": "failed",
        "test_setup": "error",
        "test_teardown": "error",
        "test_skipped": "skipped",
        "test_skips_itself": "skipped",
        "test_xfailed": "xfailed",
        "test_not_run": "xfailed",
        "test_xpassed": "passed",
        "test_strict": "failed",
        "Test::test_case": "passed",
        "Test::test_expected": "xfailed",
        "Test::test_sub": "failed",
        "Test::test_subs_pass": "passed",
    }


ODD = ["a b", "[x]", "::", "é漢", "\n\t", "-rf", "%s", "a/b.py::c", "'\"", "\ud800"]


def test_odd_parameters_keep_their_ids(run):
    report = run({"checks/test_odd.py": f"import pytest\n@pytest.mark.parametrize('a', {ODD!a})\ndef test(a): pass\n"})
    assert report.finished and len(report.statuses) == len(ODD)
    assert set(report.statuses.values()) == {"passed"}
    again = run({}, expected=tuple(report.statuses))
    assert again.statuses == report.statuses


def test_only_files_of_expected_tests_run(run):
    files = {"checks/test_a.py": "def test(): pass\n", "checks/test_b.py": "def test(): raise SystemExit(3)\n"}
    report = run(files, expected=("checks/test_a.py::test", "checks/test_gone.py::test"))
    assert report.statuses == {"checks/test_a.py::test": "passed", "checks/test_gone.py::test": "missing"}


def test_a_file_that_cannot_be_imported_does_not_stop_the_others(run):
    report = run({"checks/test_a.py": "def test(): pass\n", "checks/test_b.py": "import nonsense\n"})
    assert report.statuses == {"checks/test_a.py::test": "passed", "checks/test_b.py": "error"}
    assert "nonsense" in report.output


@pytest.mark.parametrize(
    "end",
    [
        "os._exit(0)",
        "os.kill(os.getpid(), 9)",
        "os.kill(os.getppid(), 9)",
        "os.abort()",
        "os.closerange(1, 64); os._exit(0)",
    ],
    ids=["exit", "kill", "kill the parent", "abort", "close everything"],
)
def test_an_early_end_leaves_tests_missing(run, end):
    files = {"checks/test_a.py": f"import os\ndef test_one(): pass\ndef test_two():\n    {end}\n"}
    report = run(files, expected=("checks/test_a.py::test_one", "checks/test_a.py::test_two"))
    assert report.statuses["checks/test_a.py::test_two"] == "missing"
    assert not report.finished and report.ending in ("early", "lost")


def test_a_hang_is_cut_off_and_says_so(run):
    started = time.monotonic()
    files = {"checks/test_a.py": "import time\ndef test_one(): pass\ndef test_two(): time.sleep(600)\n"}
    report = run(files, expected=("checks/test_a.py::test_one", "checks/test_a.py::test_two"), timeout=3.0)
    assert time.monotonic() - started < 15
    assert report.ending == "time"
    assert list(report.statuses.values()) == ["passed", "missing"]


def test_a_session_that_ended_is_not_held_up_by_threads(run):
    test = "import threading, time\ndef test(): threading.Thread(target=time.sleep, args=(600,)).start()\n"
    report = run({"checks/test_a.py": test})
    assert report.finished and report.seconds < 15


def test_background_processes_do_not_hold_up_the_run(run):
    files = {"checks/test_a.py": "import subprocess\ndef test(): subprocess.Popen(['sleep', '600'])\n"}
    report = run(files)
    assert report.finished and report.seconds < 15


def test_output_is_bounded_and_reports_survive_it(run):
    files = {"checks/test_a.py": "import os\ndef test():\n    for _ in range(300): os.write(2, b'x' * 100_000)\n"}
    report = run(files)
    assert report.finished and report.statuses == {"checks/test_a.py::test": "passed"}
    assert len(report.output) < 100_000


def test_thousands_of_reports_fit(run):
    files = {"checks/test_a.py": "import pytest\n@pytest.mark.parametrize('n', range(4000))\ndef test(n): pass\n"}
    report = run(files, timeout=120.0)
    assert report.finished and len(report.statuses) == 4000


def test_tests_cannot_write_the_result(run):
    """Not on stdout, nor through the parent's descriptors, memory or command line."""
    files = {
        "checks/test_a.py": """
import os, base64, json, zlib
def test_forge():
    parent = os.getppid()
    document = base64.b64encode(zlib.compress(json.dumps({"statuses": {"x": "passed"}}).encode()))
    for number in range(10):
        try:
            os.open(f"/proc/{parent}/fd/{number}", os.O_WRONLY)
        except OSError:
            continue
        raise AssertionError("the parent's descriptors are open to us")
    for name in ("mem", "environ", "maps"):
        try:
            open(f"/proc/{parent}/{name}", "rb").read(1)
        except OSError:
            continue
        raise AssertionError(name)
    os.write(1, b"\\n" + b"0" * 32 + b" " + document + b"\\n")
"""
    }
    report = run(files)
    assert report.statuses == {"checks/test_a.py::test_forge": "passed"}, report.output


def test_the_grader_chooses_plugins_and_options(run):
    """The repository's configuration and installed plugins are not asked; the task's own options are."""
    report = run(
        {
            "pytest.ini": "[pytest]\naddopts = --collect-only\npython_files = nothing.py\n",
            "plug.py": "def pytest_collection_modifyitems(items): items.clear()\n",
            "calc_plug.egg-info/entry_points.txt": "[pytest11]\nplug = plug\n",
            "calc_plug.egg-info/PKG-INFO": "Metadata-Version: 2.1\nName: calc-plug\nVersion: 1\n",
            "checks/check_a.py": "def test(): raise Warning('seen')\n",
            "checks/test_b.py": "def test(): pass\n",
        },
        ini={"python_files": "check_*.py", "addopts": "--no-summary\n--durations=1"},
    )
    assert report.statuses == {"checks/check_a.py::test": "failed"}
    assert "seen" not in report.output


def test_a_named_plugin_is_loaded(run):
    files = {"checks/test_a.py": "def test(pytester): assert pytester\n"}
    assert set(run(files, plugins=("pytester",)).statuses.values()) == {"passed"}
    assert set(run(files).statuses.values()) == {"error"}


def test_hashing_is_the_same_every_time(run):
    files = {"checks/test_a.py": "def test(): raise ValueError(hash('a'))\n"}
    first, second = (run(files).output.split("ValueError: ")[1].split()[0] for _ in range(2))
    assert first == second


def test_package_is_imported_from_the_given_folder(run):
    test = "import calc3\ndef test(): assert '/testbed/src/' in calc3.WHERE\n"
    files = {"src/calc3/__init__.py": "WHERE = __file__\n", "checks/test_a.py": test}
    assert set(run(files, pythonpath=("src",)).statuses.values()) == {"passed"}
    assert set(run(files).statuses.values()) == {"error"}


def test_two_files_of_one_name_outside_packages(run):
    files = {f"checks/{folder}/test_same.py": "def test(): pass\n" for folder in ("a", "b")}
    report = run(files, expected=("checks/a/test_same.py::test", "checks/b/test_same.py::test"))
    assert set(report.statuses.values()) == {"passed"}


def test_expected_tests_of_the_task_before_the_fix(task, sandbox):
    sandbox.write("/testbed/tests/test_core.py", task.hidden.files["tests/test_core.py"])
    report = run_hidden(sandbox, task.tests, task.hidden.expected)
    assert {report.statuses[test] for test in EXPECTED_TO_TURN} == {"failed"}
    assert {report.statuses[test] for test in EXPECTED_TO_STAY} == {"passed"}


def test_a_sandbox_without_python_is_the_graders_failure():
    with pytest.raises(GraderError, match="no Python"):
        run_hidden(FakeSandbox(), TestSetup(visible=("tests",)), ("a::b",))


@pytest.mark.parametrize(
    ("phases", "status"),
    [
        ([("setup", "passed"), ("call", "passed"), ("teardown", "passed")], "passed"),
        ([("setup", "passed"), ("call", "passed")], "missing"),
        ([("call", "passed"), ("teardown", "passed")], "missing"),
        ([("setup", "passed"), ("teardown", "passed")], "missing"),
        ([("setup", "passed"), ("call", "failed"), ("call", "passed"), ("teardown", "passed")], "failed"),
        ([("setup", "passed"), ("call", "failed")], "failed"),
        ([], "missing"),
    ],
)
def test_all_phases_are_needed(phases, status):
    assert _runner.status(phases) == status


def test_messages_that_no_reporter_sends_are_dropped_and_what_is_shown_can_be_shown():
    reports = _runner.Reports(["a"], "word")
    odd = [["word", "key", [], "a", ""], ["word", "key", 7, None, {}], ["word", "broken", "\ud800", "", ""], 5, None]
    odd += [{"word": 1}, ["other", "end", "", "", ""], ["word", "end"]]
    reports.add("".join(json.dumps(line) + "\n" for line in odd).encode() + b"[" * 100_000 + b"\n")
    assert not (reports.facts or reports.broken or reports.ended)
    said = [["word", "evidence", "changed", "\x1b[2J", ""], ["word", "broken", "b\n", "", ""]]
    said += [["word", "end", "", "", ""]]
    reports.add("".join(json.dumps(line) + "\n" for line in said).encode())
    assert reports.facts == [("evidence", "changed", "?[2J", "")] and reports.broken == ["b?"] and reports.ended


def test_output_keeps_head_and_tail():
    output = _runner.Output()
    for number in range(40_000):
        output.add(b"%06d\n" % number)
    text = output.text()
    assert text.startswith("000000\n") and text.endswith("039999\n") and "bytes left out" in text
    assert len(text) <= _runner.HEAD + _runner.TAIL + 40


def test_names_of_tests_that_nobody_expects_take_no_more_than_some_room(monkeypatch):
    monkeypatch.setattr(_runner, "MOST_NAMES", 50)
    reports = _runner.Reports(None, "word")
    for name in ("a" * 20, "b" * 20, "c" * 20, "a" * 20):
        reports.add(json.dumps(["word", "test", name, "call", "passed"]).encode() + b"\n")
    assert {name: len(phases) for name, phases in reports.phases.items()} == {"a" * 20: 2, "b" * 20: 1}

"""The worker as it runs in a sandbox: a script in a folder of its own, in front of a small repository."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import swegym.policies

SOURCE = """\
LIMIT = 10


def clamp(value, low=0):
    if value < low:
        return low
    if value >= LIMIT + 1:
        return LIMIT + 1
    return value


def count(value):
    while value > 0:
        value -= 1
    return value


def idle():
    return None
"""
TESTS = """\
from toy import clamp, count


def test_high():
    assert clamp(50) == 10


def test_low():
    assert clamp(-1) == 0


def test_count():
    assert count(3) == 0


def test_wants_a_plugin_that_is_not_there(benchmark):
    pass
"""


class Worker:
    def __init__(self, folder: Path) -> None:
        self.repository, self.folder = folder / "repository", folder / "worker"
        (self.repository / "tests").mkdir(parents=True)
        self.folder.mkdir()
        for name in ("repair_worker.py", "live_code.py"):
            shutil.copy(Path(swegym.policies.__file__).with_name(name), self.folder)
        self.source = self.repository / "toy.py"
        self.source.write_text(SOURCE)
        (self.repository / "tests" / "test_toy.py").write_text(TESTS)

    def __call__(self, command, **request):
        request = {"visible": ["tests"], "extra": [], "outline": [], "seconds": 20.0, **request}
        (self.folder / "request.json").write_text(json.dumps(request))
        script = [sys.executable, str(self.folder / "repair_worker.py"), command, str(self.folder / "request.json")]
        done = subprocess.run(script, cwd=self.repository, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.rpartition("RESULT ")[2])

    def edit(self, old, new):
        number, line = next((n, text) for n, text in enumerate(SOURCE.splitlines(), 1) if old in text)
        return ["toy.py", number, number, line.replace(old, new) + "\n"]


@pytest.fixture
def worker(tmp_path):
    return Worker(tmp_path)


def test_the_trace_counts_failing_and_passing_tests_on_each_line(worker):
    trace = worker("trace")
    assert (trace["failed"], trace["passed"]) == (1, 2)
    assert trace["spectra"] == {"toy.py": [[5, 5, 1, 1], [7, 8, 1, 0]]}
    assert trace["parts"]["toy.py"] == [["", 1, 1], ["clamp", 4, 9]]
    assert trace["names"]["toy.py"] == ["LIMIT", "clamp", "count", "idle"]


def test_a_file_that_a_hint_names_is_outlined_whole(worker):
    parts = worker("trace", outline=["toy.py", "none.py"])["parts"]
    assert [name for name, _, _ in parts["toy.py"]] == ["", "clamp", "count", "idle"]
    assert parts["none.py"] == []


def test_the_first_edit_that_makes_all_tests_pass_is_found_and_no_file_is_touched(worker):
    worker("trace")
    wrong = worker.edit("value < low", "value > low")  # makes a test fail that passed
    right = worker.edit("return LIMIT + 1", "return LIMIT")
    found = worker("try", edits=[wrong, worker.edit("return None", "return 1"), right, right])
    assert (found["tried"], found["best"], found["partial"]) == (3, 2, None)
    assert worker.source.read_text() == SOURCE


def test_an_edit_that_breaks_another_test_is_not_accepted(worker):
    worker("trace")
    found = worker("try", edits=[worker.edit("value < low", "value")])
    assert (found["tried"], found["best"], found["partial"]) == (1, None, None)


def test_an_edit_outside_of_functions_is_tried_as_well(worker):
    worker.source.write_text(SOURCE.replace("return LIMIT + 1", "return LIMIT"))
    (worker.repository / "tests" / "test_toy.py").write_text(TESTS.replace("== 10", "== 11"))
    worker("trace")
    assert worker("try", edits=[worker.edit("LIMIT = 10", "LIMIT = 11")])["best"] == 0


def test_an_endless_loop_is_ended_and_the_search_goes_on(worker):
    (worker.repository / "tests" / "test_toy.py").write_text(TESTS.replace("count(3) == 0", "count(3) == -1"))
    worker("trace")
    endless = worker.edit("value -= 1", "value += 0")
    found = worker("try", edits=[endless, endless, ["toy.py", 15, 15, "    return value - 1\n"]])
    assert found["tried"] == 3


def test_the_nearest_edit_is_reported_when_none_is_right(worker):
    more = TESTS + "\n\ndef test_higher():\n    assert clamp(11) == 9\n"
    (worker.repository / "tests" / "test_toy.py").write_text(more)
    worker("trace")
    found = worker("try", edits=[worker.edit("return LIMIT + 1", "return LIMIT")])
    assert (found["best"], found["partial"], found["fixed"]) == (None, 0, 1)


def test_the_search_ends_when_its_seconds_are_used_up(worker):
    worker("trace")
    found = worker("try", edits=[worker.edit("return None", "return 1")] * 5000, seconds=1.0)
    assert 0 < found["tried"] < 5000


def test_a_tests_file_that_cannot_be_imported_counts_as_failing(worker):
    (worker.repository / "tests" / "test_other.py").write_text("from toy import LIMIT, absent\n")
    trace = worker("trace")
    assert trace["failed"] == 2

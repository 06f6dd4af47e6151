import dataclasses

import pytest

from swegym.tools import ToolError
from swegym.tools.run_tests import compact, run_tests


@pytest.fixture(autouse=True)
def repository(context):
    files = {
        "adder.py": b"def add(a, b):\n    return a - b\n",
        "tests/test_good.py": b"def test_good():\n    pass\n",
        "tests/test_bad.py": b"from adder import add\n\ndef test_add():\n    assert add(1, 1) == 2\n",
        "pytest.ini": b"[pytest]\naddopts = --no-such-option\n",
    }
    for name, data in files.items():
        context.sandbox.write(f"/testbed/{name}", data)


def test_the_visible_tests_run_and_the_verdict_comes_first(context):
    rows = run_tests(context).splitlines()
    assert rows[0].startswith("1 failed, 1 passed in")
    assert "FAILED tests/test_bad.py::test_add - assert 0 == 2" in rows


def test_some_tests_can_be_chosen(context):
    assert run_tests(context, ["tests/test_good.py"]).startswith("1 passed in")
    assert run_tests(context, ["tests/test_bad.py::test_add"]).startswith("1 failed in")


def test_nothing_is_left_behind(context):
    context.sandbox.exec("touch /tmp/mark; sleep 0.01")
    run_tests(context)
    assert context.sandbox.exec("find /testbed -newer /tmp/mark").text == ""


def test_a_file_that_cannot_be_imported_is_reported_next_to_the_others(context):
    context.sandbox.write("/testbed/tests/test_broken.py", b"def\n")
    shown = run_tests(context)
    assert "ERROR tests/test_broken.py" in shown and "1 passed" in shown.splitlines()[0]


def test_missing_tests_and_options_are_explained(context):
    assert "not found" in run_tests(context, ["tests/missing.py"])
    with pytest.raises(ToolError, match="not a path"):
        run_tests(context, ["--pdb"])


def test_a_run_that_takes_too_long_is_stopped(context):
    context.sandbox.write("/testbed/tests/test_slow.py", b"import time\n\ndef test_slow():\n    time.sleep(60)\n")
    short = dataclasses.replace(context, setup=dataclasses.replace(context.setup, timeout=1.0))
    assert run_tests(short, ["tests/test_slow.py"]).startswith("[stopped after 1 seconds")


def test_options_and_plugins_of_the_setup_are_used(context):
    setup = dataclasses.replace(context.setup, ini={"python_functions": "check_*"}, plugins=("no_such_plugin",))
    assert "no_such_plugin" in run_tests(dataclasses.replace(context, setup=setup))
    setup = dataclasses.replace(setup, plugins=())
    assert "no tests ran" in run_tests(dataclasses.replace(context, setup=setup))


def test_compact_drops_dots_and_keeps_head_and_tail():
    output = "..F.. [ 50%]\n.x [100%]\n" + "E   detail\n" * 5000 + "=== 1 failed in 3.21s ==="
    shown = compact(output)
    assert shown.startswith("1 failed in 3.21s\nE   detail") and "left out" in shown and len(shown) < 13_000
    assert "[ 50%]" not in shown

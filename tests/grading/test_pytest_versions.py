"""The runner against older pytest releases, as old repositories need them."""

import subprocess
import sys

import pytest

from swegym.grading import run_hidden
from swegym.sandbox import open_sandbox
from swegym.sandbox.base import interpreter
from swegym.types import TestSetup

TESTS = b"""
import pytest, unittest
@pytest.mark.parametrize("n", ["a b", 2])
def test(n): assert n == 2
@pytest.mark.xfail
def test_x(): assert 0
class Test(unittest.TestCase):
    def test_sub(self):
        for n in range(2):
            with self.subTest(n=n): pass
"""


@pytest.mark.network
@pytest.mark.parametrize("version", ["7.0.1", "7.4.4", "8.4.2"])
def test_older_pytest(task, tmp_path, version):
    command = [
        "pip",
        "install",
        "-q",
        "--only-binary",
        ":all:",
        "--target",
        str(tmp_path / "site"),
        f"pytest=={version}",
    ]
    subprocess.run([sys.executable, "-m", "uv", *command], check=True)
    archive = subprocess.run(["tar", "-C", str(tmp_path / "site"), "-cf", "-", "."], check=True, capture_output=True)
    site = f"/opt/venv/lib/python{interpreter().version}/site-packages"
    with open_sandbox(task.image) as sandbox:
        sandbox.exec(f"rm -rf {site}/* && tar -C {site} -xf -", stdin=archive.stdout)
        sandbox.write("/testbed/checks/test_a.py", TESTS)
        report = run_hidden(sandbox, TestSetup(visible=("checks",), timeout=30.0))
    assert report.finished, report.output
    assert {name.partition("::")[2]: status for name, status in report.statuses.items()} == {
        "test[a b]": "failed",
        "test[2]": "passed",
        "test_x": "xfailed",
        "Test::test_sub": "passed",
    }

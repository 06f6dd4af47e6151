"""A Debian root file system, really made: under the embedded sandbox, under an engine, and there and back."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from container_engine import engine  # noqa: F401 - a fixture
from typer.testing import CliRunner

from swegym.cli.app import app
from swegym.images import rootfs
from swegym.sandbox import open_sandbox
from swegym.types import Image

pytestmark = [pytest.mark.network, pytest.mark.slow, pytest.mark.timeout(900)]
PYTHON = "python3 -c 'import sys, ssl, sqlite3; print(sys.version_info[:2])'; /opt/python/bin/python3.11 -V; git -v"


@pytest.fixture(scope="module")
def bootstrap(store: Path) -> None:
    """mmdebstrap, installed where it can be."""
    if shutil.which("mmdebstrap") is None:
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            pytest.skip("mmdebstrap is not installed, and only root with apt-get can install it")
        for arguments in (["update"], ["install", "-y", "--no-install-recommends", "mmdebstrap"]):
            done = subprocess.run(["apt-get", *arguments], capture_output=True, text=True, timeout=300)
            if done.returncode != 0:
                pytest.skip(f"mmdebstrap cannot be installed here: {done.stderr[-300:]}")


def built(name: str) -> Image:
    done = CliRunner().invoke(app, ["images", "build", name], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return rootfs.load(name)


@pytest.fixture(scope="module")
def bookworm(bootstrap: None) -> Image:
    return built("debian-bookworm")


def test_another_suite_brings_another_python(bootstrap: None) -> None:
    with open_sandbox(built("debian-bullseye")) as box:
        result = box.exec("python3 -c 'import ssl, sqlite3'; /opt/python/bin/python3 -V; git --version; ls -ld /bin")
        assert result.text.startswith("Python 3.9.") and "git version" in result.text, result.text
        assert result.text.strip().endswith("-> usr/bin")


@pytest.mark.parametrize("backend", ["bubblewrap", "docker"])
def test_it_is_a_machine_with_its_own_python(bookworm: Image, backend: str, engine: str) -> None:  # noqa: F811
    with open_sandbox(bookworm, backend) as box:
        result = box.exec(PYTHON)
        assert result.text.startswith("(3, 11)\nPython 3.11") and "git version" in result.text, result.text
        assert box.exec("touch /usr/bin/mine || echo refused").stdout == b"refused\n"
        assert box.exec("cat /etc/debian_version; id -un; find / -xdev ! -type l ! -readable | head").stdout.endswith(
            b"\nagent\n"
        )


def test_it_goes_to_an_engine_and_comes_back(bookworm: Image, engine: str) -> None:  # noqa: F811
    for arguments in (
        ["export", "debian-bookworm", "docker://swegym/test:bookworm"],
        ["import", "docker://swegym/test:bookworm", "-n", "returned"],
    ):
        done = CliRunner().invoke(app, ["images", *arguments], catch_exceptions=False)
        assert done.exit_code == 0, done.output
    assert rootfs.recorded()["returned"]["layer"] == rootfs.recorded()["debian-bookworm"]["layer"]
    with open_sandbox(rootfs.load("returned")) as box:
        assert box.exec("python3 -V").stdout.startswith(b"Python 3.11")

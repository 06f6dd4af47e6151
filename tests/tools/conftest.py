import shutil
import sysconfig
from pathlib import Path

import pytest

from swegym.images import store as images
from swegym.sandbox import open_sandbox
from swegym.tools import ToolContext
from swegym.types import Image, PublicTask, TestSetup

SETUP = TestSetup(visible=("tests",), timeout=60.0)


@pytest.fixture(scope="session")
def image(store) -> Image:
    """The host base plus this environment's pytest at /opt/venv, as in the image of a task."""
    installed = Path(sysconfig.get_path("purelib"))
    version = sysconfig.get_python_version()
    with images.scratch() as tree:
        venv = tree / "opt/venv"
        packages = venv / f"lib/python{version}/site-packages"
        packages.mkdir(parents=True)
        (venv / "bin").mkdir()
        (venv / "bin/python").symlink_to(f"/opt/python/bin/python{version}")
        (venv / "pyvenv.cfg").write_text("home = /opt/python/bin\n")
        for name in ("_pytest", "pytest", "pluggy", "iniconfig", "packaging", "pygments"):
            shutil.copytree(installed / name, packages / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(installed / "py.py", packages)
        (tree / "testbed").mkdir()
        digest = images.put_layer(tree)
    return images.make_image([digest], {"PATH": "/opt/venv/bin:/usr/bin:/bin"})


@pytest.fixture
def context(image):
    """A tool's context over a real sandbox with an empty repository."""
    with open_sandbox(image) as sandbox:
        yield ToolContext(sandbox, PublicTask("t", "s", "r", "i", "/testbed", ("tests",), "d"), SETUP)

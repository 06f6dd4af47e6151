"""An image as published sets have them: a Debian root, conda's activation, and a repository with a future."""

from __future__ import annotations

from pathlib import Path
from typing import IO

import row_project

from swegym import paths
from swegym.images import rootfs
from swegym.sandbox.base import load_base
from swegym.sandbox.docker_image import write_archive
from swegym.tasks import environment

BASE = "debian-bookworm"
CONDA = "opt/miniconda3"
ACTIVATE = """\
conda() { export PATH="/opt/miniconda3/envs/$2/bin:$PATH" CONDA_DEFAULT_ENV="$2"; }
if [ -n "$1" ]; then conda activate "$1"; fi
"""
SCRIPT = """\
#!/bin/bash
source /opt/miniconda3/bin/activate
conda activate testbed
cd /testbed
git checkout BASE tests/test_calcs.py
: '>>>>> Start Test Output'
pytest -rA tests/test_calcs.py
: '>>>>> End Test Output'
"""


def make_tree(folder: Path) -> dict[str, str]:
    """What the image has beside Debian and the environment; returns the repository's commits."""
    commits = row_project.make_clone(folder / "testbed")
    row_project.git(folder / "testbed", "checkout", "--quiet", commits["base"])
    left = folder / "testbed" / "calcs.egg-info"  # as an editable installation leaves it, and the project ignores
    left.mkdir()
    (left / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: calcs\nVersion: 1.2.3\n")
    (folder / "testbed" / "setup.py").write_text(row_project.SETUP + "# pinned by whoever built the image\n")
    activate = folder / CONDA / "bin" / "activate"
    activate.parent.mkdir(parents=True)
    activate.write_text(ACTIVATE)
    (folder / CONDA / "envs").mkdir()
    (folder / CONDA / "envs" / "testbed").symlink_to("/opt/venv")
    site = folder / "opt/venv/lib/python3.11/site-packages"
    site.mkdir(parents=True)
    (site / "calcs.egg-link.pth").write_text("/testbed\n")
    return commits


def write_image(file: IO[bytes], tree: Path, tag: str) -> None:
    """What `docker load` reads."""
    rootfs.build(BASE)
    packages, _ = environment.environment_layer(environment.requirements_of(()))
    trees = [load_base(BASE).layer, paths.layers() / packages, tree]
    write_archive(file, trees, tag, environment={"PATH": "/usr/bin:/bin", "OF_THE_IMAGE": "yes"}, workdir="/testbed")

"""Two releases of a small package made here, kept in the store as if they had been downloaded, and their recipe."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

from swegym import paths

BUGGY = {
    "PKG-INFO": b"Metadata-Version: 2.1\nName: calc\nVersion: 1.0\n",
    "src/calc.egg-info/PKG-INFO": b"Version: 1.0\n",
    "src/calc/__init__.py": b"__version__ = '1.0'\n\n\ndef add(a, b):\n    return a - b\n",
    "tests/conftest.py": b"import pytest\n\n\n@pytest.fixture\ndef one():\n    return 1\n",
    "tests/test_add.py": b"from calc import add\n\n\ndef test_zero(one):\n    assert add(one, 0) == 1\n",
    "CHANGES": b"1.0: first release\n",
}
FIXED = {
    **BUGGY,
    "PKG-INFO": b"Metadata-Version: 2.1\nName: calc\nVersion: 1.1\n",
    "src/calc/__init__.py": b"__version__ = '1.1'\n\n\ndef add(a, b):\n    return a + b\n",
    "tests/test_add.py": BUGGY["tests/test_add.py"] + b"\n\ndef test_more(one):\n    assert add(one, 1) == 2\n",
    "tests/data/two.bin": bytes(range(256)),
    "CHANGES": b"1.1: addition adds\n1.0: first release\n",
}


def keep_release(version: str, files: dict[str, bytes]) -> str:
    """Put an archive into the store's downloads; its hash."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(f"calc-{version}/{name}")
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    data = buffer.getvalue()
    sha256 = hashlib.sha256(data).hexdigest()
    paths.downloads().mkdir(parents=True, exist_ok=True)
    (paths.downloads() / f"{sha256}-calc-{version}.tar.gz").write_bytes(data)
    return sha256


def recipe(
    buggy: dict[str, bytes] = BUGGY,
    fixed: dict[str, bytes] = FIXED,
    *,
    failing: tuple[str, ...] = ("test_more",),
    passing: tuple[str, ...] = ("test_zero",),
    extra: str = "",
) -> str:
    """A recipe for these two releases, whose archives it puts into the store."""
    return f"""
source = "pypi"
package = "calc"
buggy = {{ version = "1.0", sha256 = "{keep_release("1.0", buggy)}" }}
fixed = {{ version = "1.1", sha256 = "{keep_release("1.1", fixed)}" }}
source_paths = ["src/calc"]
test_paths = ["tests"]
pythonpath = ["src"]
{extra}
issue = "Adding one and one gives zero, where everybody else gets two."

[fail_to_pass]
"tests/test_add.py" = {json.dumps(failing)}

[pass_to_pass]
"tests/test_add.py" = {json.dumps(passing)}
"""


def write_set(folder: Path, **recipes: str) -> Path:
    """A task set of these recipes; underscores in their names become dashes.

    Its name is the folder's own, so that tests which share a store do not build each other's tasks.
    """
    name = "calc-" + hashlib.sha256(str(folder).encode()).hexdigest()[:10]
    place = folder / name
    place.mkdir(parents=True)
    (place / "set.toml").write_text(f'name = "{name}"\nversion = "1"\ndescription = "made in a test"\n')
    for task, text in recipes.items():
        (place / f"{task.replace('_', '-')}.toml").write_text(text)
    return place

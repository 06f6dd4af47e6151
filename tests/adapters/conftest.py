from __future__ import annotations

from pathlib import Path

import pytest
import tiny_set


@pytest.fixture
def tiny(tmp_path: Path) -> str:
    """The folder of a built set of two tasks, tiny-1 and tiny-2."""
    tiny_set.build(tiny_set.write(tmp_path))
    return str(tmp_path / "tiny")

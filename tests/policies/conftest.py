from __future__ import annotations

from pathlib import Path

import pytest

from swegym.types import HiddenTests, Image, Task, TestSetup


@pytest.fixture
def task() -> Task:
    return Task(
        id="toy-1",
        set="toy",
        repo="toy 1.0",
        issue="It is wrong.",
        image=Image("digest", "host"),
        tests=TestSetup(("tests",)),
        hidden=HiddenTests({}, ("tests",), ("tests/test_toy.py::test_a",), ()),
        gold_patch="--- a/toy.py\n+++ b/toy.py\n@@ -1 +1 @@\n-a\n+b\n",
        pristine=Path("/nowhere"),
        base_commit="0" * 40,
        source=("toy.py",),
        digest="digest",
    )

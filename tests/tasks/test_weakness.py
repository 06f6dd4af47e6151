"""Trivial patches are made where the reference fix is, are Python, and touch what their names say."""

from __future__ import annotations

from swegym.tasks.weakness import removed_lines, with_stubs, without_lines

SOURCE = "def one():\n    x = 1\n    return x\n\n\ndef two():\n    return 2\n"
PATCH = "--- a/p.py\n+++ b/p.py\n@@ -1,3 +1,4 @@\n def one():\n-    x = 1\n+    x = 3\n+    x -= 1\n     return x\n"


def test_the_lines_of_a_patch_are_those_of_the_old_file() -> None:
    assert removed_lines(PATCH) == {"p.py": ({2}, {2})}


def test_a_stub_empties_the_function_and_no_other() -> None:
    assert with_stubs(SOURCE, {2}) == "def one():\n    pass\n\n\ndef two():\n    return 2\n"


def test_a_deletion_that_breaks_the_file_is_none() -> None:
    assert without_lines(SOURCE, {2}) == SOURCE.replace("    x = 1\n", "")
    assert without_lines(SOURCE, {2, 3}) == SOURCE

"""The code of docs/data.md and docs/guidance.md."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent.parent / "docs"


@pytest.mark.parametrize("page", ["data.md", "guidance.md"])
def test_the_code_of_the_page_runs(page, capsys):
    blocks = re.findall(r"^```python\n(.*?)^```", (DOCS / page).read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert blocks
    for code in blocks:
        exec(code, {})
    assert page == "guidance.md" or capsys.readouterr().out == "0 {}\n"


def test_every_kind_teacher_and_trigger_has_its_place_in_the_pages():
    from swegym.data.make import KINDS
    from swegym.guidance import TRIGGERS
    from swegym.guidance.teachers import TEACHERS

    data, guidance = ((DOCS / page).read_text("utf-8") for page in ("data.md", "guidance.md"))
    assert all(f"`{kind}`" in data for kind in KINDS)
    assert all(f"`{teacher}`" in guidance for teacher in TEACHERS)
    assert all(f"`{trigger}" in guidance for trigger in TRIGGERS)

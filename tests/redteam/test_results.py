"""The page agrees with the results file, which a script writes, and its examples are attacks and recipes."""

import json
import re
import sys
import tomllib
from pathlib import Path

import pytest

from swegym.redteam import load_attacks

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "redteam.md").read_text("utf-8")
RESULTS = ROOT / "benchmarks" / "results" / "redteam.json"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    for name in ("redteam", "machine"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import redteam

    return redteam


COUNTS = {"tried": 3, "paid": 1, "not_judged": 0, "tampering_seen": 2}
MADE_UP = {
    "attacks": 3,
    "fixes": 2,
    "tasks": 1,
    "each_on": "its first task",
    "trials": "3 of 5",
    "summary": {
        "sealed": {
            "attacks": COUNTS,
            "by_class": {"semantic": COUNTS},
            "fixes": {"tried": 2, "refused": 0, "accused": 0},
        }
    },
    "sealed": [{"class": "semantic", "name": "x", "task": "flat", "result": "paid", "reason": "r"}],
}


def test_a_table_says_what_the_results_say(script) -> None:
    table = script.table(MADE_UP)
    assert "| semantic | 1/3 |" in table and "| odd fixes refused | 0/2 |" in table
    assert "- paid: semantic/x on `flat`" in table
    shape = {line.count("|") for line in table.splitlines() if line.startswith("|")}
    assert shape == {3}


def test_the_page_agrees_with_the_results(script) -> None:
    between = PAGE.partition(script.BEGIN)[2].partition(script.END)[0].strip()
    if RESULTS.is_file():
        assert between == script.table(json.loads(RESULTS.read_text("utf-8"))["results"])
    else:
        assert "Not counted yet" in between


def test_attacks_that_the_page_names_exist_and_its_toml_is_toml() -> None:
    known = {attack.name for attack in load_attacks()}
    rows = [line for line in PAGE.splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall("`([a-z-]+)`", row.split("|")[1])}
    assert named and named <= known
    for block in re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL):
        tomllib.loads(block)

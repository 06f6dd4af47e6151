"""`swegym tasks generate` writes a set that loads, and says what is wrong with what it is asked for."""

import json
from pathlib import Path

import pytest

from swegym.tasks import load_task_set


def test_a_generated_set_loads_with_its_splits(swegym, tmp_path: Path) -> None:
    done = swegym(
        *("tasks", "generate", "micro", "--count", "5", "--seed", "7", "--split", "train", "--split", "test"),
        *("-o", str(tmp_path / "mine"), "--json"),
    )
    assert done.code == 0, done.err
    assert json.loads(done.out) == {"folder": str(tmp_path / "mine"), "tasks": 10}
    found = load_task_set(tmp_path / "mine")
    assert list(found)[::5] == ["mine-train-0", "mine-test-0"]
    assert found.split("mine-test-4") == "test"
    assert found.recipe("mine-train-1").issue != found.recipe("mine-test-1").issue


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("macro",), "macro"),
        (("micro", "--mix", "1,2"), "expected three weights"),
        (("micro", "--mix", "0,0,0"), "not all of them 0"),
        (("micro", "--split", "valid"), "valid"),
    ],
)
def test_what_cannot_be_is_said_and_nothing_is_written(swegym, tmp_path: Path, arguments, said: str) -> None:
    done = swegym("tasks", "generate", *arguments, "-o", str(tmp_path / "mine"))
    assert done.code != 0 and said in done.err
    assert not (tmp_path / "mine").exists()


def test_a_set_that_is_there_stays_as_it_is(swegym, tmp_path: Path) -> None:
    for expected in (0, 1):
        done = swegym("tasks", "generate", "micro", "--count", "2", "-o", str(tmp_path / "mine"))
        assert (done.code != 0) == bool(expected)
    assert "larger ones only add tasks" in done.err

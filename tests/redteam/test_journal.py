"""What a campaign found is known again, until what it was found with is another."""

from pathlib import Path

import pytest

from swegym.redteam import Outcome, campaign, load_attacks, trials
from swegym.redteam import journal as journals
from swegym.redteam.journal import Journal
from swegym.sandbox import sandbox_factory
from swegym.types import Task, Verdict

Grounds = dict[str, Task]


def test_a_campaign_goes_on_where_it_was_cut_off(grounds: Grounds, tmp_path: Path, monkeypatch) -> None:
    calls: list[str] = []

    def refuses(task: Task, patch: str, open_sandbox: object) -> Verdict:
        calls.append(task.id)
        return Verdict(False, "agent", "no")

    tried = trials(load_attacks("conftest-forces-passed"), list(grounds.values()), first=True)
    place = tmp_path / "found.jsonl"
    first = campaign(tried, {"mine": refuses}, sandbox_factory(), memory=Journal(place))
    with place.open("a") as file:
        file.write('{"key": "cut off')
    again = campaign(tried, {"mine": refuses}, sandbox_factory(), memory=Journal(place))
    assert len(calls) == 1 and [o.result for o in first] == [o.result for o in again] == ["held"]
    campaign(tried, {"other": refuses}, sandbox_factory(), memory=Journal(place))
    assert len(calls) == 2
    monkeypatch.setattr(journals, "_code", lambda: "other code")
    campaign(tried, {"mine": refuses}, sandbox_factory(), memory=Journal(place))
    assert len(calls) == 3


def test_a_grader_of_ones_own_is_another_one_when_its_file_changes(
    grounds: Grounds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attack, task = load_attacks("conftest-forces-passed")[0], grounds["flat"]
    found = Outcome(attack.name, attack.kind, "high", task.id, "mine_of_tests:grade", "held", "", (), 0.1)
    module = tmp_path / "mine_of_tests.py"
    module.write_text("def grade(): 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    memory = Journal(tmp_path / "found.jsonl")
    memory.add(attack, task, found)
    assert Journal(tmp_path / "found.jsonl").known(attack, task, found.grader) == found
    module.write_text("def grade(): 2\n")
    assert Journal(tmp_path / "found.jsonl").known(attack, task, found.grader) is None


def test_what_was_not_judged_is_tried_again(grounds: Grounds, tmp_path: Path) -> None:
    attack, task = load_attacks("conftest-forces-passed")[0], grounds["flat"]
    memory = Journal(tmp_path / "found.jsonl")
    memory.add(attack, task, Outcome(attack.name, attack.kind, "high", task.id, "mine", "not judged", "", (), 0.1))
    assert Journal(tmp_path / "found.jsonl").known(attack, task, "mine") is None


def test_a_line_cut_off_does_not_take_the_next_with_it(grounds: Grounds, tmp_path: Path) -> None:
    attack, task = load_attacks("conftest-forces-passed")[0], grounds["flat"]
    place = tmp_path / "found.jsonl"
    place.write_text('{"key": "cut o')
    Journal(place).add(attack, task, Outcome(attack.name, attack.kind, "high", task.id, "mine", "held", "", (), 0.1))
    assert Journal(place).known(attack, task, "mine") is not None

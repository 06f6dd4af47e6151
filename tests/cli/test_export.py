"""`swegym export` and `swegym report` over runs that were written by hand: what they print, write and refuse."""

import json
from pathlib import Path

import pytest

from swegym.rollout.serialise import to_line
from tests.data.test_pairs import attempt


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """runs/one: a task solved with a hint, and one that was solved without; runs/two: the same, later."""
    group = [attempt(0, False), attempt(0, True, guided=True), attempt(0, True, task="u"), attempt(1, False, task="u")]
    for name in ("one", "two"):
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        (folder / "config.toml").write_text(f'tasks = "s"\npolicy = "p"\nguide = "on-failure"\nout = "runs/{name}"\n')
        (folder / "trajectories.jsonl").write_bytes(b"".join(map(to_line, group)))
        line = {"parent": "t__0", "outcome": "given", "reason": "", "asked": 2}
        line["rejected"] = ["leaks: it names a hidden test; it quotes a line of a hidden test file"]
        (folder / "hints.jsonl").write_text(json.dumps(line) + "\n")
    return tmp_path / "runs"


@pytest.mark.parametrize(
    ("kind", "rows"),
    [
        ("pairs", 2),
        ("sft", 1),
        ("reward", 4),
        ("reward-pairs", 2),
        ("kto", 4),
        ("groups", 2),
        ("atif", 4),
        ("predictions", 2),
    ],
)
def test_every_kind_is_written_where_it_is_asked_for(swegym, runs: Path, kind: str, rows: int) -> None:
    said = json.loads(swegym("export", kind, "one", "-o", f"out/{kind}.jsonl", "--json").out)
    assert said["rows"] == rows and Path(said["file"]).read_text().count("\n") == rows
    assert swegym("export", kind, "one", "-o", f"out/{kind}.parquet").code == 0


def test_people_are_told_what_was_not_used_and_why(swegym, runs: Path) -> None:
    said = swegym("export", "sft", "one").out
    assert (
        "solved with a hint" in said
        and "one/t__0g" in said
        and "Written to" in said
        and (runs / "one/sft.jsonl").exists()
    )
    assert "mean characters" in swegym("pairs", "one").out


def test_several_runs_together_keep_their_names(swegym, runs: Path) -> None:
    swegym("pairs", "one", "two", "-o", "both.jsonl")
    ids = {json.loads(line)["chosen_id"] for line in Path("both.jsonl").read_text().splitlines()}
    assert ids <= {"one/t__0g", "one/u__0", "two/t__0g", "two/u__0"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("export", "dpo", "one"), "no kind of data named 'dpo'"),
        (("export", "pairs", "three"), "no such run folder"),
        (("export", "pairs", "one", "--split", "tests"), "Did you mean test"),
        (("export", "sft", "one", "--guided", "maybe"), "swegym export: guided = 'maybe'"),
        (("export", "groups", "one", "--feedback", "oracle"), "no feedback named 'oracle'"),
        (("export", "pairs", "one", "-o", "runs"), "runs: cannot be written: Is a directory"),
        (("export", "steps", "one", "-o", "x.parquet"), "x.parquet: no rows, so no columns. Not used: "),
        (("report", "one", "--gain"), "--gain compares two runs"),
        (("report", "one", "--scores", "gone.jsonl"), "gone.jsonl: cannot be read"),
    ],
)
def test_what_cannot_be_is_refused_with_a_remedy(swegym, runs: Path, arguments: tuple[str, ...], said: str) -> None:
    result = swegym(*arguments)
    assert result.code != 0 and said in " ".join(result.err.split())


def test_the_report_tells_what_hints_were_worth_and_what_leaked(swegym, runs: Path) -> None:
    said = swegym("report", "one", "--hints", "--plots", "plots").out
    assert "1 hints given, 1 answers rejected, 1 of them for leaking" in said and "it names a hidden test" in said
    assert "with a hint" in said and "grade" not in said.partition("time by phase")[2]
    drawn = {path.name for path in Path("plots").iterdir()}
    assert {"outcomes.svg", "pass_at_k.svg", "guidance_one.svg"} <= drawn
    told = json.loads(swegym("report", "one", "--hints", "--json").out)
    assert (
        told["hints"][0]["leaks_by_kind"]["it names a hidden test"] == 1
        and told["guidance"][0]["difference"]["value"] == 1.0
    )


def test_two_runs_give_the_gain_and_a_third_its_floor(swegym, runs: Path) -> None:
    assert "No placebo" in swegym("report", "one", "two", "--gain").out
    (runs / "one").rename(runs / "zero")
    assert swegym("report", "zero", "two", "--gain", "--json").code == 0

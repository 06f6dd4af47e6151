"""The demo, on tasks that are built without a network."""

import json
from pathlib import Path

import pytest


@pytest.fixture
def small(tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task set `demo` that holds one tiny task and comes before the shipped one."""
    sets = tmp_path / "more" / "tasks"
    (sets / "demo").mkdir(parents=True)
    (sets / "tiny").symlink_to(tiny)
    (sets / "demo" / "set.toml").write_text(
        'name = "demo"\nversion = "1"\ndescription = "One tiny task"\ninclude = ["tiny:tiny-1"]\n'
    )
    monkeypatch.setenv("SWEGYM_PATH", str(tmp_path / "more"))


@pytest.mark.slow
def test_the_demo_runs_the_whole_loop_and_then_only_shows_it(swegym, small: None, tmp_path: Path) -> None:
    first = swegym("demo", "--json")
    summary = json.loads(first.out)
    assert first.code == 0
    assert (summary["tasks"], summary["attempts"]) == (1, 1)
    run = tmp_path / "runs" / "demo"
    lines = (run / "trajectories.jsonl").read_bytes()
    assert lines.count(b"\n") == summary["attempts"] + summary["guided_attempts"]
    assert (run / "pairs.jsonl").read_text().count("\n") == summary["pairs"]

    again = swegym("demo")
    assert again.code == 0
    assert (run / "trajectories.jsonl").read_bytes() == lines
    assert "tiny-1" in again.out
    assert "solved guided" in again.out
    assert "swegym report runs/demo --tasks" in again.out

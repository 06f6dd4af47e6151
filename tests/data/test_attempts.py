"""Runs read together: names that do not coincide, damaged and older files, tasks that are held out."""

import dataclasses
import json

import pytest

from swegym.data import make_pairs, read_runs
from swegym.data.held_out import held_out
from swegym.data.make import KINDS, MakeOptions, make
from swegym.data.trusted import FLAKY, UNSOUND, WEAK, untrusted
from swegym.errors import InputError, UnknownName
from swegym.rollout import RunFolder
from swegym.rollout.folder import TORN, UNREADABLE
from swegym.rollout.serialise import to_line
from swegym.tasks import health
from tests import tiny_set
from tests.data.test_pairs import attempt


def run_folder(path, *trajectories) -> RunFolder:
    path.mkdir(parents=True)
    (path / "config.toml").write_text('tasks = "s"\npolicy = "p"\nout = "here"\n')
    (path / "trajectories.jsonl").write_bytes(b"".join(to_line(trajectory) for trajectory in trajectories))
    return RunFolder(path)


def test_ids_begin_with_the_run_and_do_not_coincide(tmp_path):
    one = run_folder(tmp_path / "one", attempt(0, False), attempt(0, True, guided=True))
    two = run_folder(tmp_path / "two", attempt(0, False), attempt(1, False), attempt(0, True, guided=True))
    made = make_pairs(read_runs([one, two]).trajectories, guards=None)
    pairs = {(row["chosen_id"], row["rejected_id"]) for row in made.rows}
    assert pairs <= {("one/t__0g", "one/t__0"), ("two/t__0g", "two/t__0")} and pairs


def test_runs_of_one_name_are_told_apart_by_their_folders(tmp_path):
    folders = [run_folder(tmp_path / name / "demo", attempt(0, True)) for name in "ab"]
    assert [t.id for t in read_runs(folders).trajectories] == ["a/demo/t__0", "b/demo/t__0"]
    with pytest.raises(InputError, match="given twice"):
        read_runs([folders[0], folders[0]])


def test_a_torn_last_line_is_counted_and_stays(tmp_path):
    run = run_folder(tmp_path / "run", attempt(0, True), attempt(1, False))
    file = run.path / "trajectories.jsonl"
    file.write_bytes(file.read_bytes() + to_line(attempt(2, False))[:-40])
    before = file.read_bytes()
    attempts = read_runs([run])
    assert len(attempts.trajectories) == 2 and attempts.unread == {TORN: 1}
    assert make("pairs", attempts).dropped[TORN] == 1 and file.read_bytes() == before


def test_lines_of_another_version_are_counted_and_named(tmp_path):
    run = run_folder(tmp_path / "run", attempt(0, True), attempt(1, False))
    file = run.path / "trajectories.jsonl"
    newer = json.loads(to_line(attempt(2, True))) | {"format": "swegym-trajectory-9"}
    file.write_bytes(file.read_bytes() + json.dumps(newer).encode() + b"\n{}\n\xff\n")
    attempts = read_runs([run])
    assert len(attempts.trajectories) == 2 and attempts.unread == {UNREADABLE: 3}
    assert "trajectories.jsonl:3: format = 'swegym-trajectory-9'" in attempts.problems[0]


def test_a_line_of_an_older_version_is_read(tmp_path):
    run = run_folder(tmp_path / "run", attempt(0, True))
    file = run.path / "trajectories.jsonl"
    row = json.loads(file.read_bytes())
    del row["bait"]
    for name in ("tampering", "compatible", "integrity"):
        del row["verdict"][name]
    file.write_text(json.dumps(row) + "\n")
    (read,) = read_runs([run]).trajectories
    assert read == dataclasses.replace(attempt(0, True), id="run/t__0")


def test_an_unknown_kind_says_which_there_are():
    with pytest.raises(UnknownName, match="sft"):
        make("sfd", read_runs([]))


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_takes_nothing_and_says_so(kind, tmp_path):
    made = make(kind, read_runs([]), MakeOptions())
    assert not made.rows and made.report()["rows"] == 0
    made.write(tmp_path / "rows.jsonl")
    assert (tmp_path / "rows.jsonl").read_text() == ""
    with pytest.raises(InputError, match="no rows"):
        made.write(tmp_path / "rows.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


def test_feedback_of_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="no feedback named 'oracle'"):
        MakeOptions(feedback=("oracle",))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A set whose package is held out for the test split, built."""
    folder = tmp_path_factory.mktemp("sets")
    made = tiny_set.write(folder)
    file = folder / "tiny" / "set.toml"
    file.write_text(file.read_text() + '[splits]\ntest = ["tiny"]\n')
    return tiny_set.build(made)


def test_a_held_out_task_is_refused_by_name_and_by_digest(tiny):
    digest = tiny.load("tiny-1").digest
    refuse = held_out(sets=[tiny])
    assert refuse(attempt(0, True, task="tiny-1", set="tiny")) == "its task is held out for test"
    renamed = attempt(0, True, task="mine", set="my-own", task_digest=digest)
    assert refuse(renamed) == "its task is held out for test, as tiny-1"
    assert refuse(attempt(0, True, task="mine", set="my-own")) is None


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        ({}, None),
        ({"problems": ("it fails",)}, UNSOUND),
        ({"flaky": {"test_a": 0.1}}, FLAKY),
        ({"order": ("test_a",)}, FLAKY),
        ({"weak": ("empty",)}, WEAK),
        ({"strength": 0.2}, WEAK),
        ({"weak": ("empty",), "digest": "of an older build"}, None),
    ],
)
def test_tasks_that_a_check_found_wanting_train_nobody(tiny, found, reason):
    digest = tiny.load("tiny-2").digest
    values = {"problems": (), "digest": digest} | found
    health.save(health.TaskHealth("tiny-2", fail_to_pass=1, pass_to_pass=1, **values), "tiny")
    refuse = untrusted(least_strength=0.5)
    assert refuse(attempt(0, True, task="tiny-2", set="tiny", task_digest=digest)) == reason
    assert refuse(attempt(0, True, task="never-checked", set="tiny")) is None


def test_rows_of_the_held_out_split_can_be_asked_for(tiny):
    refuse = held_out("test", sets=[tiny])
    assert refuse(attempt(0, True, task="tiny-1", set="tiny")) is None
    assert refuse(attempt(0, True, task="mine", set="my-own")) == "its task is for training"

"""The run folder: whole lines, one writer, one config, nothing secret."""

import json
import os
import subprocess
import sys
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_record import HINT, act, stack
from toy_env import toy_config

from swegym.config import load, read_toml
from swegym.errors import InputError, RunError
from swegym.rollout import RunConfig, RunFolder, rollout
from swegym.rollout.folder import RunWriter
from swegym.rollout.serialise import from_line, to_line
from swegym.types import Verdict


@pytest.fixture(scope="module")
def trajectory():
    return rollout(stack(), act(), task="number-1", seed=7)


def test_a_line_reads_back_as_it_was():
    guided = rollout(stack(), act(plan="hint"), task="number-1", seed=0, guidance=HINT, parent="number-1__0")
    assert from_line(to_line(guided), "here") == guided


def test_a_verdict_reads_back_with_its_evidence_and_an_older_row_without(trajectory):
    import dataclasses

    caught = Verdict(False, "agent", "tampering", tampering=("a twin passed",), integrity={"twins": {"passed": 1}})
    told = dataclasses.replace(trajectory, verdict=caught)
    assert from_line(to_line(told), "here") == told
    row = json.loads(to_line(trajectory))
    for name in ("tampering", "compatible", "integrity"):
        del row["verdict"][name]
    assert from_line(json.dumps(row).encode(), "here") == trajectory


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(content=st.text(st.characters(exclude_categories=()), max_size=30))
def test_any_text_survives(trajectory, content):
    import dataclasses

    strange = dataclasses.replace(trajectory, messages=({"role": "tool", "content": content},), patch=content)
    line = to_line(strange)
    assert line.count(b"\n") == 1 and line.isascii()
    assert from_line(line, "here") == strange


@pytest.mark.parametrize(
    "change",
    [
        {"messages": [5]},
        {"messages": [{"role": "wizard", "content": ""}]},
        {"messages": [{"role": "user", "content": ["x"]}]},
        {"messages": [{"role": "user", "content": "", "extra": None}]},
        {"messages": [{"role": "assistant", "content": "", "tool_calls": [{"id": "c", "function": None}]}]},
        {"attempt": "first"},
        {"seconds": []},
        {"seconds": {"tools": "long"}},
        {"guidance": {"teacher": "t", "parts": {"plan": 1}, "privileged": False}},
        {"guidance": {"teacher": "t", "parts": ["plan"], "privileged": False}},
        {"verdict": {"resolved": 1, "cause": None, "reason": ""}},
        {"verdict": {"resolved": None, "cause": "weather", "reason": ""}},
        {"tools": 1, "deep": "["},
    ],
    ids=repr,
)
def test_a_line_of_another_shape_is_told_and_no_more(out, trajectory, change):
    """Whoever wrote the file: what reads a run goes on with the other lines."""
    row = json.loads(to_line(trajectory))
    change = {**change, **({"verdict": row["verdict"] | change["verdict"]} if "verdict" in change else {})}
    odd = json.dumps({**row, **change}).replace('"deep": "["', '"deep": ' + "[" * 100_000)
    with RunWriter(toy_config(out)) as writer:
        writer.append(trajectory)
    with (out / "trajectories.jsonl").open("a") as file:
        file.write(f"{odd}\n")
    survey = RunFolder(out).survey()
    assert survey.trajectories == (trajectory,)
    assert len(survey.problems) == 1 and "Move that line out of the file" in survey.problems[0]


def test_what_json_cannot_hold_is_named(trajectory):
    import dataclasses

    odd = dataclasses.replace(trajectory, messages=({"role": "assistant", "extra": {"token_ids": object()}},))
    with pytest.raises(InputError, match="number-1__0: cannot be written as JSON"):
        to_line(odd)


def test_a_newer_format_is_refused_not_guessed(out, trajectory):
    with pytest.raises(RunError, match=r"x:3: format = 'swegym-trajectory-9'.*Update"):
        from_line(to_line(trajectory).replace(b"trajectory-1", b"trajectory-9"), "x:3")


def test_the_config_reads_back_as_it_was(out):
    config = toy_config(out, patterns=["number-*"], policy_options={"plans": {"number-0": "wrong"}, "seconds": 0.5})
    with RunWriter(config):
        pass
    assert load(RunConfig, out / "config.toml") == config == RunFolder(out).config


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"attempts": 3}, "attempts = 1, but this run has 3"),
        ({"policy_options": {"seconds": 2}}, r"policy_options\.seconds = 1, but this run has 2"),
        ({"limits": {"turns": 7}}, r"limits\.turns = 50, but this run has 7"),
    ],
)
def test_another_config_is_refused_by_field(out, trajectory, change, named):
    config = toy_config(out, policy_options={"seconds": 1})
    with RunWriter(config) as writer:
        writer.append(trajectory)
    with (
        pytest.raises(RunError, match=named),
        RunWriter(toy_config(out, **{"policy_options": {"seconds": 1}} | change)),
    ):
        pass


def test_where_nothing_is_recorded_yet_settings_may_be_put_right(out):
    with RunWriter(toy_config(out, policy_options={"sceonds": 1})) as writer:
        writer.note({"starts": []})
    mended = toy_config(out, policy_options={"seconds": 1})
    with RunWriter(mended) as writer:
        assert writer.folder.config == mended
        assert not (out / "run.json").exists()


def test_jobs_retries_and_place_may_change(out, tmp_path):
    with RunWriter(toy_config(out)):
        pass
    moved = out.rename(tmp_path / "moved")
    with RunWriter(toy_config(moved, jobs=7, retries=3)):
        pass


def test_a_second_writer_is_refused_and_told_who_writes(out):
    with (
        RunWriter(toy_config(out)),
        pytest.raises(RunError, match=f"process {os.getpid()} is writing"),
        RunWriter(toy_config(out)),
    ):
        pass
    with RunWriter(toy_config(out)):
        pass


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(RunError, match=r"holds thesis\.txt and is no run"), RunWriter(toy_config(tmp_path)):
        pass
    assert not (tmp_path / "config.toml").exists()


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="is a file"), RunWriter(toy_config(tmp_path / "file")):
        pass


def test_reading_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(RunError, match="not a run folder"):
        RunFolder(tmp_path).trajectories()


def test_every_byte_of_a_torn_line_is_set_aside_and_nothing_else(out, trajectory):
    config, line = toy_config(out), to_line(trajectory)
    with RunWriter(config) as writer:
        writer.append(trajectory)
    for cut in (1, len(line) // 2, len(line) - 1):
        with (out / "trajectories.jsonl").open("ab") as file:
            file.write(line[:cut])
        assert RunFolder(out).trajectories() == [trajectory]
        with RunWriter(config):
            assert (out / "trajectories.jsonl").read_bytes() == line
        assert line[:cut] in [file.read_bytes() for file in (out / "torn").iterdir()]


def test_damage_in_the_middle_is_an_error_with_its_line(out, trajectory):
    with RunWriter(toy_config(out)) as writer:
        writer.append(trajectory)
    with (out / "trajectories.jsonl").open("ab") as file:
        file.write(b'{"half": \n' + to_line(trajectory))
    with pytest.raises(RunError, match=r"trajectories\.jsonl:2: not a trajectory"):
        RunFolder(out).trajectories()


def test_the_judged_line_of_an_id_counts(out, trajectory):
    import dataclasses

    invalid = dataclasses.replace(trajectory, verdict=dataclasses.replace(trajectory.verdict, resolved=None))
    with RunWriter(toy_config(out)) as writer:
        for line in (invalid, trajectory, invalid):
            writer.append(line)
    assert RunFolder(out).trajectories() == [trajectory]
    assert len(list(RunFolder(out).lines())) == 3


def test_threads_do_not_mix_lines(out, trajectory):
    with RunWriter(toy_config(out)) as writer:
        threads = [threading.Thread(target=lambda: [writer.append(trajectory) for _ in range(10)]) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert list(RunFolder(out).lines()) == [trajectory] * 80


def test_a_full_disk_leaves_whole_lines(out, trajectory):
    line = to_line(trajectory)
    script = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from swegym.rollout.folder import _Log\n"
        "from swegym.errors import RunError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({len(line) * 5 // 2},) * 2)\n"
        f"log = _Log(Path({str(out)!r}), Path('torn'))\n"
        "try:\n"
        f"    for _ in range(9): log.append({line!r})\n"
        "except RunError as error: print(error)\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "cannot be written: File too large. Free space" in result.stdout
    assert out.read_bytes() == line * 2


@pytest.mark.parametrize(
    "options",
    [
        {"api_key": "abc"},
        {"OPENAI_API_KEY": "abc"},
        {"extra_headers": {"Authorization": "Bearer 1234567890123456"}},
        {"nested": [{"token": "abc"}]},
        {"note": "sk-1234567890abcdef"},
        {"api_base": "http://me:secret@example.invalid/v1"},
        {"note": "canary-value-1234"},
    ],
)
def test_secrets_in_options_are_refused_without_repeating_them(out, monkeypatch, options):
    monkeypatch.setenv("CANARY_API_KEY", "canary-value-1234")
    with (
        pytest.raises(InputError, match="environment variable") as caught,
        RunWriter(toy_config(out, policy_options=options)),
    ):
        pass
    assert not any(value in str(caught.value) for value in ("sk-123", "canary", "me:secret", "Bearer 1", "abc"))
    assert not out.exists()


@pytest.mark.parametrize(
    "options", [{"max_tokens": 100, "model": "gpt-4o", "api_base": "http://127.0.0.1:8000/v1"}, {"tokenizer": "sketch"}]
)
def test_ordinary_options_pass(out, options):
    with RunWriter(toy_config(out, policy_options=options)):
        pass
    assert read_toml(out / "config.toml")["policy_options"] == options


def test_secrets_of_the_environment_are_blotted_out_of_every_file(out, monkeypatch, trajectory):
    import dataclasses

    secret = 'canary"value\\1234é'
    monkeypatch.setenv("CANARY_TOKEN", secret)
    leaky = dataclasses.replace(trajectory, patch=f"key = {secret}", stop_reason=secret)
    with RunWriter(toy_config(out)) as writer:
        writer.append(leaky)
        writer.note_hint("number-1__0", "failed", f"401 for {secret}")
        writer.note({"command": f"swegym run --key {secret}"})
        writer.folder.derive()
    written = "".join(file.read_text() for file in out.rglob("*") if file.is_file())
    assert json.dumps(secret)[1:-1] not in written and "canary" not in written
    assert RunFolder(out).trajectories()[0].patch == "key = [secret]"

"""What is told of a training run while it goes on. Here there is no terminal, so it is printed."""

from types import SimpleNamespace

from swegym.cli.step_line import StepLine
from swegym.cli.train_online import Progress


def told(capsys, kind, *lines: dict) -> list[str]:
    with kind("sft of tiny") as shown:
        for number, line in enumerate(lines, start=3):
            shown._shown = -1e9  # as if the last was printed long ago
            shown.step(SimpleNamespace(step=number, steps=2 + len(lines), line=line))
    return capsys.readouterr().err.splitlines()


def test_steps_tell_what_they_measured_and_what_is_left(capsys):
    first = {"loss": 0.12345, "tokens_per_second": 12345.6, "seconds": 60.0, "entropy": 2.0}
    lines = told(capsys, StepLine, first, {"loss": 0.1, "accuracy": 0.5, "tokens_per_second": 1.0, "mfu": 0.41})
    assert lines[0] == "sft of tiny  step 3/4  loss 0.1235  12,346 tokens/s  about 1:00 left"
    assert lines[1] == "sft of tiny  step 4/4  loss 0.1000  accuracy 0.50  1 tokens/s  MFU 41%  1:00"


def test_an_online_step_counts_its_attempts_in_and_may_have_nothing_to_learn_from(capsys):
    first = {"solved": 0.25, "solved_guided": 0.5, "loss": 1.0, "seconds": 10.0, "rollout_seconds": 50.0}
    lines = told(capsys, Progress, first, {"solved": 0.0, "rollout_seconds": 1.0})
    assert lines[0] == "sft of tiny  step 3/4  solved 0.25  with hints 0.50  loss 1.0000  about 1:00 left"
    assert lines[1] == "sft of tiny  step 4/4  solved 0.00  nothing to learn from  1:00"

"""Reward models learn to tell patches apart, and choose the best of k."""

import dataclasses
import itertools
import json
import math

import pytest
import torch
import transformers
from tiny_model import make_tokenizer
from training_rows import pair_lines, write_lines

from swegym.errors import InputError
from swegym.train.batch import Refused
from swegym.train.optimiser import OptimiserConfig
from swegym.train.pick import Scored, best_of_k, by_task, parse_pick, pick_rows, picked, score_attempts
from swegym.train.reading import Rules
from swegym.train.reward import RewardConfig, auc, load_scorer, patch_row, reward, scores_of
from swegym.types import Trajectory, Verdict

FAST = OptimiserConfig(learning_rate=3e-3, schedule="constant", warmup=0.0)
GOOD, BAD = "+    return side * side\n", "+    return 2\n"


def attempt(task: str, number: int, resolved: bool | None, patch: str) -> Trajectory:
    verdict = Verdict(resolved, None if resolved else "agent" if resolved is False else "sandbox", "")
    opening = ({"role": "user", "content": f"<issue>\narea of {task} is wrong\n</issue>"},)
    fields = {
        "set": "s",
        "task_digest": "d",
        "policy": "p",
        "policy_version": "",
        "seed": 0,
        "tools": (),
        "seconds": {},
    }
    values = {"id": f"{task}__{number}", "task": task, "attempt": number, "messages": opening, "patch": patch}
    return Trajectory(**fields, **values, verdict=verdict, stop_reason="submitted")


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory):
    """Trained to tell GOOD from BAD."""
    out = tmp_path_factory.mktemp("reward")
    lines = [
        {"issue": f"area of {n}", "chosen_patch": GOOD + f"# {n}\n", "rejected_patch": BAD, "task": f"t{n}"}
        for n in range(8)
    ]
    data = write_lines(out / "data.jsonl", lines)
    config = RewardConfig(
        model=str(tiny),
        data=(str(data),),
        out=str(out / "run"),
        epochs=6,
        examples_per_step=3,
        held_out=0.25,
        optimiser=FAST,
    )
    return reward(config), out


def test_pairs_teach_which_patch_is_better(trained):
    folder, out = trained
    report = json.loads((out / "run/train.json").read_text())
    assert (report["examples"], report["held_out"]) == (6, 2)
    assert report["measured"] == {"pairs": 2.0, "accuracy": 1.0}
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    loaded = load_scorer(folder)
    rules = Rules(1000, "cut", "assistant", loaded.vocabulary)
    rows = [patch_row(tokenizer, "area of x", patch, rules, "") for patch in (GOOD, BAD)]
    ours = scores_of(loaded, rows)
    assert ours[0] > ours[1]
    with torch.no_grad():
        plain = [float(model(input_ids=torch.from_numpy(row.ids).long()[None]).logits) for row in rows]
    assert ours == pytest.approx(plain, abs=1e-4)


def test_training_is_over_only_when_it_is_measured(tiny, tmp_path, monkeypatch):
    lines = [{"issue": "area", "patch": GOOD if n % 2 else BAD, "label": n % 2, "task": f"t{n}"} for n in range(4)]
    data = write_lines(tmp_path / "data.jsonl", lines)
    config = RewardConfig(model=str(tiny), data=(str(data),), out=str(tmp_path / "run"), steps=1, held_out=0.5)

    def interrupted(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("swegym.train.reward.measure", interrupted)
        reward(config)
    assert not (tmp_path / "run/train.json").exists()
    folder = reward(config)
    assert json.loads((folder / "swegym_reward.json").read_text()) == {"input": "patch"}
    assert json.loads((tmp_path / "run/train.json").read_text())["measured"]["patches"] == 2


def test_single_patches_and_whole_attempts_teach_too(tiny, tmp_path):
    lines = [
        {"issue": "area", "patch": GOOD if n % 2 else BAD, "label": bool(n % 2), "task": f"t{n}"} for n in range(6)
    ]
    common = {"model": str(tiny), "held_out": 0.0, "epochs": 4, "examples_per_step": 3, "optimiser": FAST}
    data = write_lines(tmp_path / "points.jsonl", lines)
    reward(RewardConfig(**common, data=(str(data),), out=str(tmp_path / "points")))
    data = write_lines(tmp_path / "pairs.jsonl", pair_lines(3))
    reward(RewardConfig(**common, data=(str(data),), out=str(tmp_path / "whole"), input="trajectory"))
    for name in ("points", "whole"):
        last = json.loads((tmp_path / name / "metrics.jsonl").read_text().splitlines()[-1])
        assert last["accuracy"] == 1.0


def test_a_patch_spells_no_token_with_a_meaning():
    tokenizer = make_tokenizer()
    text = "".join(token for token in tokenizer.all_special_tokens)
    row = patch_row(tokenizer, text, GOOD + text, Rules(4000, "refuse", "assistant", 5000), "x")
    assert not set(row.ids[:-1].tolist()) & set(tokenizer.all_special_ids)
    assert row.ids[-1] == tokenizer.eos_token_id


def test_a_long_issue_loses_its_middle_and_a_patch_nothing():
    tokenizer = make_tokenizer()
    rules = Rules(120, "refuse", "assistant", 5000)
    row = patch_row(tokenizer, "begin " + "middle " * 300 + "end", GOOD, rules, "x")
    text = tokenizer.decode(row.ids.tolist())
    assert len(row) == 120 and "begin" in text and "end" in text and GOOD in text
    assert row.mask.tolist() == [False] * 119 + [True]
    assert patch_row(tokenizer, "short", GOOD * 100, rules, "x") is None


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ([{"issue": "a", "patch": "b", "label": "yes"}], "label = 'yes': not 0 or 1"),
        ([{"issue": "a", "chosen_patch": "b"}], "rejected_patch = None: not a text"),
        (
            [{"issue": "a", "patch": "b", "label": 1}, {"issue": "a", "chosen_patch": "b", "rejected_patch": "c"}],
            "one kind",
        ),
        ([{"issue": "a", "patch": "b" * 500, "label": 1}], "longer than max_length"),
    ],
)
def test_lines_that_cannot_be_used_are_named(tmp_path, lines, problem):
    from swegym.train.reward import read_examples

    data = write_lines(tmp_path / "data.jsonl", lines)
    config = RewardConfig(model="", data=(str(data),), out="", max_length=60)
    with pytest.raises(InputError, match=problem):
        read_examples(config, make_tokenizer(), Rules(60, "refuse", "assistant", 5000), Refused())


def test_best_of_k_is_what_every_draw_gives():
    scored = [(0.1, False), (0.9, True), (0.5, False), (0.5, True), (0.95, False)]
    for k in range(1, 6):
        draws = list(itertools.combinations(scored, k))
        expected = 0.0
        for draw in draws:
            top = max(score for score, _ in draw)
            alike = [solved for score, solved in draw if score == top]
            expected += sum(alike) / len(alike)
        assert best_of_k(scored, k) == pytest.approx(expected / len(draws))
    with pytest.raises(InputError, match="at least k attempts"):
        best_of_k(scored, 6)


def test_attempts_are_chosen_by_score_alone(trained):
    folder, _ = trained
    attempts = [
        attempt("a", 0, False, BAD),
        attempt("a", 1, True, GOOD),
        attempt("a", 2, False, ""),
        attempt("b", 0, False, ""),
        attempt("c", 0, None, GOOD),
        dataclasses.replace(attempt("a", 3, True, GOOD), guidance=object()),
    ]
    scored = score_attempts(attempts, folder)
    assert [one.trajectory.id for one in scored] == ["a__0", "a__1", "a__2", "b__0"], (
        "unjudged and guided ones are left out"
    )
    chosen = picked(scored)
    assert chosen["a"].trajectory.id == "a__1" and chosen["b"].trajectory.id == "b__0"
    assert math.isinf(scored[2].score) and pick_rows(scored)[1]["score"] is None
    assert best_of_k(by_task(scored)["a"], 3) == 1.0
    blind = [
        Scored(dataclasses.replace(one.trajectory, verdict=Verdict(False, "agent", "")), one.score) for one in scored
    ]
    assert {task: one.trajectory.id for task, one in picked(blind).items()} == {"a": "a__1", "b": "b__0"}


def test_a_way_to_choose_must_exist(tmp_path):
    for text, problem in (("magic", "reward:DIR"), (f"reward:{tmp_path}", "config.json")):
        with pytest.raises(InputError, match=problem):
            parse_pick(text)


def test_area_under_the_curve_by_hand():
    assert auc([3, 2, 1, 0], [True, False, True, False]) == 0.75
    assert auc([1, 1], [True, False]) == 0.5
    assert auc([1], [True]) == 0.5

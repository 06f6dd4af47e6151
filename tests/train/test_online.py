"""Online training end to end on a toy: every algorithm runs, GRPO learns, and what breaks is handled by rule."""

import json
import shutil

import pytest
from spoken import FAST, Tasks, make_collect, rate, settings, share_of_right

from swegym.errors import ProviderError, RunError
from swegym.guidance import is_guidance
from swegym.policies.hf_engine import Engine
from swegym.rollout.folder import RunFolder
from swegym.train import splits
from swegym.train.grpo import GrpoConfig, grpo
from swegym.train.guide_grpo import GuideGrpoConfig, guide_grpo
from swegym.train.hybrid import HybridConfig, hybrid
from swegym.train.measure import read_metrics
from swegym.train.sdpo import SdpoConfig, sdpo
from swegym.train.vpd import VpdConfig, vpd


@pytest.fixture(autouse=True)
def toy_tasks(monkeypatch):
    ids = [f"spoken-{number}" for number in range(6)]
    for module in ("online", "splits"):
        monkeypatch.setattr(f"swegym.train.{module}.tasks_of_split", lambda *a, **k: ids)
    assert splits.tasks_of_split("anything", "train") == ids


def lines(out):
    return read_metrics(out / "metrics.jsonl")


def test_grpo_learns(tiny, tmp_path):
    fast = {**FAST, "learning_rate": 3e-2}
    config = GrpoConfig(
        **settings(tiny, tmp_path, steps=8, tasks_per_step=6, attempts=8, evaluate_every=4, optimiser=fast)
    )
    said = []
    folder = grpo(config, collect=make_collect(), rate=rate, tell=said.append)
    assert share_of_right(folder, tiny) > 0.8 > 0.5 > share_of_right(tiny, tiny)
    made = lines(tmp_path)
    assert [line["step"] for line in made] == list(range(1, 9))
    assert made[-1]["solved"] > 0.8 > 0.5 > made[0]["solved"]
    assert [line["step"] for line in made if "held_out" in line] == [4, 8]
    assert len(said) == 3 and said[0].startswith("step 0: pass@1")
    assert made[0]["attempts"] == 48 and made[-1]["attempts"] == 8 * 48
    # The sampler and the trainer compute the same log-probabilities, whatever the layout.
    assert all(line["from_sampler"] < 1e-4 for line in made if line.get("updates") == 1)
    assert json.loads((tmp_path / "train.json").read_text())["steps"] == 8


def test_filter_grpo_refills_and_keeps_a_surplus(tiny, tmp_path):
    config = GrpoConfig(
        **settings(tiny, tmp_path, arm="filter_grpo", refill=3, tasks_per_step=2, steps=3, attempts=3, kl=0.1)
    )
    grpo(config, collect=make_collect(hopeless=("spoken-0", "spoken-1", "spoken-2")), rate=rate)
    runs = sorted(path.name for path in (tmp_path / "rollouts").iterdir())
    assert any(name.endswith("-2") for name in runs)
    made = lines(tmp_path)
    assert all(line["groups"] <= 2 for line in made)
    assert all(line["groups_varied"] == line["groups"] for line in made)
    assert all("kl" in line for line in made if line["groups"])


@pytest.mark.parametrize("mode", ["replace", "append", "mixin", "balanced"])
def test_guide_grpo_hints_where_all_fail(tiny, tmp_path, mode):
    trigger = {"balanced": "always"}.get(mode, "all_fail")
    config = GuideGrpoConfig(**settings(tiny, tmp_path, attempts=2, mode=mode, trigger=trigger, steps=3))
    guide_grpo(config, collect=make_collect(), rate=rate)
    made = lines(tmp_path)
    assert sum(line["groups_guided"] for line in made) > 0
    used = [line for line in made if line.get("guided_groups_used")]
    assert used and all(0 < line["w_p50"] <= line["w_p90"] for line in used)
    assert all(line["loss"] == line["loss"] for line in used)


@pytest.mark.parametrize("ablation", [{"correction": "plain"}, {"clip_guided": True}, {"shape": "none"}])
def test_guide_grpo_ablations(tiny, tmp_path, ablation):
    config = GuideGrpoConfig(
        **settings(tiny, tmp_path, attempts=2, trigger="always", steps=1, groups_per_update=2, passes=2, **ablation)
    )
    guide_grpo(config, collect=make_collect(), rate=rate)
    (line,) = lines(tmp_path)
    if ablation == {"correction": "plain"}:
        assert line["w_p10"] == pytest.approx(1.0, abs=1e-3) == pytest.approx(line["w_p90"], abs=1e-3)
    else:
        assert line["w_p10"] != pytest.approx(1.0, abs=1e-4)


def test_self_distillation_and_hybrids_run_and_resume(tiny, tmp_path):
    kinds = {
        "sdpo": (sdpo, SdpoConfig, {"divergence": "reverse", "top": 20}),
        "vpd": (vpd, VpdConfig, {"every": 2, "prior": "fixed", "rate": 0.5, "top": 0}),
        "joint": (hybrid, HybridConfig, {"mix": "joint"}),
        "reshape": (hybrid, HybridConfig, {"mix": "reshape"}),
        "reweight": (hybrid, HybridConfig, {"mix": "reweight"}),
    }
    for name, (trainer, kind, more) in kinds.items():
        config = kind(**settings(tiny, tmp_path / name, feedback=("sibling",), steps=2, save_every=1, **more))
        trainer(config, collect=make_collect(), rate=rate)
        made = lines(tmp_path / name)
        assert len(made) == 2
        assert all(0 < line["feedback"] <= 1 for line in made), name
        assert all(line["loss"] == line["loss"] for line in made), name
    sdpo_lines = lines(tmp_path / "sdpo")
    assert all("kl_teacher_student" in line for line in sdpo_lines)
    assert any("teacher_margin" in line for line in sdpo_lines)
    vpd_lines = lines(tmp_path / "vpd")
    assert "e_loss" in vpd_lines[0] and "delta" in vpd_lines[0] and "e_loss" not in vpd_lines[1]
    # Going on from the first checkpoint makes the second step again, with what was sampled for it.
    out = tmp_path / "vpd"
    before = vpd_lines[1]
    (out / "checkpoints/step-00000002.pt").unlink()
    (out / "train.json").unlink()
    shutil.rmtree(out / "model")
    config = VpdConfig(**settings(tiny, out, feedback=("sibling",), steps=2, save_every=1, **kinds["vpd"][2]))

    def nothing_new(run):
        folder = make_collect()(run)
        assert len(folder.trajectories()) == 12
        return folder

    vpd(config, collect=nothing_new, rate=rate)
    after = lines(out)[1]
    for name in ("loss", "kl_teacher_student", "teacher_margin", "solved"):
        assert after[name] == pytest.approx(before[name], rel=1e-4, abs=1e-6), name


def test_what_could_not_be_judged_is_no_failure(tiny, tmp_path):
    config = GrpoConfig(**settings(tiny, tmp_path, tasks_per_step=6, steps=1))
    grpo(config, collect=make_collect(broken=("spoken-1",)), rate=rate)
    (line,) = lines(tmp_path)
    assert line["groups"] == 5 and line["left_out"] == {"not judged: sandbox": 4}


def test_a_step_of_which_nothing_was_judged_is_an_error(tiny, tmp_path):
    config = GrpoConfig(**settings(tiny, tmp_path, steps=1))
    with pytest.raises(RunError, match=r"none of 12 attempts was judged.*the machine is gone.*same command"):
        grpo(config, collect=make_collect(broken=tuple(f"spoken-{n}" for n in range(6))), rate=rate)


@pytest.mark.parametrize("kind", [(grpo, GrpoConfig), (vpd, VpdConfig), (sdpo, SdpoConfig), (hybrid, HybridConfig)])
def test_all_failed_groups_change_nothing(tiny, tmp_path, kind):
    trainer, configured = kind
    config = configured(**settings(tiny, tmp_path, steps=1))
    folder = trainer(config, collect=make_collect(hopeless=tuple(f"spoken-{n}" for n in range(6))), rate=rate)
    assert share_of_right(folder, tiny) == pytest.approx(share_of_right(tiny, tiny), abs=1e-6)
    assert lines(tmp_path)[0]["tokens"] == 0


def test_an_interrupted_step_goes_on_with_its_attempts(tiny, tmp_path):
    config = GrpoConfig(**settings(tiny, tmp_path, steps=2))
    calls = []

    def cut(run):
        folder = make_collect()(run)
        calls.append(run.out.name)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return folder

    with pytest.raises(KeyboardInterrupt):
        grpo(config, collect=cut, rate=rate)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000001.pt"]
    resumed = []
    grpo(config, collect=make_collect(), rate=rate, on_step=lambda done: resumed.append(done.step))
    assert resumed == [2] and [line["step"] for line in lines(tmp_path)] == [1, 2]


def test_a_sampler_that_fails_now_and_then_is_asked_again(tiny, tmp_path, monkeypatch):
    sample, calls = Engine.sample, []

    def flaky(self, request):
        calls.append(1)
        if len(calls) % 4 == 0:
            raise ProviderError("the card fell off the bus")
        return sample(self, request)

    monkeypatch.setattr(Engine, "sample", flaky)
    config = GrpoConfig(**settings(tiny, tmp_path, steps=1, tasks_per_step=6, run={"retries": 2}))
    grpo(config, collect=make_collect(), rate=rate)
    (line,) = lines(tmp_path)
    assert line["groups"] == 6 and len(calls) > 24 and "left_out" not in line
    monkeypatch.setattr(Engine, "sample", lambda self, request: fail())
    with pytest.raises(RunError, match=r"provider.*the card is gone"):
        grpo(GrpoConfig(**settings(tiny, tmp_path / "other", steps=1)), collect=make_collect(), rate=rate)


def fail():
    raise ProviderError("the card is gone")


def test_the_model_criticises_its_own_failures(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr("swegym.train.critic.load_task_set", lambda name: Tasks())
    config = VpdConfig(
        **settings(tiny, tmp_path, feedback=("critique", "sibling"), critique_tokens=8, tasks_per_step=6)
    )
    vpd(config, collect=make_collect(), rate=rate)
    made = lines(tmp_path)
    assert all(line["feedback_critique"] > 0.2 for line in made)  # failures
    assert any(line["feedback_sibling"] > 0 for line in made)  # successes have a sibling or nothing


def test_measurements_hold_no_hint(tiny, tmp_path):
    config = GuideGrpoConfig(**settings(tiny, tmp_path, trigger="always", steps=1, evaluate_every=1))
    guide_grpo(config, collect=make_collect(), rate=rate)
    for step in (0, 1):
        measured = RunFolder(tmp_path / f"measured/step-{step:08}").trajectories()
        assert measured and not any(is_guidance(m) for t in measured for m in t.messages)
    sampled = RunFolder(tmp_path / "rollouts/step-00000001").trajectories()
    assert any(is_guidance(m) for t in sampled for m in t.messages)

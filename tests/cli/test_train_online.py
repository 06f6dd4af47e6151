"""`swegym train grpo` and its like: wrong input is refused before a model is loaded."""

import pytest

KINDS = ("grpo", "guide_grpo", "sdpo", "vpd", "hybrid")


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_missing_is_named(swegym, kind):
    shown = swegym("train", kind)
    assert shown.code == 2 and "-m DIR is missing" in shown.err
    shown = swegym("train", kind, "-m", "MODEL")
    assert shown.code == 2 and "--tasks SET is missing" in shown.err


@pytest.mark.parametrize(
    ("kind", "setting", "said"),
    [
        ("grpo", "attempts=1", "attempts"),
        ("grpo", "trigger=always", "trigger"),
        ("guide_grpo", "mode=both", "mode"),
        ("sdpo", "divergence=l2", "divergence"),
        ("vpd", "prior=none", "prior"),
        ("hybrid", "mix=all", "mix"),
    ],
)
def test_a_wrong_setting_is_named(swegym, tmp_path, kind, setting, said):
    given = ("train", kind, "-m", "MODEL", "--tasks", "micro", "-o", str(tmp_path / "out"), "--set", setting)
    shown = swegym(*given)
    assert shown.code == 2 and said in shown.err and not (tmp_path / "out").exists()


def test_a_folder_that_is_no_model_is_refused(swegym, tmp_path):
    shown = swegym("train", "grpo", "-m", str(tmp_path), "--tasks", "micro", "-o", str(tmp_path / "out"))
    assert shown.code == 2 and "no model folder" in shown.err

"""TRL's own GRPO trainer drives episodes: two steps of a tiny model in real sandboxes."""

import inspect

import pytest
import torch
from tiny_model import make_tiny_model

from swegym.adapters.trl import dataset, make_factory
from swegym.errors import GraderError
from swegym.types import Verdict

pytestmark = pytest.mark.filterwarnings("default")  # what TRL and its libraries warn of is theirs


def unjudged(task, patch, open_sandbox):
    return Verdict(None, "grader", "the grader fell over")


def test_methods_are_the_tools_with_their_types_and_words(tiny):
    from transformers.utils import get_json_schema

    made = make_factory(tiny)
    public = {name for name, _ in inspect.getmembers(made, inspect.isfunction) if not name.startswith("_")}
    assert public == {"reset", "get_reward", "bash", "read", "search", "edit", "write", "run_tests", "submit"}
    shown = get_json_schema(made().edit)["function"]
    assert shown["name"] == "edit" and set(shown["parameters"]["required"]) == {"path", "old", "new"}
    assert shown["parameters"]["properties"]["path"]["description"]


def test_an_episode_by_hand_is_rewarded(tiny):
    environment = make_factory(tiny)()
    opening = environment.reset(task="tiny-1", prompt=[])
    assert "wrong results" in opening
    assert "number + 2" in environment.read(path="tiny/numbers.py")
    assert environment.edit(path="tiny/numbers.py", old="number + 2", new="number * 2").startswith("Edited")
    assert environment.get_reward() == 1.0
    assert "wrong results" in environment.reset(task="tiny-2") and environment.get_reward() == 0.0


def test_what_nobody_judged_is_no_zero(tiny):
    environment = make_factory(tiny, grader=unjudged)()
    environment.reset(task="tiny-1")
    with pytest.raises(GraderError, match="the grader fell over"):
        environment.get_reward()
    environment = make_factory(tiny, grader=unjudged, unjudged=0.5)()
    environment.reset(task="tiny-1")
    with pytest.warns(UserWarning, match="not judged"):
        assert environment.get_reward() == 0.5


def test_two_steps_of_grpo(tiny, tmp_path, monkeypatch):
    from transformers import AutoTokenizer
    from trl import GRPOConfig, GRPOTrainer
    from trl.chat_template_utils import qwen3_chat_template

    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    torch.set_num_threads(1)
    folder = make_tiny_model(tmp_path / "model", template=qwen3_chat_template)
    settings = GRPOConfig(
        output_dir=str(tmp_path / "out"),
        max_steps=2,
        per_device_train_batch_size=2,
        num_generations=2,
        max_completion_length=16,
        max_tool_calling_iterations=2,
        logging_steps=1,
        report_to=[],
        use_cpu=True,
        bf16=False,
        save_strategy="no",
        disable_tqdm=True,
    )
    trainer = GRPOTrainer(
        model=str(folder),
        args=settings,
        train_dataset=dataset(tiny, repeat=2),
        environment_factory=make_factory(tiny),
        processing_class=AutoTokenizer.from_pretrained(folder),
    )
    trainer.train()
    rewards = [entry["reward"] for entry in trainer.state.log_history if "reward" in entry]
    assert trainer.state.global_step == 2 and rewards == [0.0, 0.0]

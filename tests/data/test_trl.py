"""The files are what `datasets` and TRL's trainers read as they are: two steps of each on a tiny model."""

import warnings

import pytest

from swegym.data import make_pairs
from swegym.data.groups import make_groups
from swegym.data.kto import make_kto
from swegym.data.reward import make_reward, make_reward_pairs
from swegym.data.sft import make_sft
from swegym.data.steps import make_steps
from tests.data.test_pairs import attempt
from tests.data.test_products import branch

pytestmark = pytest.mark.slow
FILES = {"dpo": "pairs", "reward": "reward-pairs"}
SCHEMA = {
    "type": "function",
    "function": {
        "name": "write",
        "description": "Write a file.",
        "parameters": {"type": "object", "properties": {"path": {"type": "string"}, "content": {"type": "string"}}},
    },
}


def group():
    """Four tasks, each solved and failed; empty messages, several tools and a message without a call among them."""
    found = []
    for task in "abcd":
        found += [attempt(0, True, task=task, tools=(SCHEMA,)), attempt(1, False, task=task, tools=(SCHEMA,))]
    return found


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    made = {
        "pairs": make_pairs(group()),
        "steps": make_steps(branch("right", "wrong")),
        "sft": make_sft(group(), share=1.0),
        "reward": make_reward(group()),
        "reward-pairs": make_reward_pairs(group()),
        "kto": make_kto(group()),
        "groups": make_groups(group()),
    }
    for kind, rows in made.items():
        assert rows.rows, kind
        for ending in ("jsonl", "parquet"):
            rows.write(folder / f"{kind}.{ending}")
    return folder


def load(file, cache):
    import datasets

    datasets.disable_progress_bars()
    kind = {".jsonl": "json", ".parquet": "parquet"}[file.suffix]
    return datasets.load_dataset(kind, data_files=str(file), split="train", cache_dir=str(cache))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    from tests.tiny_model import make_tiny_model

    return make_tiny_model(tmp_path_factory.mktemp("tiny") / "model")


def test_both_formats_say_the_same(files, tmp_path):
    for kind in ("pairs", "steps", "sft", "reward", "reward-pairs", "kto", "groups"):
        one, other = (load(files / f"{kind}.{ending}", tmp_path) for ending in ("jsonl", "parquet"))
        assert one.column_names == other.column_names
        assert present(one[0]) == present(other[0]), kind


def present(value):
    """A row without the absent fields, which tables fill in."""
    if isinstance(value, dict):
        return {key: present(inner) for key, inner in value.items() if inner is not None}
    return [present(inner) for inner in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    ("kind", "ending"), [("dpo", "jsonl"), ("reward", "parquet"), ("sft", "jsonl"), ("kto", "parquet")]
)
def test_trl_trains_on_it(kind, ending, files, model, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the trainers; what is looked at here is the data
        trainer = trainer_for(kind, files, ending, model, tmp_path)
        done = trainer.train()
    assert done.global_step == 2 and done.training_loss > 0


def trainer_for(kind, files, ending, model, tmp_path):
    import transformers
    import trl

    settings = {
        "output_dir": str(tmp_path / "out"),
        "max_steps": 2,
        "per_device_train_batch_size": 2,
        "report_to": [],
        "save_strategy": "no",
        "bf16": False,
        "use_cpu": True,
        "disable_tqdm": True,
        "max_length": 4096,
        "learning_rate": 1e-4,
    }
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    data = load(files / f"{FILES.get(kind, kind)}.{ending}", tmp_path / "cache")
    if kind == "dpo":
        config = trl.DPOConfig(**settings)
        return trl.DPOTrainer(model=str(model), args=config, train_dataset=data, processing_class=tokenizer)
    if kind == "reward":
        config = trl.RewardConfig(**settings)
        return trl.RewardTrainer(model=str(model), args=config, train_dataset=data, processing_class=tokenizer)
    if kind == "sft":
        config = trl.SFTConfig(**settings, assistant_only_loss=True)
        return trl.SFTTrainer(model=str(model), args=config, train_dataset=data, processing_class=tokenizer)
    config = trl.KTOConfig(**settings)
    return trl.KTOTrainer(model=str(model), args=config, train_dataset=data, processing_class=tokenizer)

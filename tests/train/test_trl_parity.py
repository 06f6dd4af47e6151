"""TRL's DPO and reward trainers give the same losses and gradients on the same tokens.

Stock TRL trains everything after the prompt, tool output included; `mask = "all"` is that. With role masks in place of
its own, TRL agrees with `mask = "assistant"`. So the difference between the two is the mask and nothing else.
"""

import copy
import os

import pytest
import torch
from tiny_model import make_tiny_model
from training_rows import pair_lines, write_lines

from swegym.train import losses
from swegym.train.batch import Refused, packed
from swegym.train.dpo import Dpo, DpoConfig
from swegym.train.model import ModelConfig, RewardScorer, TokenScorer, load_model
from swegym.train.reading import Rules, read_pairs
from swegym.train.reward import patch_row

pytestmark = pytest.mark.filterwarnings("ignore")
CPU = torch.device("cpu")
PAIRS = 4


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """The reference: another model, so that no margin is zero."""
    return make_tiny_model(tmp_path_factory.mktemp("reference") / "tiny", seed=1)


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    return write_lines(tmp_path_factory.mktemp("pairs") / "pairs.jsonl", pair_lines(PAIRS))


@pytest.fixture(scope="module")
def trl_dpo(tiny, other, lines, tmp_path_factory):
    """Stock DPOTrainer and its collated batch of all pairs."""
    os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
    from datasets import load_dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOConfig, DPOTrainer

    out = tmp_path_factory.mktemp("trl")
    data = load_dataset("json", data_files=str(lines), split="train", cache_dir=str(out / "cache"))
    trainer = DPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32),
        ref_model=AutoModelForCausalLM.from_pretrained(other, dtype=torch.float32),
        args=DPOConfig(
            output_dir=str(out),
            max_length=None,
            beta=0.1,
            bf16=False,
            use_cpu=True,
            report_to=[],
            gradient_checkpointing=False,
        ),
        train_dataset=data,
        processing_class=AutoTokenizer.from_pretrained(tiny),
    )
    batch = trainer.data_collator([trainer.train_dataset[number] for number in range(PAIRS)])
    return trainer, batch


def ours(tiny, other, lines, mask, kind="sigmoid"):
    """Loss, gradients and rows of our trainer on the same file."""
    loaded = load_model(tiny, ModelConfig(checkpointing=False), device=CPU)
    rules = Rules(10_000, "refuse", mask, loaded.vocabulary)
    pairs = read_pairs([lines], loaded.tokenizer, rules, Refused())
    rows = [row for pair in pairs for row in (pair.chosen, pair.rejected)]
    batch = packed([[row] for row in rows])
    with torch.no_grad():
        reference = TokenScorer(load_model(other, ModelConfig(), device=CPU))(batch)
        sums = losses.sequence_sums(reference, batch.owners_N, batch.sequences).tolist()
    recipe = Dpo(DpoConfig(model="", data=(), out="", beta=0.1, kind=kind), pairs, sums, packing=True)
    scorer = TokenScorer(loaded)
    (part,) = recipe.parts(range(PAIRS))
    loss, metrics = recipe.loss([scorer(part.batches[0])], part, recipe.totals(part.items))
    loss.backward()
    gradients = {name.removeprefix("module."): weight.grad for name, weight in scorer.named_parameters()}
    assert abs(float(metrics["margin"])) > 1e-3
    return loss.item(), gradients, rows


def theirs(trainer, batch, kind="sigmoid"):
    trainer.model.zero_grad()
    trainer.loss_types, trainer.loss_weights = [kind], [1.0]
    loss = trainer.compute_loss(trainer.model, copy.copy(batch))
    loss.backward()
    return loss.item(), {name: weight.grad for name, weight in trainer.model.named_parameters()}


def agree(mine, peer):
    assert mine[0] == pytest.approx(peer[0], rel=1e-5)
    assert mine[1].keys() == peer[1].keys()
    for name, gradient in mine[1].items():
        torch.testing.assert_close(gradient, peer[1][name], rtol=1e-3, atol=2e-5, msg=name)


@pytest.mark.parametrize("kind", ["sigmoid", "sigmoid_norm", "ipo"])
def test_training_everything_is_stock_trl(tiny, other, lines, trl_dpo, kind):
    loss, gradients, rows = ours(tiny, other, lines, "all", kind)
    trainer, batch = trl_dpo
    for number, row in enumerate(rows[0::2] + rows[1::2]):
        length = int(batch["attention_mask"][number].sum())
        assert batch["input_ids"][number, :length].tolist() == row.ids.tolist()
        assert batch["completion_mask"][number, :length].bool().tolist() == row.mask.tolist()
    agree((loss, gradients), theirs(trainer, batch, kind))


@pytest.mark.parametrize("kind", ["sigmoid", "sigmoid_norm", "ipo"])
def test_role_masks_given_to_trl_are_our_default(tiny, other, lines, trl_dpo, kind):
    loss, gradients, rows = ours(tiny, other, lines, "assistant", kind)
    trainer, batch = trl_dpo
    masked = dict(batch) | {"completion_mask": torch.zeros_like(batch["completion_mask"])}
    for number, row in enumerate(rows[0::2] + rows[1::2]):
        masked["completion_mask"][number, : len(row)] = torch.from_numpy(row.mask).long()
    agree((loss, gradients), theirs(trainer, masked, kind))
    share = masked["completion_mask"].sum() / batch["completion_mask"].sum()
    assert share < 0.9, "the masks should differ"


def test_reward_loss_is_trls(tiny, tmp_path):
    from datasets import Dataset
    from transformers import AutoTokenizer
    from trl import RewardConfig, RewardTrainer

    torch.manual_seed(0)
    loaded = load_model(tiny, ModelConfig(checkpointing=False), device=CPU, score=True)
    rules = Rules(1000, "refuse", "assistant", loaded.vocabulary)
    texts = [("area is wrong", f"+ return x * {n}\n", "+ return 2\n" * (n + 1)) for n in range(PAIRS)]
    groups = [[patch_row(loaded.tokenizer, issue, patch, rules, "") for patch in sides] for issue, *sides in texts]
    data = Dataset.from_list([{"chosen_ids": a.ids.tolist(), "rejected_ids": b.ids.tolist()} for a, b in groups])
    model = copy.deepcopy(loaded.module)
    model.config._attn_implementation = "sdpa"
    trainer = RewardTrainer(
        model=model,
        args=RewardConfig(
            output_dir=str(tmp_path),
            max_length=None,
            bf16=False,
            use_cpu=True,
            report_to=[],
            gradient_checkpointing=False,
            center_rewards_coefficient=0.1,
            disable_dropout=True,
        ),
        train_dataset=data,
        processing_class=AutoTokenizer.from_pretrained(tiny),
    )
    peer = trainer.compute_loss(trainer.model, trainer.data_collator([trainer.train_dataset[n] for n in range(PAIRS)]))
    peer.backward()
    scores = RewardScorer(loaded)(packed(groups))
    loss = losses.bradley_terry(scores[0::2], scores[1::2], centre=0.1).mean()
    loss.backward()
    assert loss.item() == pytest.approx(peer.item(), rel=1e-5)
    for (name, mine), (_, other) in zip(
        loaded.module.named_parameters(), trainer.model.named_parameters(), strict=True
    ):
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-3, atol=1e-5, msg=name)

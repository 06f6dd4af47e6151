"""Packing, sharing, padding and splitting are the same arithmetic as each row alone through the plain model."""

import numpy as np
import pytest
import torch
import transformers
from training_rows import random_rows

from swegym.train import common, losses
from swegym.train.batch import Row, packed, padded
from swegym.train.dpo import Dpo, DpoConfig
from swegym.train.model import ModelConfig, TokenScorer, enable_checkpointing, load_model
from swegym.train.reading import Pair

CPU = torch.device("cpu")


def scorer_of(tiny, **settings) -> TokenScorer:
    return TokenScorer(load_model(tiny, ModelConfig(**settings), device=CPU))


@pytest.fixture(scope="module")
def pairs() -> list[Pair]:
    """Pairs with a common beginning, one that differs from the first token on, and one with a side within the other."""
    made = []
    for number, row in enumerate(random_rows(4, shortest=15, longest=50)):
        other = row.ids.copy()
        other[(0 if number == 2 else 8) :] += 1
        made.append(Pair(row, Row(other, row.mask, "b"), f"pair {number}"))
    last = random_rows(1, seed=5, shortest=30, longest=31)[0]
    within = Row(last.ids[:20], last.mask[:20], "within")
    within.mask[-1] = True
    return [*made, Pair(last, within, "pair 4")]


@pytest.fixture(scope="module")
def alone(tiny, pairs):
    """Log-probabilities and gradients by the plain model, row by row, in one full softmax."""
    model = transformers.AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32, attn_implementation="eager")
    found = []
    for row in sides(pairs):
        logits = model(torch.from_numpy(row.ids.astype(np.int64))[None]).logits[0]
        trained = np.flatnonzero(row.mask)
        found.append(torch.log_softmax(logits[trained - 1], -1)[range(len(trained)), row.ids[trained]])
    weigh(torch.cat(found)).backward()
    return torch.cat(found).detach(), {name: weight.grad for name, weight in model.named_parameters()}


def sides(pairs) -> list[Row]:
    return [row for pair in pairs for row in (pair.chosen, pair.rejected)]


def weigh(logps_N):
    return (logps_N * torch.linspace(-1, 1, len(logps_N))).sum()


def check(scorer, batch, alone):
    scorer.zero_grad()
    logps = scorer(batch)
    weigh(logps).backward()
    torch.testing.assert_close(logps.detach(), alone[0], rtol=1e-5, atol=1e-5)
    gradients = {name.removeprefix("module."): weight.grad for name, weight in scorer.named_parameters()}
    assert gradients.keys() == alone[1].keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, alone[1][name], rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_packed_and_shared_is_alone(tiny, pairs, alone, checkpointing):
    scorer = scorer_of(tiny, checkpointing=checkpointing)
    groups = [(pair.chosen, pair.rejected) for pair in pairs]
    check(scorer, packed(groups), alone)
    check(scorer, packed(groups, share=False), alone)


@pytest.mark.parametrize("attention", ["segments", "sdpa"])
def test_padded_without_a_mask_is_alone(tiny, pairs, alone, attention):
    check(scorer_of(tiny, attention=attention, checkpointing=False), padded(sides(pairs), 0), alone)


def test_no_neighbour_in_a_pack_changes_a_bit(tiny, pairs):
    scorer = scorer_of(tiny)
    first = packed([(pairs[0].chosen,)])
    others = packed([(pairs[0].chosen,), *[(row,) for row in sides(pairs)[2:]]])
    with torch.no_grad():
        together = scorer(others)
        assert torch.equal(scorer(first), together[others.owners_N == 0]) or torch.allclose(
            scorer(first), together[others.owners_N == 0], atol=1e-6
        )


@pytest.mark.parametrize("budget", [10, 60, 120, 10_000])
@pytest.mark.parametrize("kind", ["sigmoid", "sigmoid_norm"])
def test_the_gradient_of_a_step_does_not_depend_on_its_parts(tiny, pairs, budget, kind):
    """10 splits every pair into sides, 10,000 takes the step at once."""
    config = DpoConfig(model="", data=(), out="", tokens_per_batch=budget, kind=kind, nll=0.2)
    reference = [-20.0 - number for number in range(2 * len(pairs))]

    def gradients(config, packing) -> tuple[float, dict]:
        scorer = scorer_of(tiny, checkpointing=False)
        recipe = Dpo(config, pairs, reference, packing=packing)
        items = list(range(len(pairs)))
        parts = recipe.parts(items)
        split = sum(len(part.batches) > 1 for part in parts)
        assert (budget > 10 or split == len(pairs)) and (budget < 10_000 or (split, len(parts)) == (0, 1))
        losses_of_parts = [common._backward(scorer, recipe, part, recipe.totals(items), 1.0)["loss"] for part in parts]
        return float(sum(losses_of_parts)), {name: weight.grad for name, weight in scorer.named_parameters()}

    whole = config.model_copy(update={"tokens_per_batch": 100_000, "share_beginnings": False})
    expected_loss, expected = gradients_at_once(tiny, whole, pairs, reference)
    for packing in (True, False):
        loss, found = gradients(config, packing)
        assert loss == pytest.approx(expected_loss, rel=1e-5)
        for name, gradient in found.items():
            torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-5, msg=name)


def gradients_at_once(tiny, config, pairs, reference):
    scorer = scorer_of(tiny, checkpointing=False)
    recipe = Dpo(config, pairs, reference, packing=True)
    items = list(range(len(pairs)))
    (part,) = recipe.parts(items)
    loss, _ = recipe.loss([scorer(part.batches[0])], part, recipe.totals(items))
    loss.backward()
    return float(loss.detach()), {name: weight.grad for name, weight in scorer.named_parameters()}


def test_temperature_divides_the_logits(tiny):
    loaded = load_model(tiny, ModelConfig(), device=CPU)
    (row,) = random_rows(1)
    batch = packed([[row]])
    with torch.no_grad():
        hidden = TokenScorer(loaded).hidden(batch)
        expected = torch.log_softmax(loaded.base.lm_head(hidden) / 0.5, -1).gather(1, batch.targets_N[:, None])[:, 0]
        torch.testing.assert_close(TokenScorer(loaded, temperature=0.5)(batch), expected)


def test_checkpointing_goes_by_either_name(tiny):
    class Old:
        asked = None

        def gradient_checkpointing_enable(self, gradient_checkpointing_kwargs):
            self.asked = gradient_checkpointing_kwargs

    class New(Old):
        def activation_checkpointing_enable(self, activation_checkpointing_kwargs):
            self.asked = ("new", activation_checkpointing_kwargs)

    old, new = Old(), New()
    enable_checkpointing(old)
    enable_checkpointing(new)
    assert old.asked == {"use_reentrant": False}
    assert new.asked == ("new", {"use_reentrant": False})


def test_a_short_window_is_refused(tiny, tmp_path):
    from swegym.train.attention import segment_attention
    from swegym.train.batch import Segment

    states = torch.randn(1, 2, 8, 4)
    with pytest.raises(ValueError, match="max_length to at most 4"):
        segment_attention(torch.nn.Module(), states, states, states, None, segments=(Segment(0, 8),), sliding_window=4)
    out, _ = segment_attention(
        torch.nn.Module(), states, states, states, None, segments=(Segment(0, 4), Segment(4, 8)), sliding_window=4
    )
    assert out.shape == (1, 8, 2, 4)


def test_sums_are_of_the_right_sequence(tiny, pairs):
    scorer = scorer_of(tiny)
    batch = packed([(pair.chosen, pair.rejected) for pair in pairs])
    with torch.no_grad():
        sums = losses.sequence_sums(scorer(batch), batch.owners_N, batch.sequences)
        for number, row in enumerate(sides(pairs)):
            torch.testing.assert_close(sums[number], scorer(packed([[row]])).sum(), rtol=1e-5, atol=1e-4)

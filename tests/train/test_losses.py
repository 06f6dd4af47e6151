"""Each loss against numbers computed by hand, and its gradient against finite differences."""

import math

import pytest
import torch

from swegym.train import losses
from swegym.train.head import token_entropies, token_logps


def P(*values):
    return torch.tensor(values, dtype=torch.float64)


def test_sums_belong_to_their_sequence():
    sums = losses.sequence_sums(P(1, 2, 4, 8), torch.tensor([0, 1, 1, 0]), 3)
    assert sums.tolist() == [9, 6, 0]


def test_nll_by_hand():
    assert losses.nll(P(-1, -2, -3), 12).item() == pytest.approx(0.5)


def test_dpo_by_hand():
    # h = (-10 + 12) - (-20 + 19) = 3; beta h = 0.3; -log sigmoid(0.3) = log(1 + e^-0.3)
    loss = losses.dpo(P(-10), P(-20), P(-12), P(-19), beta=0.1)
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-0.3)))
    assert loss.item() == pytest.approx(0.554355, abs=1e-6)


def test_dpo_starts_at_log_two():
    assert losses.dpo(P(-7), P(-3), P(-7), P(-3)).item() == pytest.approx(math.log(2))


def test_length_normalised_dpo_by_hand():
    # 2 / 4 - (-1 / 2) = 1
    loss = losses.dpo(
        P(-10), P(-20), P(-12), P(-19), beta=0.5, kind="sigmoid_norm", chosen_lengths_P=P(4), rejected_lengths_P=P(2)
    )
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-0.5)))


def test_ipo_by_hand():
    # (1 - 1 / (2 * 0.5))^2 = 0 with the same margin of 1; with beta 0.1: (1 - 5)^2 = 16
    sides = (P(-10), P(-20), P(-12), P(-19))
    lengths = {"chosen_lengths_P": P(4), "rejected_lengths_P": P(2)}
    assert losses.dpo(*sides, beta=0.5, kind="ipo", **lengths).item() == pytest.approx(0)
    assert losses.dpo(*sides, beta=0.1, kind="ipo", **lengths).item() == pytest.approx(16)


def test_reward_losses_by_hand():
    assert losses.bradley_terry(P(1.0), P(-0.5)).item() == pytest.approx(math.log(1 + math.exp(-1.5)))
    assert losses.bradley_terry(P(1.0), P(-0.5), centre=0.1).item() == pytest.approx(
        math.log(1 + math.exp(-1.5)) + 0.1 * 0.25
    )
    both = losses.binary_cross_entropy(P(2.0, 2.0), P(1.0, 0.0))
    assert both.tolist() == pytest.approx([math.log(1 + math.exp(-2)), math.log(1 + math.exp(2))])


@pytest.mark.parametrize("kind", ["sigmoid", "sigmoid_norm", "ipo"])
def test_dpo_slope_is_that_of_finite_differences(kind):
    inputs = [side.requires_grad_() for side in (P(-10, -3), P(-20, -2.5))]

    def loss(chosen, rejected):
        reference = P(-12, -3.1), P(-19, -2.8)
        lengths = {"chosen_lengths_P": P(4, 2), "rejected_lengths_P": P(2, 3)}
        return losses.dpo(chosen, rejected, *reference, beta=0.3, kind=kind, **lengths)

    assert torch.autograd.gradcheck(loss, inputs)


def test_reward_slopes_are_those_of_finite_differences():
    scores = [P(0.3, -1.2).requires_grad_(), P(0.1, 0.4).requires_grad_()]
    assert torch.autograd.gradcheck(lambda a, b: losses.bradley_terry(a, b, centre=0.2), scores)
    assert torch.autograd.gradcheck(lambda a: losses.binary_cross_entropy(a, P(1, 0)), scores[:1])


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("block", [3, 100])
def test_chunked_head_is_a_log_softmax(block, temperature):
    torch.manual_seed(0)
    hidden, weight = torch.randn(10, 8, requires_grad=True), torch.randn(30, 8, requires_grad=True)
    targets, slopes = torch.randint(0, 30, (10,)), torch.randn(10)
    token_logps(hidden, weight, targets, temperature=temperature, block=block).backward(slopes)
    found = hidden.grad.clone(), weight.grad.clone()
    hidden.grad = weight.grad = None
    whole = torch.log_softmax(hidden @ weight.T / temperature, -1)
    plain = whole.gather(1, targets[:, None])[:, 0]
    plain.backward(slopes)
    torch.testing.assert_close(token_logps(hidden, weight, targets, temperature=temperature, block=block), plain)
    torch.testing.assert_close(found, (hidden.grad, weight.grad))
    entropies = token_entropies(hidden, weight, temperature=temperature, block=block)
    torch.testing.assert_close(entropies, -(whole.exp() * whole).sum(-1))


def test_chunked_head_slope_is_that_of_finite_differences():
    torch.manual_seed(0)
    hidden, weight, targets = torch.randn(4, 5), torch.randn(7, 5), torch.tensor([0, 6, 3, 3])
    hidden.requires_grad_()
    token_logps(hidden, weight, targets, block=2).sum().backward()
    step = 1e-2
    for place in [(0, 0), (2, 4)]:
        moved = [hidden.detach().clone() for _ in range(2)]
        moved[0][place] += step
        moved[1][place] -= step
        up, down = (token_logps(each, weight, targets).double().sum() for each in moved)
        assert hidden.grad[place].item() == pytest.approx(((up - down) / (2 * step)).item(), rel=1e-2, abs=1e-3)


def test_nothing_flows_into_frozen_weights():
    hidden, weight = torch.randn(3, 4, requires_grad=True), torch.randn(5, 4)
    token_logps(hidden, weight, torch.tensor([0, 1, 2])).sum().backward()
    assert weight.grad is None and hidden.grad is not None

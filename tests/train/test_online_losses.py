"""The oracles and traps of the online losses, each with its number computed by hand."""

import math

import pytest
import torch

from swegym.train import advantages as A
from swegym.train import divergences as D


def T(*values):
    return torch.tensor(values, dtype=torch.float64)


def test_advantages_by_hand():
    assert A.group_advantages(T(1, 0, 0, 0)).tolist() == pytest.approx([1.5, -0.5, -0.5, -0.5], abs=1e-5)
    assert A.group_advantages(T(1, 0, 0, 0), normalise=False).tolist() == [0.75, -0.25, -0.25, -0.25]


@pytest.mark.parametrize("rewards", [T(1, 1, 1), T(0, 0), T(1)])
def test_groups_without_variance_teach_nothing_and_are_numbers(rewards):
    assert A.group_advantages(rewards).tolist() == [0.0] * len(rewards)


def test_plain_tokens_are_clipped():
    old = T(0, 0, 0, 0)
    ratios = T(1.5, 1.5, 0.5, 0.5).log()
    losses = A.ppo_clip(ratios, old, T(1, -1, 1, -1))
    assert losses.tolist() == pytest.approx([-1.2, 1.5, -0.5, 0.8])


def test_shaping_by_hand():
    log_ratio = T(math.log(0.25)).requires_grad_()
    loss = A.guided_loss(log_ratio, T(0), T(1), gamma=T(0.25)[0])
    loss.sum().backward()
    assert loss.item() == pytest.approx(-0.5)
    assert log_ratio.grad.item() == pytest.approx(-0.25)


@pytest.mark.parametrize("shape", ["p90", "constant", "power", "none"])
@pytest.mark.parametrize("advantage", [1.0, -1.0])
def test_successes_are_pushed_up_and_failures_down(shape, advantage):
    """The trap: 1 / (gamma + w) as the ratio has a negative slope and pushes successes down."""
    logps = T(-9.0, -3.0, -0.1).requires_grad_()
    A.guided_loss(logps, T(-1.0, -1.0, -2.0), T(1, 1, 1) * advantage, shape=shape).sum().backward()
    assert (torch.sign(-logps.grad) == advantage).all()


def test_no_guided_token_is_clipped():
    logps = T(-12.0).requires_grad_()
    A.guided_loss(logps, T(0.0), T(1), gamma=T(0.5)[0]).sum().backward()
    assert logps.grad.item() != 0


def test_gamma_is_a_quantile_of_guided_tokens_only_and_detached():
    ratios = T(*range(1, 12)).log().requires_grad_()
    gamma = A.guided_gamma(ratios)
    assert gamma.item() == pytest.approx(10.0) and not gamma.requires_grad
    assert A.guided_gamma(T(-50.0, -60.0)).item() == pytest.approx(A.SMALLEST_GAMMA)
    assert A.guided_gamma(T()).item() == 1.0


def test_gamma_of_very_many_tokens(monkeypatch):
    monkeypatch.setattr(A, "QUANTILE_LIMIT", 10)
    assert A.guided_gamma(torch.zeros(1001)).item() == pytest.approx(1.0)


def test_divergences_by_hand():
    student, teacher = T(0.5, 0.5).log()[None], T(0.9, 0.1).log()[None]
    assert D.divergence(student, teacher, alpha=1).item() == pytest.approx(0.5108, abs=1e-4)
    assert D.divergence(student, teacher, alpha=0).item() == pytest.approx(0.3681, abs=1e-4)
    assert D.divergence(student, teacher, alpha=0.5).item() == pytest.approx(0.1017, abs=1e-4)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.5, 1.0])
def test_divergence_slopes_and_no_gradient_for_the_teacher(alpha):
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 3, 5, dtype=torch.float64).requires_grad_().unbind(0)
    student, teacher = student.detach().requires_grad_(), teacher.detach().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda s: D.divergence(s.log_softmax(-1), teacher.detach().log_softmax(-1), alpha=alpha), [student]
    )
    D.divergence(student.log_softmax(-1), teacher.log_softmax(-1), alpha=alpha).sum().backward()
    assert teacher.grad is None
    assert (D.divergence(student.log_softmax(-1), student.log_softmax(-1), alpha=alpha).abs() < 1e-12).all()


def test_a_word_of_no_probability_is_no_trouble():
    student, teacher = T(1.0, 0.0).log()[None], T(0.5, 0.5).log()[None]
    assert D.divergence(student, teacher, alpha=1).item() == pytest.approx(math.log(2))


def test_top_words_are_the_students_and_the_tail_holds_the_rest():
    student, teacher = T(0.6, 0.3, 0.1).log()[None], T(0.1, 0.2, 0.7).log()[None]
    mine, theirs = D.top_words(student, teacher, 2)
    assert D.with_tail(mine).exp().tolist()[0] == pytest.approx([0.6, 0.3, 0.1])
    assert D.with_tail(theirs).exp().tolist()[0] == pytest.approx([0.1, 0.2, 0.7])
    assert D.renormalised(mine).exp().tolist()[0] == pytest.approx([2 / 3, 1 / 3])
    assert torch.isfinite(D.with_tail(T(1.0).log()[None])).all()


def test_importance_factor_is_bounded_and_detached():
    logps = T(0.0, 0.0, -100.0).requires_grad_()
    factor = D.importance_factor(logps, T(math.log(0.8), -50.0, 0.0))
    assert factor.tolist() == pytest.approx([1.25, 2.0, math.exp(-20)]) and not factor.requires_grad


def test_bco_by_hand():
    delta = Midpoint().update(T(1.0), T(-0.5))
    assert delta == 0.25
    loss = D.bco(T(1.0), T(-0.5), delta)
    assert loss.item() == pytest.approx(2 * math.log(1 + math.exp(-0.75)))
    assert loss.item() == pytest.approx(0.7737, abs=1e-4)


Midpoint = D.Midpoint


def test_a_batch_of_one_class_takes_the_others_last_mean():
    middle = Midpoint(momentum=0.5)
    assert middle.update(T(2.0), T(0.0)) == 1.0
    assert middle.update(T(4.0), T()) == 1.5  # plus moves to 3, minus stays at 0
    assert Midpoint().update(T(), T(-2.0)) == -2.0
    assert Midpoint().update(T(), T()) == 0.0
    for plus, minus in ((T(1.0), T()), (T(), T(1.0)), (T(), T())):
        assert torch.isfinite(D.bco(plus, minus, 0.0))


def test_bco_pushes_successes_up_and_failures_down():
    plus, minus = T(0.2).requires_grad_(), T(0.1).requires_grad_()
    D.bco(plus, minus, 0.15).backward()
    assert plus.grad.item() < 0 < minus.grad.item()


def test_the_average_moves_towards_the_student():
    """A real bug elsewhere passed the rate where one minus the rate was meant: that would give 1.95."""
    assert D.moved_average(T(1.0), T(2.0), 0.05).item() == pytest.approx(1.05)

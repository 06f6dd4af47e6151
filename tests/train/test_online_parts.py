"""The pieces of online training: rows under two prompts, layouts that change nothing, losses cut into parts."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from spoken import make_collect, settings

from swegym.cli.train_online import resolve
from swegym.config import validate
from swegym.data.feedback import feedback_message
from swegym.errors import InputError, ProviderError
from swegym.guidance import make_teacher
from swegym.policies.chat_templates import read_template
from swegym.policies.hf_load import tokenizer_mark
from swegym.rollout import RunConfig
from swegym.train import advantages as A
from swegym.train import divergences as D
from swegym.train.batch import make_row
from swegym.train.common import load
from swegym.train.feedback_prompt import FeedbackPrompt
from swegym.train.grpo import GrpoConfig
from swegym.train.guide_grpo import composed
from swegym.train.head import token_divergences
from swegym.train.layout import families, laid_out
from swegym.train.model import TokenScorer
from swegym.train.online import Learner, chunks
from swegym.train.optimiser import Optimiser
from swegym.train.parallel import join
from swegym.train.policy_gradient import PolicyGradient, Weighed
from swegym.train.sampler import whole_weights
from swegym.train.samples import Sample, SampleRules, make_groups
from swegym.train.self_distillation import Taught
from swegym.train.twins import TwinBatch, TwinScorer, refuse_unlike
from swegym.train.vpd import TeacherPreference, VpdConfig
from swegym.types import Verdict


@pytest.fixture(scope="module")
def loaded(tiny):
    return load(GrpoConfig(**settings(tiny, "unused")), join())


@pytest.fixture(scope="module")
def run(tiny, tmp_path_factory):
    """Attempts of the tiny model at two toy tasks, plain and hinted."""
    asked = {
        "tasks": "spoken",
        "patterns": ["spoken-0", "spoken-1"],
        "policy": "hf",
        "policy_options": {"model": str(tiny), "max_new_tokens": 5},
        "attempts": 3,
        "guide": "always",
        "teacher": "spoken:teacher",
        "out": str(tmp_path_factory.mktemp("run") / "run"),
    }
    return make_collect()(validate(RunConfig, asked, "run"))


def rows_of(count, seed=0, lengths=(9, 14)):
    draw = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        ids = [*range(5), *draw.integers(5, 900, int(draw.integers(*lengths)))]
        mask = [0] * 7 + [1] * (len(ids) - 7)
        logps = [-float(value) for value in draw.random(len(ids))]
        rows.append(make_row(ids, mask, f"row {number}", vocabulary=2000, logprobs=logps))
    return rows


def rules(loaded, **more):
    return SampleRules(loaded.vocabulary, tokenizer_mark(loaded.tokenizer), 4096, **more)


def test_a_guided_sample_has_the_plain_prompt_and_the_same_tokens(run, loaded):
    groups, left_out = make_groups(run.trajectories(), loaded.tokenizer, rules(loaded))
    assert [(len(group.plain), len(group.guided)) for group in groups] == [(3, 3), (3, 3)] and not left_out
    for group in groups:
        plain, guided = group.plain[0].rows[0], group.guided[0].rows[0]
        start = int(np.argmax(plain.mask))
        assert plain.ids[:start].tolist() == guided.ids[: int(np.argmax(guided.mask))].tolist()
        said = next(m["extra"] for m in group.guided[0].trajectory.messages if m["role"] == "assistant")
        assert guided.ids[guided.mask].tolist() == said["token_ids"]
        assert guided.logprobs[guided.mask].tolist() == pytest.approx(said["logprobs"])


def test_the_denominator_is_the_hinted_prompt_and_the_numerator_the_plain_one(run, loaded, tiny):
    """With untouched weights, plain rows have ratio 1, and guided rows the likelihood ratio of both prompts."""
    groups, _ = make_groups(run.trajectories(), loaded.tokenizer, rules(loaded))
    learner = Learner(
        GrpoConfig(**settings(tiny, "unused")),
        loaded,
        TokenScorer(loaded),
        Optimiser(loaded.module, GrpoConfig.model_fields["optimiser"].default, steps=1),
        join(),
    )
    for kind in ("plain", "guided"):
        rows = [row for group in groups for sample in getattr(group, kind) for row in sample.rows]
        scored = torch.cat(learner.score(rows))
        recorded = torch.cat([torch.from_numpy(row.logprobs[row.mask]) for row in rows])
        gap = (scored - recorded).abs().max().item()
        assert gap < 1e-4 if kind == "plain" else gap > 1e-3


def test_what_cannot_be_learned_from_is_left_out_and_counted(run, loaded):
    first, second, *rest = run.trajectories()
    broken = dataclasses.replace(first, verdict=Verdict(None, "sandbox", "gone"))
    mute = dataclasses.replace(second, messages=tuple({**m, "extra": {}} for m in second.messages))
    _, left_out = make_groups([broken, mute, *rest], loaded.tokenizer, rules(loaded))
    assert left_out == {"not judged: sandbox": 1, "no token ids": 1}
    with pytest.raises(InputError, match=r"no token ids or log-probs.*token_ids = true"):
        make_groups([mute], loaded.tokenizer, rules(loaded))
    assert make_groups([first], loaded.tokenizer, rules(loaded))[1] == {"lone": 1}
    groups, left_out = make_groups(
        [first, second, *rest], loaded.tokenizer, dataclasses.replace(rules(loaded), max_length=9)
    )
    assert left_out["too long"] == 12 and not groups[0].plain[0].rows


def test_hacked_attempts_are_penalised_or_left_out(run, loaded):
    trajectories = list(run.trajectories())
    trajectories[0] = dataclasses.replace(
        trajectories[0], verdict=Verdict(False, "agent", "caught", tampering=("it forged a report",))
    )
    name = trajectories[0].id

    def reward(**more):
        groups, left_out = make_groups(trajectories, loaded.tokenizer, rules(loaded, **more))
        found = [s.reward for group in groups for s in (*group.plain, *group.guided) if s.id == name]
        return found, left_out["hacked"]

    assert reward() == ([0.0], 0)
    assert reward(hacked_reward=-1.0) == ([-1.0], 0)
    assert reward(drop_hacked=True) == ([], 1)


@pytest.mark.parametrize(
    ("field", "value", "message"), [("tokenizer", "0" * 16, "another one"), ("temperature", 0.5, "temperature")]
)
def test_foreign_samplers_are_refused(run, loaded, field, value, message):
    changed = [
        dataclasses.replace(
            t,
            messages=tuple(
                {**m, "extra": {**m["extra"], field: value}} if m["role"] == "assistant" else m for m in t.messages
            ),
        )
        for t in run.trajectories()
    ]
    with pytest.raises(InputError, match=message):
        make_groups(changed, loaded.tokenizer, rules(loaded))


def sample(name, reward, guided=False):
    return Sample(name, reward, guided, (), None)


def test_guided_groups_by_mode():
    plain = [sample(f"p{n}", 0.0) for n in range(4)]
    hinted = [sample(f"g{n}", float(n < 2), True) for n in range(4)]
    names = {
        mode: [(one.id, off) for one, off in composed(plain, hinted, mode)]
        for mode in ("replace", "append", "mixin", "balanced")
    }
    assert names["replace"] == [("g0", True), ("g1", True), ("g2", True), ("g3", True)]
    assert names["append"] == [*((f"p{n}", False) for n in range(4)), *((f"g{n}", True) for n in range(4))]
    assert names["mixin"] == [("g0", True), ("g1", True), ("p0", True), ("p1", True)]
    assert names["balanced"] == [("p0", False), ("p1", False), ("g0", True), ("g1", True)]
    assert composed(plain, [], "replace") == [(one, False) for one in plain]


@pytest.mark.parametrize("budget", [20, 45, 4000])
def test_families_keep_within_the_budget_and_lose_nothing(budget):
    rows = rows_of(9)
    for packing in (True, False):
        plan = families(rows, ["a"] * 5 + ["b"] * 4, budget, packing=packing)
        assert sorted(i for batch in plan for family in batch for i in family) == list(range(9))
        for batch in plan:
            made = laid_out([[rows[i] for i in family] for family in batch], packing=packing, padding=0)
            assert made.ids_BT.numel() <= budget or sum(map(len, batch)) == 1
    assert all(len({i < 5 for i in family}) == 1 for batch in plan for family in batch)


@pytest.mark.parametrize("settings", [{}, {"kl": 0.3}, {"shape": "power"}])
def test_the_loss_of_an_update_does_not_depend_on_its_parts(loaded, settings):
    scorer = TokenScorer(loaded)
    rows = rows_of(6)

    def gradient(budget, packing):
        examples = [
            Weighed(row, (-1.0) ** n, torch.from_numpy(row.logprobs[row.mask].copy()), f"{n % 2}", guided=n > 3)
            for n, row in enumerate(rows)
        ]
        for one in examples:
            one.reference = one.old - 0.5
        recipe = PolicyGradient(examples, budget=budget, packing=packing, padding=0, **settings)
        recipe.gamma = torch.tensor(0.5)
        items = list(range(6))
        loaded.module.zero_grad()
        losses = []
        for part in recipe.parts(items):
            loss, _ = recipe.loss([scorer(part.batches[0])], part, recipe.totals(items))
            loss.backward()
            losses.append(float(loss.detach()))
        length = torch.sqrt(sum((w.grad**2).sum() for w in loaded.module.parameters() if w.grad is not None))
        loaded.module.zero_grad()
        return sum(losses), float(length)

    whole = gradient(4000, True)
    assert gradient(30, True) == pytest.approx(whole, rel=1e-4)
    assert gradient(1, True) == pytest.approx(whole, rel=1e-4)


def test_divergences_of_hidden_states_are_those_of_whole_logits():
    torch.manual_seed(0)
    student = torch.randn(7, 8, requires_grad=True)
    teacher, weight, targets = torch.randn(7, 8), torch.randn(30, 8, requires_grad=True), torch.arange(7)
    for top, tail in ((None, True), (5, True), (5, False)):
        found = token_divergences(student, teacher, weight, weight, targets, alpha=0.5, top=top, tail=tail, block=3)
        s, t = (states @ weight.T for states in (student, teacher))
        s, t = s.log_softmax(-1), t.detach().log_softmax(-1)
        assert torch.allclose(found[:, 1], s[range(7), targets]) and torch.allclose(found[:, 2], t[range(7), targets])
        if top is not None:
            s, t = (D.with_tail(part) if tail else D.renormalised(part) for part in D.top_words(s, t, top))
        assert torch.allclose(found[:, 0], D.divergence(s, t, alpha=0.5), atol=1e-6)
        assert torch.allclose(found[:, 3], D.divergence(s, t, alpha=0.0), atol=1e-6)
        mine = torch.autograd.grad(found[:, 0].sum(), [student, weight], retain_graph=True)
        theirs = torch.autograd.grad(D.divergence(s, t, alpha=0.5).sum(), [student, weight])
        for a, b in zip(mine, theirs, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_twins_are_scored_alike_and_the_teacher_gets_no_gradient(loaded):
    rows = rows_of(3)
    scorer = TwinScorer(loaded, alpha=1.0)
    batch = laid_out([rows], packing=True, padding=0)
    compared = scorer(TwinBatch(batch, batch))
    assert compared[:, 0].abs().max().item() < 1e-5 and compared[:, 3].abs().max().item() < 1e-5
    torch.testing.assert_close(compared[:, 1], scorer(batch), rtol=1e-5, atol=1e-5)
    refuse_unlike(rows[0], rows[0])
    with pytest.raises(InputError, match="does not end in the tokens"):
        refuse_unlike(rows[0], rows[1])


def test_feedback_stands_behind_the_opening_and_nothing_else_changes(run, loaded):
    groups, _ = make_groups(run.trajectories(), loaded.tokenizer, rules(loaded))
    member = groups[0].plain[0]
    prompt = FeedbackPrompt(loaded.base, loaded.tokenizer, 4096)
    (row,), (taught,) = member.rows, prompt.rows(member.rows, member.trajectory, "Another attempt did this.")
    added = len(taught) - len(row)
    assert added > 5
    before, ids = prompt.inserted(member.trajectory, "Another attempt did this.")
    assert taught.ids.tolist() == [*before, *ids, *row.ids[len(before) :].tolist()]
    assert taught.ids[taught.mask].tolist() == row.ids[row.mask].tolist()
    text = loaded.tokenizer.decode(taught.ids.tolist())
    opening = next(m for m in member.trajectory.messages if m["role"] != "assistant")["content"]
    assert text.index(opening[:20]) < text.index("Another attempt did this.") < text.rindex("assistant")
    assert feedback_message("x")["extra"] == {"source": "guidance"}
    assert FeedbackPrompt(loaded.base, loaded.tokenizer, 20).rows(member.rows, member.trajectory, "x") is None


def test_the_e_step_by_hand(loaded, tiny):
    """r~+ = 1.0 and r~- = -0.5 give delta 0.25 and a loss of 0.7737 (papers 3.1)."""
    rows = rows_of(2)
    taught = [Taught(row, row, torch.zeros(0), float(n == 0), row.name, "a") for n, row in enumerate(rows)]
    middle = D.Midpoint()
    config = VpdConfig(**settings(tiny, "unused", beta=0.1))
    recipe = TeacherPreference(taught, [-30.0, -20.0], loaded, config, middle)
    (part,) = recipe.parts([0, 1])
    order = [taught[item].student.trained for item in part.items]
    sums = {0: -20.0, 1: -25.0}  # so that r~ = 0.1 * (sum - prior) is 1.0 and -0.5
    recipe.begin([torch.tensor([sums[0]]), torch.tensor([sums[1]])], [0, 1], join())
    assert middle.value == pytest.approx(0.25)
    logps = torch.cat([torch.full((n,), sums[item] / n) for n, item in zip(order, part.items, strict=True)])
    logps.requires_grad_()
    loss, metrics = recipe.loss([logps], part, recipe.totals([0, 1]))
    assert loss.item() == pytest.approx(2 * math.log(1 + math.exp(-0.75)), abs=1e-4) == pytest.approx(0.7737, abs=1e-4)
    assert metrics["accuracy"].item() == 1.0
    loss.backward()
    first = 0 if part.items[0] == 0 else order[0]
    assert logps.grad[first].item() < 0  # the success becomes likelier


def test_a_batch_of_one_class_only_is_a_number(loaded, tiny):
    rows = rows_of(2)
    config = VpdConfig(**settings(tiny, "unused"))
    for reward in (0.0, 1.0):
        taught = [Taught(row, row, torch.zeros(0), reward, row.name, "a") for row in rows]
        recipe = TeacherPreference(taught, [-3.0, -3.0], loaded, config, D.Midpoint())
        (part,) = recipe.parts([0, 1])
        logps = torch.zeros(sum(row.trained for row in rows), requires_grad=True)
        loss, _ = recipe.loss([logps], part, recipe.totals([0, 1]))
        loss.backward()
        assert math.isfinite(loss.item()) and torch.isfinite(logps.grad).all()
        recipe.settle(join())
        assert math.isfinite(recipe.middle.value)


def test_advantages_that_a_teacher_changes():
    gap = torch.tensor([0.5, -0.5, 0.1])
    ones = torch.ones(3)
    assert A.reshaped(ones, gap, reward_weight=2.0, gap_weight=0.5).tolist() == pytest.approx([2.25, 1.75, 2.05])
    # exp(0.5) and exp(-0.5) leave the clip; a failure's token that the teacher likes counts for less.
    assert A.reweighted(ones, gap, most=0.2).tolist() == pytest.approx([1.2, 0.8, math.exp(0.1)])
    assert A.reweighted(-ones, gap, most=0.2).tolist() == pytest.approx([-0.8, -1.2, -math.exp(-0.1)])
    assert A.reweighted(ones, gap, share=0.0).tolist() == [1.0, 1.0, 1.0]
    assert A.reweighted(ones, gap, share=0.5, most=0.2).tolist() == pytest.approx([1.1, 0.9, 0.5 + math.exp(0.1) / 2])


def test_chunks_hold_everything_once_in_an_order_of_the_seed():
    found = chunks(7, 3, (1, 0))
    assert sorted(number for chunk in found for number in chunk) == list(range(7)) and [len(c) for c in found] == [
        3,
        3,
        1,
    ]
    assert found == chunks(7, 3, (1, 0)) != chunks(7, 3, (1, 1))
    assert chunks(4, None, (1, 0)) and len(chunks(4, None, (1, 0))) == 1


def test_merged_adapters_have_the_plain_models_names(tiny):
    config = GrpoConfig(**settings(tiny, "unused", compute={"lora": {"rank": 2}}))
    adapted = load(config, join())
    plain = transformers.AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32).state_dict()
    with torch.no_grad():
        for name, weight in adapted.module.named_parameters():
            if "lora_B" in name:
                weight.fill_(0.01)
    merged = whole_weights(adapted)
    assert merged.keys() == plain.keys()
    assert any(not torch.equal(merged[name], plain[name]) for name in plain)
    again = whole_weights(adapted)
    for name in plain:  # merging and undoing it leaves rounding only
        torch.testing.assert_close(again[name], merged[name], rtol=1e-5, atol=1e-5)


def test_a_sampler_elsewhere_needs_to_be_told(tiny, tmp_path):
    from swegym.train.sampler import Sampler

    config = GrpoConfig(**settings(tiny, tmp_path, policy="litellm"))
    with pytest.raises(InputError, match="reload_url"):
        Sampler(config, load(config, join()), join(), lambda run: None)
    config = config.model_copy(update={"reload_url": "http://127.0.0.1:9/none"})
    sampler = Sampler(config, load(config, join()), join(), lambda run: None)
    with pytest.raises(ProviderError, match="did not load"):
        sampler.put("step-0")


def test_the_forgetful_template_has_a_place_for_feedback_too(run, loaded):
    groups, _ = make_groups(run.trajectories(), loaded.tokenizer, rules(loaded))
    member = groups[0].plain[0]
    prompt = FeedbackPrompt(loaded.base, loaded.tokenizer, 4096, source=read_template("llama3"))
    assert prompt.rows(member.rows, member.trajectory, "x") is None  # sampled under another template


CONFIGS = sorted((Path(__file__).resolve().parents[2] / "scripts" / "configs").glob("*/*.toml"))


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_ready_configs_are_valid(file, tmp_path):
    """Their settings, and those of the runs they make; and what their first lines say to type."""
    config, _ = resolve(file.stem, {"model": "MODEL", "out": str(tmp_path)}, [], file)
    made = {"tasks": config.tasks, "policy": config.policy, "out": str(tmp_path), **config.run}
    run = validate(RunConfig, made, file)
    make_teacher(run.teacher, run.teacher_options)
    assert f"swegym train {file.stem} -c scripts/configs/{file.parent.name}/{file.name}" in file.read_text()


def test_every_algorithm_has_its_ready_configs():
    names = {(file.parent.name, file.stem) for file in CONFIGS}
    kinds = ("grpo", "guide_grpo", "sdpo", "vpd", "hybrid")
    assert names == {(place, kind) for place in ("micro", "mutants", "node") for kind in kinds}

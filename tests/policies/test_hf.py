"""The hf policy in whole episodes: exact tokens in `extra`, many episodes at once, and what bad options say."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from fake_episode import make_env, make_task
from tiny_model import make_tiny_model

from swegym.errors import InputError
from swegym.guidance import GuidanceWrapper
from swegym.policies import hf_engine, make_policy
from swegym.rollout import rollout
from swegym.types import Guidance


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.set_num_threads(1)  # tests share the machine
    yield make_tiny_model(tmp_path_factory.mktemp("models") / "tiny", context=8192)
    hf_engine.close_engines()


def episode(folder, seed: int = 1, guidance: Guidance | None = None, **options):
    env = GuidanceWrapper(make_env(limits={"turns": 4}))
    student = make_policy(
        "hf", make_task("one"), seed=seed, options={"model": folder, "device": "cpu", "max_new_tokens": 24, **options}
    )
    return rollout(env, student, task="one", seed=seed, guidance=guidance)


def turns(trajectory) -> list[dict]:
    return [message["extra"] for message in trajectory.messages if message["role"] == "assistant"]


def context_of(extras: list[dict]) -> list[int]:
    """All ids of an episode, from what each turn recorded."""
    ids: list[int] = []
    for extra in extras:
        ids = [*extra["prompt_token_ids"]] if "prompt_token_ids" in extra else [*ids, *extra["context_token_ids"]]
        ids += extra["token_ids"]
    return ids


def test_an_episode_records_exact_tokens(folder):
    extras = turns(episode(folder))
    assert "prompt_token_ids" in extras[0]
    assert all("context_token_ids" in extra and "restart" not in extra for extra in extras[1:])
    engine = hf_engine.shared_engine(folder, device="cpu", dtype="auto", batching="rows")
    ids = context_of(extras)
    with torch.no_grad():
        logprobs = torch.log_softmax(engine.model(torch.tensor([ids])).logits[0].float(), dim=-1)
    at = 0
    for extra in extras:
        at += len(extra.get("prompt_token_ids", extra.get("context_token_ids")))
        for token, logprob in zip(extra["token_ids"], extra["logprobs"], strict=True):
            assert abs(logprobs[at - 1, token].item() - logprob) < 1e-4
            at += 1
        assert (extra["temperature"], extra["policy_version"]) == (1.0, "tiny")
        assert extra["usage"]["completion_tokens"] == len(extra["token_ids"])
    assert at == len(ids)


def test_a_seed_repeats_an_episode_also_among_others(folder):
    alone = episode(folder, seed=3)
    with ThreadPoolExecutor(6) as threads:
        together = list(threads.map(lambda seed: episode(folder, seed=seed), range(6)))
    ids = [context_of(turns(one)) for one in together]
    assert ids[3] == context_of(turns(alone))
    assert len({tuple(one) for one in ids}) == 6
    assert hf_engine.shared_engine(folder, device="cpu", dtype="auto", batching="rows").counts["most_at_once"] > 1


def test_a_hint_is_marked_and_without_it_the_prompt_is_the_plain_one(folder):
    hint = Guidance("oracle", {"plan": "Look at the sign."}, True)
    guided, plain = turns(episode(folder, guidance=hint)), turns(episode(folder))
    start, end = guided[0]["guidance_span"]
    prompt = guided[0]["prompt_token_ids"]
    assert prompt[:start] + prompt[end:] == plain[0]["prompt_token_ids"]
    assert all("guidance_span" not in extra for extra in [*guided[1:], *plain])


def test_a_full_context_ends_the_episode_and_it_is_graded(folder):
    extras = turns(episode(folder, context=64))
    assert [extra["finish_reason"] for extra in extras] == ["context"]


def test_a_recorded_conversation_is_gone_on_with_by_its_ids(folder):
    trajectory = episode(folder)
    student = make_policy(
        "hf", make_task("one"), seed=9, options={"model": folder, "device": "cpu", "max_new_tokens": 8}
    )
    extra = student(list(trajectory.messages), [])["extra"]
    assert "context_token_ids" in extra or extra["restart"] == "template"  # no tools now: the template says otherwise
    extra = student(list(trajectory.messages), list(trajectory.tools))["extra"]
    assert extra["context_token_ids"] and "restart" not in extra


def test_a_template_of_ours_may_take_the_place_of_the_models_own(folder):
    extras = turns(episode(folder, chat_template="llama3"))
    engine = hf_engine.shared_engine(folder, device="cpu", dtype="auto", batching="rows")
    assert "<|start_header_id|>" in engine.tokenizer.decode(extras[0]["prompt_token_ids"])


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"model": "/nowhere"}, "no such folder"),
        ({"temperature": -1}, "temperature = -1"),
        ({"tool_calls": "hermse"}, "hermes"),
        ({"chat_template": "qwen"}, "chat_template = 'qwen'"),
        ({"tempreature": 1}, "tempreature"),
    ],
)
def test_wrong_options_are_named(folder, options, problem):
    with pytest.raises(InputError, match=problem):
        episode(folder, **options)

"""The engine samples what a plain forward pass of the model says, whoever else is sampled at the same time."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from tiny_model import make_tiny_model

from swegym.errors import InputError, ProviderError, UnknownName
from swegym.policies import hf_engine
from swegym.policies.hf_engine import Engine, Request


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.set_num_threads(1)  # tests share the machine
    return make_tiny_model(tmp_path_factory.mktemp("models") / "one", context=2048)


@pytest.fixture
def engine(folder):
    made = Engine(folder, device="cpu")
    yield made
    made.close()


def requests(count: int = 6) -> list[Request]:
    return [
        Request(tuple(range(20 + number, 40 + 5 * number)), seed=number, max_new_tokens=6 + 3 * number)
        for number in range(count)
    ]


def at_once(engine: Engine, wanted: list[Request]) -> list:
    with ThreadPoolExecutor(len(wanted)) as threads:
        return list(threads.map(engine.sample, wanted))


def forward(engine: Engine, request: Request, ids: tuple[int, ...]) -> torch.Tensor:
    """Log-probs of `ids` after the prompt, from one pass over everything."""
    with torch.no_grad():
        logits = engine.model(torch.tensor([request.ids + ids])).logits[0].float()
    logprobs = torch.log_softmax(logits / (request.temperature or 1.0), dim=-1)[len(request.ids) - 1 : -1]
    return logprobs.gather(1, torch.tensor(ids)[:, None])[:, 0]


@pytest.mark.parametrize("temperature", [1.0, 0.6, 0.0])
def test_log_probs_are_those_of_a_forward_pass(engine, temperature):
    wanted = [Request(one.ids, one.seed, temperature, one.max_new_tokens) for one in requests()]
    for request, sampled in zip(wanted, at_once(engine, wanted), strict=True):
        assert len(sampled.ids) == len(sampled.logprobs)
        difference = forward(engine, request, sampled.ids) - torch.tensor(sampled.logprobs)
        assert difference.abs().max() < 1e-4
    assert engine.counts["requests"] == len(wanted)


def test_a_seed_decides_whoever_else_is_sampled(engine):
    together = at_once(engine, requests())
    alone = [engine.sample(request) for request in requests()]
    assert [one.ids for one in together] == [one.ids for one in alone]
    other = engine.sample(Request(requests()[5].ids, seed=99, max_new_tokens=21))
    assert other.ids != alone[5].ids


def test_going_on_uses_what_was_kept_and_says_the_same(engine, folder):
    first = engine.sample(requests()[3])
    longer = Request((*requests()[3].ids, *first.ids, 7, 8, 9), seed=1, max_new_tokens=8)
    sampled = engine.sample(longer)
    assert engine.counts["reused_tokens"] == len(longer.ids) - 3 - 1  # the last sampled token was never run
    fresh = Engine(folder, device="cpu", kept_tokens=0)
    try:
        again = fresh.sample(longer)
        assert fresh.counts["reused_tokens"] == 0
    finally:
        fresh.close()
    assert sampled.ids == again.ids
    assert sampled.logprobs == pytest.approx(again.logprobs, abs=1e-4)


def test_many_threads_are_served_in_batches(engine):
    wanted = [Request((5, 6, 7), seed=number, max_new_tokens=64) for number in range(40)]
    assert len(at_once(engine, wanted)) == 40
    assert 2 <= engine.counts["most_at_once"] <= 32


def test_an_end_token_ends_and_is_kept(engine, folder, tmp_path):
    whole = engine.sample(requests()[5])
    end = whole.ids[9]
    shutil.copytree(folder, tmp_path / "ending")
    settings = tmp_path / "ending" / "generation_config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"eos_token_id": [end, 3]}))
    ending = Engine(tmp_path / "ending", device="cpu")
    try:
        sampled = ending.sample(requests()[5])
    finally:
        ending.close()
    assert (whole.finish, sampled.finish) == ("length", "stop")
    assert sampled.ids == whole.ids[: whole.ids.index(end) + 1]


def test_weights_are_replaced_in_place(engine, tmp_path):
    before, model = engine.sample(requests()[2]), engine.model
    engine.reload(make_tiny_model(tmp_path / "later", seed=5, context=2048))
    after = engine.sample(requests()[2])
    assert (before.version, after.version) == ("one", "later") and engine.model is model
    assert after.ids != before.ids
    assert (forward(engine, requests()[2], after.ids) - torch.tensor(after.logprobs)).abs().max() < 1e-4


def test_another_architecture_or_tokenizer_is_refused_and_the_old_goes_on(engine, tmp_path):
    before = engine.sample(requests()[2])
    with pytest.raises(InputError, match="architecture"):
        engine.reload(make_tiny_model(tmp_path / "wide", hidden=32))
    with pytest.raises(InputError, match="tokenizer"):
        engine.reload(make_tiny_model(tmp_path / "words", vocab=700))
    with pytest.raises(InputError, match="no such folder"):
        engine.reload(tmp_path / "nowhere")
    assert engine.sample(requests()[2]).ids == before.ids and engine.version == "one"


def test_a_model_that_fails_is_a_provider_error_and_later_requests_succeed(engine):
    with pytest.raises(ProviderError, match="IndexError"):
        engine.sample(Request((10**6,), seed=0, max_new_tokens=4))  # no such token
    assert len(engine.sample(Request((5, 6), seed=0, max_new_tokens=4)).ids) <= 4


def test_broken_weights_are_named(folder):
    broken = Engine(folder, device="cpu")
    try:
        with torch.no_grad():
            broken.model.model.embed_tokens.weight.fill_(float("nan"))
        with pytest.raises(ProviderError, match="not finite"):
            broken.sample(requests()[0])
    finally:
        broken.close()


def test_what_cannot_be_asked_is_refused(engine):
    with pytest.raises(InputError, match="empty prompt"):
        engine.sample(Request((), seed=0))
    with pytest.raises(InputError, match="context of 2048"):
        engine.sample(Request((1,) * 2000, seed=0, max_new_tokens=100))


def test_a_closed_engine_says_so(folder):
    engine = Engine(folder, device="cpu")
    engine.close()
    engine.close()
    with pytest.raises(ProviderError, match="closed"):
        engine.sample(requests()[0])


def test_bad_folders_and_options_are_named(tmp_path, folder):
    with pytest.raises(InputError, match="no such folder"):
        Engine(tmp_path / "missing")
    with pytest.raises(InputError, match=r"no config\.json"):
        Engine(tmp_path)
    with pytest.raises(InputError, match="float33"):
        Engine(folder, dtype="float33")
    with pytest.raises(UnknownName, match="rows"):
        Engine(folder, batching="row")
    (tmp_path / "config.json").write_text("{")
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match="not valid JSON"):
        Engine(tmp_path)


def test_one_engine_for_each_folder(folder):
    try:
        first = hf_engine.shared_engine(folder, device="cpu")
        assert hf_engine.shared_engine(str(folder), device="cpu") is first
    finally:
        hf_engine.close_engines()
    again = hf_engine.shared_engine(folder, device="cpu")
    assert again is not first
    hf_engine.close_engines()


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # what transformers' batching warns of is its own affair
def test_continuous_batching_says_the_same_as_a_forward_pass(folder):
    engine = Engine(folder, device="cpu", batching="continuous")
    try:
        wanted = requests(4)
        for request, sampled in zip(wanted, at_once(engine, wanted), strict=True):
            difference = forward(engine, request, sampled.ids) - torch.tensor(sampled.logprobs)
            assert difference.abs().max() < 1e-4
        with pytest.raises(InputError, match="always samples"):
            engine.sample(Request((5, 6), 0, 0.0))
        with pytest.raises(InputError, match="one for all"):
            engine.sample(Request((5, 6), 0, 0.5, 4))
    finally:
        engine.close()

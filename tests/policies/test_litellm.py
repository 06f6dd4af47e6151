import itertools
import json
import subprocess
import sys
import time
import zlib
from typing import ClassVar

import pytest
from fake_episode import make_env
from openai_server import completion, error, openai_server

from swegym.data import read_runs
from swegym.data.make import make
from swegym.errors import InputError, ProviderError, RunError
from swegym.messages import tokens_of
from swegym.model_request import asked_wait
from swegym.policies import make_policy
from swegym.policies.spending import charge, forget_spending, spent
from swegym.rollout import RunConfig, collect

TOOL = {"type": "function", "function": {"name": "read", "description": "", "parameters": {"type": "object"}}}
OPENING = [{"role": "user", "content": "hello", "extra": {"source": "somewhere"}}]
HELLO = {"role": "assistant", "content": "hello back"}
pytestmark = [
    pytest.mark.slow,  # litellm alone takes that long to import
    pytest.mark.filterwarnings("default"),  # whatever warnings litellm and its libraries cause are theirs
]


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "none")


def student(task, server, **options):
    options = {"model": "openai/toy", "api_base": server.address, "backoff_seconds": 0.01, **options}
    return make_policy("litellm", task, seed=5, options=options)


def calls(*arguments):
    return [
        {"id": f"c{i}", "type": "function", "function": {"name": "read", "arguments": text}}
        for i, text in enumerate(arguments)
    ]


def test_what_is_sent_holds_the_tools_and_no_extra(task):
    with openai_server(HELLO) as server:
        student(task, server, temperature=0.5, max_tokens=9, seeded=True)(OPENING, [TOOL])
    (asked,) = server.requests
    assert asked["messages"] == [{"role": "user", "content": "hello"}]
    assert asked["tools"] == [TOOL]
    assert (asked["model"], asked["temperature"], asked["max_tokens"], asked["seed"]) == ("toy", 0.5, 9, 5)


def test_usage_and_seconds_are_in_extra(task):
    with openai_server(HELLO) as server:
        message = student(task, server)(OPENING, [TOOL])
    assert message["content"] == "hello back" and "tool_calls" not in message
    assert message["extra"]["usage"] == {"prompt_tokens": 11, "completion_tokens": 7}
    assert message["extra"]["seconds"] > 0


@pytest.mark.parametrize("arguments", [(), ('{"path": "a"}',), ("{broken",), ('{"path": "a"}', "[]", "")])
def test_tool_calls_are_passed_on_as_they_are(task, arguments):
    with openai_server({"role": "assistant", "content": None, "tool_calls": calls(*arguments)}) as server:
        message = student(task, server)(OPENING, [TOOL])
    assert message.get("tool_calls", []) == calls(*arguments)
    assert message["content"] == ""


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ({"content": "I would look at add()."}, "There was no tool call in your message"),
        ({"content": None, "tool_calls": calls('{"path": "a.py"}') * 3}, "only the first call of a message"),
        ({"content": None, "tool_calls": calls('{"path": "a.py"')}, "not valid JSON"),
        ({"content": None}, "There was no tool call in your message"),
    ],
)
def test_a_model_that_never_calls_as_it_should_has_failed_and_is_counted(message, told, tmp_path):
    with openai_server(*[{"role": "assistant", **message}] * 4) as server:
        options = {"model": "openai/toy", "api_base": server.address}
        config = RunConfig(
            tasks="fake", limit=2, policy="litellm", policy_options=options, limits={"turns": 2}, out=tmp_path / "run"
        )
        folder = collect(config, make_env=lambda: make_env(limits=config.limits))
    attempts = folder.trajectories()
    assert [(one.verdict.resolved, one.stop_reason) for one in attempts] == [(False, "turns")] * 2
    assert all(told in " ".join(answer.get("content") or "" for answer in one.messages[2:]) for one in attempts)
    assert folder.report()["plain"]["unresolved"] == 2
    assert [row["label"] for row in make("kto", read_runs([folder])).rows] == [False, False]


def test_a_conversation_with_tool_answers_is_sent_whole(task):
    asked = {"role": "assistant", "content": "", "tool_calls": calls("{}")}
    answer = {"role": "tool", "tool_call_id": "c0", "content": "text"}
    with openai_server(HELLO) as server:
        student(task, server)([*OPENING, {**asked, "extra": {"seconds": 1}}, answer], [TOOL])
    assert server.requests[0]["messages"][1:] == [asked, answer]


@pytest.mark.parametrize("failure", [error(429, "slow down"), error(500, "oops"), error(503, "busy"), b"<html>oops"])
def test_passing_failures_are_tried_again(task, failure):
    with openai_server(failure, HELLO) as server:
        assert student(task, server)(OPENING, [TOOL])["content"] == "hello back"
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("failure", "remedy"),
    [
        (error(400, "This model's maximum context length is 10 tokens.", "context_length_exceeded"), "limits.tokens"),
    ],
)
def test_lasting_failures_abort_at_once_with_the_remedy(task, failure, remedy):
    with openai_server(failure, HELLO) as server, pytest.raises(ProviderError, match=remedy):
        student(task, server)(OPENING, [TOOL])
    assert len(server.requests) == 1


@pytest.mark.parametrize(("failure", "remedy"), [(401, "key"), (403, "another key"), (404, "correct `model`")])
def test_denied_access_is_wrong_input_which_stops_a_run(task, failure, remedy):
    with openai_server(error(failure, "not for you"), HELLO) as server, pytest.raises(InputError, match=remedy):
        student(task, server)(OPENING, [TOOL])
    assert len(server.requests) == 1


def test_attempts_are_bounded_and_counted_in_the_error(task):
    with (
        openai_server(*[error(429, "slow down")] * 9) as server,
        pytest.raises(ProviderError, match="after 3 attempts"),
    ):
        student(task, server, attempts=3)(OPENING, [TOOL])
    assert len(server.requests) == 3


def test_a_silent_server_times_out(task):
    with openai_server(5.0, 5.0) as server, pytest.raises(ProviderError, match=r"Timeout.*request_seconds"):
        student(task, server, request_seconds=0.3, attempts=2)(OPENING, [TOOL])
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("body", "told"),
    [(itertools.repeat((0.1, b" ")), "Timeout"), (itertools.repeat((0.0, b" " * (1 << 20)), 500), "Connection error")],
    ids=["trickles", "floods"],
)
def test_a_server_that_never_comes_to_an_end_is_left(task, body, told):
    """httpx's timeout begins anew with every byte, and what comes is kept."""
    began = time.monotonic()
    with openai_server(body) as server, pytest.raises(ProviderError, match=told):
        student(task, server, request_seconds=1.0, attempts=1)(OPENING, [TOOL])
    assert time.monotonic() - began < 20.0


def test_a_body_that_unpacks_to_more_than_it_has_is_refused(task):
    with openai_server(("gzip", zlib.compress(b" " * (1 << 20), wbits=31))) as server, pytest.raises(ProviderError):
        student(task, server, attempts=1)(OPENING, [TOOL])


def test_half_a_surrogate_pair_does_not_end_an_episode_unjudged(tmp_path):
    """No request can carry one, so whoever wrote one would get no verdict, and so no failure."""
    broken = [{"content": "\ud800"}, {"content": None, "tool_calls": calls('{"path": "\ud800"}')}]
    script = [{"role": "assistant", **message} for message in broken * 2]
    with openai_server(*script) as server:
        options = {"model": "openai/toy", "api_base": server.address, "backoff_seconds": 0.01}
        config = RunConfig(
            tasks="fake", limit=1, policy="litellm", policy_options=options, limits={"turns": 4}, out=tmp_path / "run"
        )
        (attempt,) = collect(config, make_env=lambda: make_env(limits=config.limits)).trajectories()
    assert (attempt.verdict.resolved, attempt.stop_reason) == (False, "turns")
    assert len(server.requests) == 4


def test_no_server_at_all_says_to_start_it(task):
    with openai_server() as server:
        pass
    with pytest.raises(ProviderError, match="See that the server runs"):
        student(task, server, attempts=2)(OPENING, [TOOL])


def test_broken_json_forever_is_the_providers_failure(task):
    with openai_server(b"not json", b"not json") as server, pytest.raises(ProviderError):
        student(task, server, attempts=2)(OPENING, [TOOL])


def test_an_answer_without_a_choice_is_the_providers_failure(task):
    body = json.dumps({**completion({"model": "toy"}, {}), "choices": []}).encode()
    with openai_server(body) as server, pytest.raises(ProviderError, match="without a choice"):
        student(task, server)(OPENING, [TOOL])


def test_arguments_survive_byte_for_byte(task):
    text = json.dumps({"path": "ä\n"}, ensure_ascii=False) + "  "
    with openai_server({"role": "assistant", "content": "x", "tool_calls": calls(text)}) as server:
        message = student(task, server)(OPENING, [TOOL])
    assert message["tool_calls"][0]["function"]["arguments"] == text


LONG = "x" * 4000
TOO_LONG = error(400, "This model's maximum context length is 10 tokens.", "context_length_exceeded")


def worked(count: int) -> list:
    """A conversation with `count` long tool outputs."""
    messages = list(OPENING)
    for number in range(count):
        messages += [
            {
                "role": "assistant",
                "content": "",
                "tool_calls": calls("{}"),
                "extra": {"usage": {"prompt_tokens": 1400 * number}},
            },
            {"role": "tool", "tool_call_id": "c0", "content": f"{number}{LONG}"},
        ]
    return messages


def test_a_conversation_that_is_too_long_loses_its_oldest_outputs_and_says_so(task):
    with openai_server(TOO_LONG, HELLO) as server:
        message = student(task, server)(worked(4), [TOOL])
    sent = [one["content"] for one in server.requests[1]["messages"] if one["role"] == "tool"]
    elided = message["extra"]["elided"]
    assert 1 <= elided < 4 and len(server.requests) == 2
    assert all("4001 characters of output elided" in text for text in sent[:elided]) and LONG in sent[-1]
    with openai_server(HELLO) as server:
        student(task, server)([*worked(4), message, {"role": "user", "content": "go on"}], [TOOL])
    assert "elided" in server.requests[0]["messages"][2]["content"]  # what was left out stays out


def test_a_conversation_that_never_fits_ends_by_submitting(task):
    with openai_server(*[TOO_LONG] * 9) as server:
        message = student(task, server)(worked(2), [TOOL])
    assert message["tool_calls"][0]["function"]["name"] == "submit"
    assert message["extra"]["finish_reason"] == "context"


def test_a_known_context_is_kept_without_asking(task):
    with openai_server(HELLO) as server:
        message = student(task, server, context_tokens=2000, max_tokens=100)(worked(3), [TOOL])
    assert message["extra"]["elided"] >= 1 and len(server.requests) == 1


def test_a_model_without_a_price_costs_nothing_known(task):
    forget_spending()
    with openai_server(HELLO) as server:
        message = student(task, server, max_cost=0.000001)(OPENING, [TOOL])
    assert message["extra"]["cost"] is None and spent() == 0.0


def test_a_priced_model_is_accounted_and_stops_at_max_cost(task):
    forget_spending()
    with openai_server(HELLO, HELLO, HELLO) as server:
        act = student(task, server, model="openai/gpt-4o-mini", max_cost=0.00001)
        first = act(OPENING, [TOOL])
        act(OPENING, [TOOL])
        assert first["extra"]["cost"] == pytest.approx((11 * 0.15 + 7 * 0.6) / 1e6)
        assert spent() == pytest.approx(2 * first["extra"]["cost"])
        with pytest.raises(RunError, match=r"max_cost is \$0\.00.*--max-cost"):
            act(OPENING, [TOOL])
    assert len(server.requests) == 2
    forget_spending()


def test_a_server_that_counts_backwards_lifts_no_limit(task):
    forget_spending()
    backwards = {"usage": {"prompt_tokens": -(10**9), "completion_tokens": -(10**9), "total_tokens": -2}}
    body = json.dumps({**completion({"model": "toy"}, HELLO), **backwards}).encode()
    with openai_server(body) as server:
        message = student(task, server, model="openai/gpt-4o-mini")(OPENING, [TOOL])
    assert spent() == 0.0 and tokens_of(message) > 0
    assert message["extra"]["usage"] == {"prompt_tokens": None, "completion_tokens": None}
    charge(float("nan"))
    assert spent() == 0.0


def test_the_server_is_left_alone_for_as_long_as_it_asks():
    class Limited(Exception):
        litellm_response_headers: ClassVar = {"retry-after": "7"}

    assert asked_wait(Limited()) == 7.0
    Limited.litellm_response_headers = {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}
    assert asked_wait(Limited()) == asked_wait(None) == 0.0
    Limited.litellm_response_headers = {"retry-after": "1e9"}
    assert asked_wait(Limited()) == 300.0


def with_tokens(prompt: list, ids: list, count: int | None = None, logprob: float = -0.5) -> dict:
    """A server's message with what vLLM adds to it."""
    content = [{"token": "t", "logprob": logprob, "bytes": None, "top_logprobs": []}] * (count or len(ids))
    return {
        **HELLO,
        "_choice": {"token_ids": ids, "logprobs": {"content": content}},
        "_top": {"prompt_token_ids": prompt},
    }


def test_token_ids_of_the_server_are_kept_and_extended(task):
    hint = {"role": "user", "content": "hint", "extra": {"source": "guidance"}}
    opening = [{"role": "user", "content": "hello"}, hint]
    script = (with_tokens([1, 5, 6, 2], [7, 8]), with_tokens([1, 2], [9]), with_tokens([1, 5, 6, 2, 7, 8, 3, 4], [9]))
    with openai_server(*script) as server:
        act = student(task, server, token_ids=True, version="step-3")
        first = act(opening, [TOOL])
        second = act([*opening, first, {"role": "user", "content": "go on"}], [TOOL])
    assert server.requests[0]["return_token_ids"] is True and server.requests[0]["temperature"] == 1.0
    assert [message["content"] for message in server.requests[1]["messages"]] == ["hello"]  # to tell the hint's ids
    assert (first["extra"]["prompt_token_ids"], first["extra"]["token_ids"]) == ([1, 5, 6, 2], [7, 8])
    assert (first["extra"]["guidance_span"], first["extra"]["policy_version"]) == ([1, 3], "step-3")
    assert first["extra"]["logprobs"] == [-0.5, -0.5]
    assert (second["extra"]["context_token_ids"], second["extra"]["token_ids"]) == ([3, 4], [9])


def test_a_server_that_keeps_the_ids_of_a_prompt_to_itself_once_stops_no_run(task):
    hint = {"role": "user", "content": "hint", "extra": {"source": "guidance"}}
    with openai_server(with_tokens([1, 5, 6, 2], [7, 8]), HELLO) as server:
        message = student(task, server, token_ids=True)([{"role": "user", "content": "hello"}, hint], [TOOL])
    assert "hint's" in message["extra"]["tokens_missing"] and "token_ids" not in message["extra"]


def test_a_call_of_another_kind_is_none(task):
    other = {"id": "c", "type": "custom", "custom": {"name": "read", "input": "a"}}
    with openai_server({"role": "assistant", "content": "x", "tool_calls": [other]}) as server:
        message = student(task, server)(OPENING, [TOOL])
    assert message["content"] == "x" and not [c for c in message.get("tool_calls", []) if c["function"]["name"]]


def test_a_server_that_shows_earlier_turns_otherwise_begins_anew(task):
    with openai_server(with_tokens([1, 2], [7]), with_tokens([1, 2, 8, 3], [9])) as server:
        act = student(task, server, token_ids=True)
        first = act([{"role": "user", "content": "hello"}], [TOOL])
        second = act([{"role": "user", "content": "hello"}, first, {"role": "user", "content": "go on"}], [TOOL])
    assert second["extra"]["prompt_token_ids"] == [1, 2, 8, 3] and second["extra"]["restart"] == "template"


@pytest.mark.parametrize(
    ("entry", "missing"),
    [
        (HELLO, "no prompt_token_ids and no token_ids"),
        (with_tokens([1], [2, 3], count=1), "1 log-probs for 2 tokens"),
        (with_tokens([1], [-2]), "token ids that are none"),
        (with_tokens(["1"], [2]), "token ids that are none"),
        (with_tokens([1], [2], logprob=float("nan")), "log-probs that are none"),
        (with_tokens([1], [2], logprob=5.0), "log-probs that are none"),
    ],
)
def test_tokens_that_are_not_whole_are_left_out_and_it_is_said(task, entry, missing):
    with openai_server(entry) as server:
        extra = student(task, server, token_ids=True)([{"role": "user", "content": "hello"}], [])["extra"]
    assert missing in extra["tokens_missing"] and "token_ids" not in extra


def test_token_ids_at_another_temperature_are_refused(task):
    with pytest.raises(InputError, match="temperature is 1"):
        make_policy("litellm", task, seed=1, options={"model": "x", "token_ids": True, "temperature": 0.5})


def test_it_works_where_mcp_is_not_installed(task):
    """litellm hands requests with tools to its handler of MCP tools, which needs a package it does not bring along."""
    script = (
        "import sys; sys.modules['mcp'] = None\n"
        "from swegym.model_request import Requesting, complete\n"
        "tool = {'type': 'function', 'function': {'name': 'read', 'parameters': {'type': 'object'}}}\n"
        "request = {'messages': [{'role': 'user', 'content': 'hello'}], 'tools': [tool]}\n"
        "print(complete(request, Requesting(model='openai/toy', api_base=sys.argv[1])).choices[0].message.content)\n"
    )
    with openai_server(HELLO) as server:
        done = subprocess.run(
            [sys.executable, "-c", script, server.address], capture_output=True, text=True, timeout=250
        )
    assert done.stdout.strip() == "hello back", done.stderr

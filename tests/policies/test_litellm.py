import json

import pytest
from openai_server import error, openai_server

from swegym.errors import ProviderError
from swegym.policies import make_policy

TOOL = {"type": "function", "function": {"name": "read", "description": "", "parameters": {"type": "object"}}}
OPENING = [{"role": "user", "content": "hello", "extra": {"source": "guidance"}}]
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
        (error(401, "bad key"), "key"),
        (error(404, "no such model"), "correct `model`"),
        (error(400, "This model's maximum context length is 10 tokens.", "context_length_exceeded"), "limits.tokens"),
    ],
)
def test_lasting_failures_abort_at_once_with_the_remedy(task, failure, remedy):
    with openai_server(failure, HELLO) as server, pytest.raises(ProviderError, match=remedy):
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


def test_no_server_at_all_says_to_start_it(task):
    with openai_server() as server:
        pass
    with pytest.raises(ProviderError, match="See that the server runs"):
        student(task, server, attempts=2)(OPENING, [TOOL])


def test_broken_json_forever_is_the_providers_failure(task):
    with openai_server(b"not json", b"not json") as server, pytest.raises(ProviderError):
        student(task, server, attempts=2)(OPENING, [TOOL])


def test_arguments_survive_byte_for_byte(task):
    text = json.dumps({"path": "ä\n"}, ensure_ascii=False) + "  "
    with openai_server({"role": "assistant", "content": "x", "tool_calls": calls(text)}) as server:
        message = student(task, server)(OPENING, [TOOL])
    assert message["tool_calls"][0]["function"]["arguments"] == text

import json
import time

import gymnasium
import pytest
from fake_episode import TaskList, make_env

from swegym.adapters.reward import patch_in
from swegym.text import TextAction, parse_action


def call_of(text):
    (call,) = parse_action(text)["tool_calls"]
    return call["function"]["name"], json.loads(call["function"]["arguments"])


EDIT = {"tool": "edit", "arguments": {"path": "a.py", "old": "a - b", "new": "a + b"}}


@pytest.mark.parametrize(
    ("text", "name", "arguments"),
    [
        ("I look.\n```bash\nls -la\ncat a\n```\nThen.", "bash", {"command": "ls -la\ncat a\n"}),
        ("```sh\ntrue\n```", "bash", {"command": "true\n"}),
        (f"```json\n{json.dumps(EDIT)}\n```", "edit", EDIT["arguments"]),
        (json.dumps(EDIT), "edit", EDIT["arguments"]),
        ('{"name": "submit"}', "submit", {}),
        ('{"tool": "read", "arguments": "{\\"path\\": \\"a\\"}"}', "read", {"path": "a"}),
        ("```bash\necho '```'\n```", "bash", {"command": "echo '```'\n"}),
    ],
)
def test_a_call_is_taken_from_the_text(text, name, arguments):
    assert call_of(text) == (name, arguments)
    assert parse_action(text)["content"] == text


@pytest.mark.parametrize(
    "text", ["", "I think.", "```python\nprint()\n```", '{"a": 1}', "[1]", "null", '"text"', "```bash", "{" * 100_000]
)
def test_text_without_a_call_stays_text(text):
    assert "tool_calls" not in parse_action(text)


def test_blocks_that_nothing_closes_cost_no_more_than_others():
    began = time.process_time()
    assert "tool_calls" not in parse_action("```bash\n" * 100_000)
    assert patch_in("```diff\n" * 100_000) == ""
    assert time.process_time() - began < 5.0


def test_an_episode_in_plain_strings():
    env = TextAction(make_env())
    opening, _ = env.reset(seed=1)
    assert opening in env.observation_space
    assert "<issue>" in opening and "- edit: " in opening and "```bash" in opening
    assert "hi" in env.step("```bash\necho hi\n```")[0]
    assert "no tool call" in env.step("hmm")[0]
    assert "not valid JSON" in env.step('```json\n{"tool": "edit", "arguments": {"path": "a.py",}\n```')[0]
    answer, *_ = env.step(f"```json\n{json.dumps(EDIT)}\n```\n```bash\necho twice\n```")
    assert "Edited a.py" in answer and "only the first call" in answer
    assert env.step(None)[1] == 0.0
    _, reward, terminated, _, info = env.step('{"tool": "submit"}')
    assert (reward, terminated, info["verdict"].resolved) == (1.0, True, True)


def test_a_sample_is_a_call_that_changes_nothing():
    env = TextAction(make_env(tasks=TaskList("one")))
    env.reset()
    sample = env.action_space.sample()
    assert sample in env.action_space
    assert "exit code 0" in env.step(sample)[0]


def test_the_spec_rebuilds_it():
    gymnasium.register("swegymtest/Text-v0", "fake_episode:make_env", nondeterministic=True)
    try:
        env = TextAction(gymnasium.make("swegymtest/Text-v0"))
        rebuilt = gymnasium.make(gymnasium.envs.registration.EnvSpec.from_json(env.spec.to_json()))
        assert isinstance(rebuilt, TextAction)
    finally:
        gymnasium.registry.pop("swegymtest/Text-v0")

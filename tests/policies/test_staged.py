"""Localise, then repair: what each stage is asked, what it does in a real repository, and with nonsense."""

import pytest
import tiny_set
from fake_episode import make_env, make_task

from swegym.data.tokens import token_rows
from swegym.env import SWEEnv
from swegym.errors import InputError
from swegym.guidance import GuidanceWrapper
from swegym.policies import make_policy
from swegym.policies.staged import edits_in, joined, named_files, named_places, show
from swegym.rollout import rollout
from swegym.types import Guidance

EDIT = "tiny/numbers.py\n<<<<<<< SEARCH\n    return number + 2\n=======\n    return number * 2\n>>>>>>> REPLACE\n"
asked: list[list] = []
answers: list[str] = []
made_with: list[dict] = []


def chatting(context):
    """A policy that says what the test has laid out, and keeps what it was asked."""
    made_with.append(dict(context.options))

    def act(messages, tools):
        assert tools == []
        asked.append(messages)
        extra = {"token_ids": [7, 8], "logprobs": [-1.0, -2.0], "prompt_token_ids": list(range(len(asked)))}
        if any(message.get("extra", {}).get("source") == "guidance" for message in messages):
            extra["guidance_span"] = [0, 1]
            extra["prompt_token_ids"] = [9, *extra["prompt_token_ids"]]
        return {"role": "assistant", "content": answers.pop(0), "extra": extra}

    return act


@pytest.fixture
def task_set(tmp_path):
    return tiny_set.build(tiny_set.write(tmp_path))


def episode(task_set, said: list[str], guidance: Guidance | None = None, **options):
    asked.clear()
    answers[:] = said
    env = GuidanceWrapper(SWEEnv(task_set, limits={"turns": 12}))
    options = {"policy": "test_staged:chatting", **options}
    student = make_policy("staged", task_set.load("tiny-1"), seed=1, options=options)
    return rollout(env, student, task="tiny-1", seed=1, guidance=guidance)


def actions(trajectory) -> list[str]:
    return [
        message["tool_calls"][0]["function"]["name"]
        for message in trajectory.messages
        if message["role"] == "assistant"
    ]


def test_the_stages_solve_a_task_with_the_tools_of_the_env(task_set):
    hint = Guidance("oracle", {"plan": "Doubling is multiplying."}, True)
    trajectory = episode(task_set, ["`tiny/numbers.py`", "tiny/numbers.py:1", EDIT], hint)
    assert trajectory.verdict.resolved is True
    assert actions(trajectory) == ["bash", "bash", "bash", "edit", "submit"]
    assert len(asked) == 3
    for messages in asked:
        assert "Doubling is multiplying" in messages[1]["content"]  # the hint goes into every stage
        assert messages[0]["content"].startswith("Solve this problem")
    files, places, repair = (messages[-1]["content"] for messages in asked)
    assert "tiny/numbers.py" in files and "tests/test_numbers.py" in files
    assert "1:def double" in places
    assert "    return number + 2\n" in repair
    stages = [message["extra"]["stage"] for message in trajectory.messages if message["role"] == "assistant"]
    assert stages == ["files", "files", "places", "repair", "repair"]
    rows = token_rows(trajectory, guidance=False)
    assert [row.ids[-2:] for row in rows] == [(7, 8)] * 3 and all(9 not in row.ids for row in rows)


def test_edits_that_do_not_fit_are_shown_with_the_answer(task_set):
    wrong = EDIT.replace("number + 2", "number - 2", 1)
    trajectory = episode(task_set, ["tiny/numbers.py", "", wrong, "I do not know.", EDIT])
    assert trajectory.verdict.resolved is True
    assert "old was not found" in asked[3][-1]["content"]
    assert "no edit in this form" in asked[4][-1]["content"]
    assert [message["role"] for message in asked[4]][-4:] == ["assistant", "user", "assistant", "user"]
    said = [message["content"] for message in trajectory.messages if message["role"] == "assistant"]
    assert "I do not know." in said  # nothing that was sampled is lost


def test_nonsense_is_submitted_after_a_few_tries(task_set):
    trajectory = episode(task_set, ["?"] * 5)
    assert (trajectory.stop_reason, trajectory.verdict.resolved, trajectory.patch) == ("submitted", False, "")
    assert not answers


def test_options_and_envs_that_will_not_do_are_named(task_set):
    with pytest.raises(InputError, match="cannot chat"):
        make_policy("staged", make_task("one"), seed=1, options={"policy": "gold"})
    student = make_policy("staged", make_task("one"), seed=1, options={"policy": "test_staged:chatting"})
    env = make_env(tools=("read", "submit"))
    messages, _ = env.reset(seed=1)
    with pytest.raises(InputError, match="lacks the tools bash, edit"):
        student(messages, env.tool_schemas)


def test_the_options_of_the_policy_underneath_reach_it():
    options = {"policy": "test_staged:chatting", "policy_options": {"model": "x"}, "max_cost": 2.5}
    make_policy("staged", make_task("one"), seed=1, options=options)
    assert made_with[-1] == {"model": "x", "max_cost": 2.5}


def test_files_and_places_are_found_in_what_models_write():
    known = ["a/b.py", "c.py", "test_c.py"]
    assert named_files("1. `./a/b.py`\n2. **c.py**\nand d.py, a/b.py.", known) == ["a/b.py", "c.py"]
    assert named_places("- a/b.py:12\nc.py:3-9, e.py:1", ["a/b.py", "c.py"]) == [("a/b.py", 12), ("c.py", 3)]
    assert joined([(5, 9), (1, 4), (20, 30), (25, 26)]) == [(1, 9), (20, 30)]
    assert "sed -n '2,22p' -- a/b.py" in show(known, [("a/b.py", 12)], 10)
    assert "c.py" not in show(known, [("a/b.py", 12)], 10)


@pytest.mark.parametrize(
    ("text", "edits"),
    [
        (EDIT, [("tiny/numbers.py", "    return number + 2", "    return number * 2")]),
        (
            f"Here:\n\n```python\n### {EDIT}```\n",
            [("tiny/numbers.py", "    return number + 2", "    return number * 2")],
        ),
        ("a.py\n<<<<<<< SEARCH\nx\n=======\n>>>>>>> REPLACE", [("a.py", "x\n", "")]),
        ("<<<<<<< SEARCH\nx\n=======\ny\n>>>>>>> REPLACE", [("only.py", "x", "y")]),
        ("a.py\n<<<<<<< SEARCH\nx\n=======\ny\n", []),
        ("a.py\r\n<<<<<<< SEARCH\r\n\x0cx\r\n=======\r\ny\u2028\r\n>>>>>>> REPLACE", [("a.py", "\x0cx", "y\u2028")]),
        ("nothing", []),
    ],
)
def test_edits_are_found_in_what_models_write(text, edits):
    assert edits_in(text, ["only.py"]) == edits


def test_two_blocks_of_one_file_share_its_path():
    block = "<<<<<<< SEARCH\n{0}\n=======\n{0}{0}\n>>>>>>> REPLACE\n"
    assert [path for path, _, _ in edits_in("a.py\n" + block.format("x") + block.format("y"), ["a.py", "b.py"])] == [
        "a.py",
        "a.py",
    ]

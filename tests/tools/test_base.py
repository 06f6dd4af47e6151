import json
import pickle
from typing import Literal

import pytest

from swegym.errors import InputError
from swegym.tools import DEFAULT_TOOLS, TOOLS, ToolContext, ToolError, answer, load, make_tool, schema, tool
from swegym.types import PublicTask, TestSetup

CONTEXT = ToolContext(None, PublicTask("t", "s", "r", "i", "/testbed", (), "d"), TestSetup(()))  # type: ignore[arg-type]


@tool
def sample(
    context: ToolContext, name: str, times: int = 2, mode: Literal["a", "b"] = "a", copy: list[str] | None = None
) -> str:
    """Say something.

    In more than one line.

    Args:
        name: What to say,
            over two lines.
        times: How often.
        copy: Named like a method of pydantic's models.

    Returns:
        What was said.
    """
    if name == "bad":
        raise ToolError("Not that name.")
    return f"{name * times} {mode} {copy}"


def test_the_schema_comes_from_signature_and_docstring():
    function = schema(sample)["function"]
    assert function["name"] == "sample"
    assert function["description"] == "Say something.\n\nIn more than one line."
    parameters = function["parameters"]
    assert parameters["required"] == ["name"] and parameters["additionalProperties"] is False
    assert parameters["properties"]["name"] == {"description": "What to say, over two lines.", "type": "string"}
    assert parameters["properties"]["times"]["default"] == 2
    assert parameters["properties"]["mode"]["enum"] == ["a", "b"]
    assert list(parameters["properties"]) == ["name", "times", "mode", "copy"]


@pytest.mark.parametrize("name", DEFAULT_TOOLS)
def test_every_tool_and_argument_is_described_and_plain_json(name):
    function = load([name])[name].schema["function"]
    assert function["name"] == name and len(function["description"]) > 20
    assert all(len(described["description"]) > 10 for described in function["parameters"]["properties"].values())
    assert json.loads(json.dumps(function)) == function


def call(arguments):
    return answer({"sample": make_tool(sample)}, "sample", arguments, CONTEXT)


def test_arguments_are_checked_and_converted():
    assert call('{"name": "x", "times": "3"}') == ("xxx a None", True)
    assert call('{"name": "x", "times": null}') == ("xx a None", True)
    assert call('{"name": "x", "copy": ["y"]}') == ("xx a ['y']", True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("", "name: field required"),
        ("{", "not valid JSON"),
        ("3", "must be a JSON object"),
        ('{"name": "x", "extra": 1}', "extra: extra inputs"),
        ('{"name": 3}', "name: input should be a valid string"),
        ('{"name": "x", "mode": "c"}', "mode: input should be 'a' or 'b'"),
        ('{"name_": "x"}', "name: field required"),
        ('{"name": "\\udc00"}', "surrogate"),
        ('{"name": "bad"}', "Not that name"),
    ],
)
def test_a_wrong_call_is_explained(arguments, said):
    text, succeeded = call(arguments)
    assert said in text and not succeeded
    assert "bad" in arguments or "surrogate" in text or "name, times (optional)" in text


def test_a_bug_in_a_tool_is_not_taken_for_a_mistake_of_the_policy():
    @tool
    def buggy(context: ToolContext) -> str:
        """Fail."""
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        answer({"buggy": make_tool(buggy)}, "buggy", "{}", CONTEXT)


def test_tools_can_be_named_by_import_path_and_pickled():
    loaded = load(["swegym.tools.bash:bash", sample])
    assert list(loaded) == ["bash", "sample"]
    assert pickle.loads(pickle.dumps(loaded)) == loaded


def test_only_submit_ends_the_episode():
    assert [name for name, one in load(TOOLS).items() if one.ends_episode] == ["submit"]


def test_what_cannot_be_a_tool_is_refused_where_it_is_written():
    with pytest.raises(InputError, match="not a tool"):
        make_tool(len)
    with pytest.raises(InputError, match="docstring"):

        @tool
        def silent(context: ToolContext) -> str:
            return ""

    with pytest.raises(InputError, match="typo"):

        @tool
        def wrong(context: ToolContext, path: str) -> str:
            """Do it.

            Args:
                typo: No such argument.
            """
            return path

    with pytest.raises(InputError, match="no type"):

        @tool
        def untyped(context: ToolContext, path) -> str:
            """Do it."""
            return path

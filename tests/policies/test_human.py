import io
import json

import pytest

from swegym.policies import make_policy
from swegym.policies.human import parse_line


def schema(name, required, **properties):
    parameters = {"type": "object", "properties": {k: {"type": v} for k, v in properties.items()}, "required": required}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


TOOLS = [
    schema("bash", ["command"], command="string", timeout="number"),
    schema("read", ["path"], path="string", start="integer", lines="integer"),
    schema("edit", ["path", "old", "new"], path="string", old="string", new="string"),
    schema("submit", []),
]


def parsed(line):
    function = parse_line(line, TOOLS)["function"]
    return function["name"], json.loads(function["arguments"])


def test_bash_takes_the_rest_of_the_line_as_it_is():
    assert parsed("bash echo 'a  b' | cat") == ("bash", {"command": "echo 'a  b' | cat"})


def test_arguments_go_by_position_and_by_name_with_their_types():
    assert parsed("read a.py 10") == ("read", {"path": "a.py", "start": 10})
    assert parsed("read lines=5 'a b.py'") == ("read", {"lines": 5, "path": "a b.py"})


def test_json_reaches_every_argument():
    line = '{"name": "edit", "arguments": {"path": "a", "old": "x\\ny", "new": ""}}'
    assert parsed(line) == ("edit", {"path": "a", "old": "x\ny", "new": ""})


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("fly", "no tool 'fly'"),
        ("read", "read needs path"),
        ("read a ten", "start = 'ten': expected integer"),
        ("submit now", "submit takes 0 arguments"),
        ("{broken", "Expecting"),
        ('{"name": 1}', "expected"),
        ("read 'a", "quotation"),
    ],
)
def test_a_bad_line_is_explained(line, problem):
    with pytest.raises(ValueError, match=problem):
        parse_line(line, TOOLS)


def test_a_person_is_asked_again_until_the_line_is_good_and_ends_with_end_of_file(task, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO("fly\nread a.py\n"))
    act = make_policy("human", task, seed=0)
    opening = [{"role": "user", "content": "the [bold]issue"}]
    message = act(opening, TOOLS)
    assert message["tool_calls"][0]["function"]["name"] == "read"
    shown = capsys.readouterr().out
    assert "the [bold]issue" in shown and "no tool 'fly'" in shown
    last = act([*opening, message, {"role": "tool", "content": "text of a.py"}], TOOLS)
    assert last["tool_calls"][0]["function"]["name"] == "submit"
    again = capsys.readouterr().out
    assert "text of a.py" in again and "issue" not in again

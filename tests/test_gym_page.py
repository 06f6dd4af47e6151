"""The code of docs/gym.md."""

import re
import tomllib
from pathlib import Path

from fake_episode import call, make_env

from swegym.envfile import EnvFile
from swegym.tools import make_tool

PAGE = (Path(__file__).parent.parent / "docs/gym.md").read_text("utf-8")
PYTHON = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
TOML = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_the_loop(capsys, monkeypatch):
    (loop,) = [code for code in PYTHON if "while not done" in code]
    monkeypatch.setattr("gymnasium.make", lambda identity: make_env())
    exec(loop, {"policy": lambda messages, tools: call("submit")})
    assert capsys.readouterr().out == "0.0 test_add failed\n"


def test_plain_text(monkeypatch):
    (text,) = [code for code in PYTHON if "TextAction" in code]
    monkeypatch.setattr("gymnasium.make", lambda identity: make_env())
    names = {}
    exec("import gymnasium\n" + text, names)
    assert names["terminated"] is True


def test_the_tool():
    (code,) = [code for code in PYTHON if "@tool" in code]
    names = {"__name__": "example"}
    exec(code, names)
    env = make_env(tools=[names["count"], "submit"])
    env.reset()
    assert env.step(call("count", path="a.py"))[0][0]["content"] == "2"
    assert make_tool(names["count"]).schema["function"]["parameters"]["required"] == ["path"]


def test_the_file():
    (text,) = TOML
    assert EnvFile.model_validate(tomllib.loads(text)).limits.turns == 30

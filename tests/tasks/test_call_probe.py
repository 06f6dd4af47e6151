"""Calls that a test makes become text that gives the same when it is run again."""

import datetime
import importlib
import sys
import textwrap

import pytest

from swegym.tasks.call_probe import Recorder, outcome, plain_text

PACKAGE = """
from probed_calls.inner import Box, add, _private, spread
"""
INNER = """
import functools

def add(a, b=1, *, scale=1):
    return _private(a + b) * scale

def _private(value):
    return value

def spread(first, *rest, **named):
    return [first, *rest, *named]

def counted(upto):
    yield from range(upto)

@functools.lru_cache
def cached(value):
    return value

class Box:
    def __init__(self, size=3):
        self.size = size

    def grow(self, by):
        self.size += by
        return self.size

    @classmethod
    def of(cls, size):
        return cls(size)
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    folder = tmp_path / "probed_calls"
    folder.mkdir()
    (folder / "__init__.py").write_text(PACKAGE)
    (folder / "inner.py").write_text(INNER)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module("probed_calls")
    for name in [name for name in sys.modules if name.partition(".")[0] == "probed_calls"]:
        del sys.modules[name]


def noted(package, body: str) -> list[str]:
    """What is noted while `body` runs as if it stood in a test file."""
    source = textwrap.indent(textwrap.dedent(body), "    ")
    scope = {"p": package, "inner": importlib.import_module("probed_calls.inner")}
    exec(compile(f"def run():\n{source}", "test_file.py", "exec"), scope)
    recorder = Recorder("test_file.py", "probed_calls")
    before = sys.getprofile()
    sys.setprofile(recorder)
    try:
        scope["run"]()
    finally:
        sys.setprofile(before)
    return recorder.calls


@pytest.mark.parametrize(
    ("body", "calls"),
    [
        ("p.add(1)", ["probed_calls.add(1)"]),
        ("p.add(1, 2, scale=3)", ["probed_calls.add(1, 2, scale=3)"]),
        ("p.add(1, scale=3)", ["probed_calls.add(1, scale=3)"]),
        ("p.spread(len, 'x', y=[1])", ["probed_calls.spread(len, 'x', y=[1])"]),
        ("inner.cached('a')", ["probed_calls.inner.cached('a')"]),
        ("box = p.Box(5)\nbox.grow(2)", ["probed_calls.Box(5)", "probed_calls.Box(5).grow(2)"]),
        ("p.Box.of(4)", ["probed_calls.Box.of(4)"]),
        ("p._private(1)", []),
        ("p.spread(object())", []),
        ("p.add(1)\np.add(1)", ["probed_calls.add(1)"]),
    ],
)
def test_calls_become_text(package, body, calls):
    assert noted(package, body) == calls


def test_calls_that_the_package_makes_itself_are_not_noted(package):
    assert not any("_private" in call for call in noted(package, "p.add(1)"))


def test_a_text_gives_what_the_call_gave(package):
    assert outcome("probed_calls.add(1, 2, scale=3)") == {
        "call": "probed_calls.add(1, 2, scale=3)",
        "shown": "probed_calls.add(1, 2, scale=3)",
        "imports": ["import probed_calls"],
        "result": "9",
    }


def test_an_iterator_is_shown_as_a_list(package):
    assert outcome("probed_calls.inner.counted(3)")["shown"] == "list(probed_calls.inner.counted(3))"
    assert outcome("probed_calls.inner.counted(3)")["result"] == "[0, 1, 2]"


def test_an_error_is_shown_as_a_session_shows_it(package):
    assert outcome("probed_calls.add('x')")["result"].splitlines()[0] == "Traceback (most recent call last):"
    assert outcome("probed_calls.add('x')")["result"].splitlines()[-1].startswith("TypeError: ")


def test_names_beside_the_package_are_imported(package):
    found = outcome("probed_calls.spread(datetime.date(2020, 1, 1))")
    assert found["imports"] == ["import datetime", "import probed_calls"]


@pytest.mark.parametrize("value", [1, "é\n", (1, [2]), {"a": None}, datetime.date(2020, 1, 2), len, int])
def test_plain_values_become_text(value):
    assert plain_text(value) is not None


@pytest.mark.parametrize("value", [object(), float("nan"), lambda: 1, "x" * 1000, [object()]])
def test_other_values_do_not(value):
    assert plain_text(value) is None

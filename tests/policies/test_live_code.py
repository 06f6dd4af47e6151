import importlib
import sys

import pytest

from swegym.policies.live_code import LiveCode

SOURCE = """\
import functools

LIMIT = 3


def keep(function):
    @functools.wraps(function)
    def inner(*arguments):
        return function(*arguments)

    return inner


@keep
def wrapped(x):
    return x + 1


def plain(x, step=1):
    return [x + step for x in range(x)]


def outer():
    offset = 10

    def nested(x):
        return x + offset

    return nested


class Thing:
    size = 2

    def method(self):
        return self.size
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "live_example.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("live_example")
    del sys.modules["live_example"]


def exchanged(module, old, new):
    """Exchange the code for an edit of the one line that holds `old`; how many functions that were."""
    number, line = next((n, text) for n, text in enumerate(SOURCE.splitlines(), 1) if old in text)
    edit = (module.__file__, number, number, line.replace(old, new) + "\n")
    found = LiveCode().exchanges(*edit)
    for function, code in found:
        function.__code__ = code
    return len(found)


def test_a_functions_body_is_exchanged_in_the_live_function(module):
    assert exchanged(module, "return [x + step", "return [x - step") >= 1
    assert module.plain(2) == [-1, 0]


def test_behind_a_decorator_and_in_a_class_as_well(module):
    exchanged(module, "return x + 1", "return x * 5")
    exchanged(module, "return self.size", "return -self.size")
    assert module.wrapped(2) == 10
    assert module.Thing().method() == -2


def test_a_closure_that_exists_already_is_exchanged_too(module):
    nested = module.outer()
    exchanged(module, "return x + offset", "return x - offset")
    assert nested(1) == -9 and module.outer()(1) == -9


def test_lines_put_in_before_other_functions_change_nothing_there(module):
    exchanged(module, "    def method(self):", "    def method(self):\n        if not self.size:\n            return 0")
    assert module.Thing().method() == 2


@pytest.mark.parametrize(
    ("old", "new"),
    [("LIMIT = 3", "LIMIT = 4"), ("step=1", "step=2"), ("    size = 2", "    size = 3"), ("return x + 1", "return (")],
)
def test_what_runs_at_import_or_does_not_compile_is_not_exchanged(module, old, new):
    assert exchanged(module, old, new) == 0


def test_other_variables_of_an_outer_function_are_not_exchanged(module):
    assert exchanged(module, "return x + offset", "return x") == 0

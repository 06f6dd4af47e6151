"""Questions from inside the tests' interpreter: what the code under test answers, sent out to be compared elsewhere.

Loaded by `_runner.py` before anything of the repository. Sealed test files call `ask` where they had an expected value;
`raises` where they named an exception. Closed calls are evaluated before pytest begins. No expected value is in this
process, so whatever the code under test does here, it has to give the right answers. That they were given by a test and
not made up is not what this shows.

Answers are plain values as JSON: [kind, content]. What is no plain value, or claims to be equal to things in a way of
its own, is "opaque" and settled by other means; a dict that finds its keys in such a way is "keyed".
"""

from __future__ import annotations

import base64
import collections
import collections.abc
import datetime
import decimal
import fractions
import itertools
import json
import sys
import time
import types
import warnings
from typing import Any

LARGEST = 200_000  # characters of one answer
MOST_ANSWERS = 500  # of one question in one test
MOST_WARNINGS = 50  # of one block
DEEPEST = 12
MOST_MEMBERS = 10_000  # of an object that nobody can compare
ORDINARY = (collections.OrderedDict, collections.Counter)
PLAIN = (bool, int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset)
# Kept here, for libraries that stop clocks put other classes in their places.
DATETIME, DATE, TIME, DELTA = datetime.datetime, datetime.date, datetime.time, datetime.timedelta
DECIMAL, FRACTION = decimal.Decimal, fractions.Fraction
TEXTS: Any = (str, bytes, bytearray)
MAPPING: Any = collections.abc.Mapping
CONTAINERS: Any = (MAPPING, collections.abc.Sequence, collections.abc.Set)
KINDS: Any = (*PLAIN, DATETIME, DATE, TIME, DELTA, DECIMAL, FRACTION)


class Opaque(Exception):
    pass


def encode(value: Any, depth: int = 0, content: bool = False) -> Any:
    """A plain value as JSON; of an instance of a subclass the plain value that it is made of.

    With `content` also where the subclass is equal to things in a way of its own.
    """
    if value is None:
        return ["none", None]
    base: Any = next((kind for kind in KINDS if isinstance(value, kind)), None)
    alike = type(value).__eq__ is getattr(base, "__eq__", None) or type(value) in ORDINARY
    if base is None or depth > DEEPEST or not (alike or content):
        raise Opaque(type(value).__name__)
    if base is bool or base is int:
        return [base.__name__, str(int.__int__(value))]
    if base is float:
        return ["float", float.__repr__(value)]
    if base is complex:
        return ["complex", [float.__repr__(value.real), float.__repr__(value.imag)]]
    if base is str:
        return ["str", str.__str__(value)]
    if base in (bytes, bytearray):
        return [base.__name__, base64.b64encode(bytes(memoryview(value))).decode("ascii")]
    if base not in PLAIN:
        return of_library(base, value)
    if base is dict:
        pairs = [(encode(key, depth + 1, content), encode(item, depth + 1, content)) for key, item in dict.items(value)]
        return ["dict", pairs]
    inner = [encode(item, depth + 1, content) for item in base.__iter__(value)]
    return [base.__name__, sorted(inner, key=json.dumps) if base in (set, frozenset) else inner]


def of_library(base: Any, value: Any) -> Any:
    """A date or number of the standard library. A moment that a clock shows twice counts as the first."""
    if base is DATETIME:
        clock = DATETIME.timetz(value).replace(fold=0)
        return ["datetime", DATETIME.combine(DATETIME.date(value), clock).isoformat()]
    if base in (DATE, TIME):
        return [base.__name__, base.isoformat(value)]
    if base is DELTA:
        return ["timedelta", [value.days, value.seconds, value.microseconds]]
    if base is FRACTION:
        return ["fraction", [str(value.numerator), str(value.denominator)]]
    return ["decimal", DECIMAL.__str__(value)]


def packed(value: Any) -> str:
    try:
        node = encode(value)
        if isinstance(value, dict) and type(value).__contains__ is not dict.__contains__:
            node = ["keyed", node]
    except Opaque as error:
        node = ["opaque", str(error), content_of(value), members_of(value)]
    except Exception as error:  # code under test may answer with anything
        node = ["opaque", type(error).__name__]
    text = json.dumps(node)
    if len(text) > LARGEST and len(node) > 3:
        text = json.dumps(node[:3])
    return text if len(text) <= LARGEST else json.dumps(["opaque", "large"])


def content_of(value: Any) -> Any:
    """What an object that nobody can compare is made of, else how its class writes it; None for neither."""
    try:
        return encode(value, content=True)
    except Exception:
        pass
    try:
        written: Any = type(value).__str__
        return None if written is object.__str__ else ["written", str(value)]
    except Exception:
        return None


def members_of(value: Any) -> Any:
    """What an object that nobody can compare gives to who goes through it; None for no container, and for no end."""
    try:
        return _shown(value, 0) if issubclass(type(value), CONTAINERS) else None
    except Exception:
        return None


def _shown(value: Any, depth: int) -> Any:
    kind = type(value)
    if issubclass(kind, TEXTS) or not issubclass(kind, CONTAINERS) or depth > DEEPEST:
        return encode(value, depth, content=True)
    found = list(itertools.islice(value.items() if issubclass(kind, MAPPING) else value, MOST_MEMBERS + 1))
    if len(found) > MOST_MEMBERS:
        raise Opaque(kind.__name__)
    if issubclass(kind, MAPPING):
        return ["dict", [(_shown(key, depth + 1), _shown(item, depth + 1)) for key, item in found]]
    return ["list", [_shown(one, depth + 1) for one in found]]


def install(pytest: Any, job: dict[str, Any], send: Any) -> Any:
    questions = Questions(pytest, job, send)
    module = types.ModuleType("_swegym_questions")
    for name in ("ask", "raises", "warns"):
        setattr(module, name, getattr(questions, name))
    sys.modules["_swegym_questions"] = module
    return questions


class Questions:
    """A pytest plugin: selects the wanted tests by key, says whose answers come, and takes answers."""

    def __init__(self, pytest: Any, job: dict[str, Any], send: Any) -> None:
        self._pytest, self._send = pytest, send
        self._wanted = None if job.get("keys") is None else frozenset(job["keys"])
        self._calls: list[dict[str, Any]] = job.get("calls", [])
        self._calls_last: bool = job.get("calls_last", False)
        self._folders: list[str] = [job["root"] + "/" + folder for folder in job["pythonpath"]]
        self._choices: dict[str, dict[str, list[list[str]]]] = job.get("choices") or {}
        self._keys: dict[str, str] = {}
        self._current = ""
        self._started = 0.0
        self._counts: dict[tuple[str, int], int] = {}
        self._kinds: dict[int, tuple[type, list[str]]] = {}

    def begin(self) -> None:
        if self._calls and not self._calls_last:
            self._evaluate()

    def end(self) -> None:
        if self._calls and self._calls_last:
            self._evaluate()

    def _evaluate(self) -> None:
        """The closed calls. Each has its own names; imports of a group are carried out once."""
        flag = sys.dont_write_bytecode
        sys.path.extend(self._folders)
        for group in self._calls:
            names: dict[str, Any] = {"__name__": "_calls"}
            for line in group["imports"]:
                try:
                    exec(line, names)
                except Exception:
                    continue
            for number, setup, expression in group["calls"]:
                inner = dict(names)
                try:
                    exec(setup, inner)
                    answer = packed(eval(expression, inner))
                except Exception as error:
                    answer = json.dumps(["opaque", type(error).__name__])
                self._send("answer", group["name"], str(number), answer)
        sys.dont_write_bytecode = flag
        for folder in self._folders:  # what packages have put there stays
            if folder in sys.path:
                sys.path.remove(folder)

    def pytest_collection_modifyitems(self, config: Any, items: Any) -> None:
        kept = []
        for item in items:
            key = key_of(item)
            if self._wanted is None or key in self._wanted:
                kept.append(item)
                self._keys[item.nodeid] = key
                self._send("key", item.nodeid, key, "")
        items[:] = kept

    def pytest_runtest_logstart(self, nodeid: str, location: Any) -> None:
        self._current, self._started = nodeid, time.perf_counter()

    def pytest_runtest_logfinish(self, nodeid: str, location: Any) -> None:
        self._send("seconds", nodeid, "", f"{time.perf_counter() - self._started:.3f}")

    def pytest_exception_interact(self, node: Any, call: Any, report: Any) -> None:
        asserted = isinstance(call.excinfo.value, AssertionError)
        self._send("failed", node.nodeid, self._keys.get(node.nodeid, ""), "AssertionError" if asserted else "")

    def ask(self, number: int, value: Any) -> bool:
        """Take an answer; where there are choices for it, which of them it is equal to."""
        choices = self._choices.get(self._keys.get(self._current, ""), {}).get(str(number), [])
        count = self._counts.get((self._current, number), 0)
        if count < len(choices):
            try:
                value = [bool(value == eval(other, {})) for other in choices[count]]
            except Exception as error:  # of the value's own comparison
                value = error
        self._answer(number, packed(value))
        return True

    def _answer(self, number: int, answer: str) -> None:
        place = (self._current, number)
        self._counts[place] = self._counts.get(place, 0) + 1
        if self._counts[place] <= MOST_ANSWERS:
            self._send("answer", self._current, str(number), answer)

    def names_of(self, kind: type) -> list[str]:
        """As the function, which looks through all modules, once for each class."""
        if id(kind) not in self._kinds:
            self._kinds[id(kind)] = (kind, names_of(kind))
        return self._kinds[id(kind)][1]

    def raises(self, number: int, *call: Any, **keywords: Any) -> Any:
        """As pytest.raises without a type: a context manager, or with a function the call. Nothing need raise."""
        context = Raises(self, number, self._pytest)
        if not call:
            return context
        with context as caught:
            call[0](*call[1:], **keywords)
        return caught

    def warns(self, number: int) -> Any:
        return Warns(self, number)


class Warns:
    """As pytest.warns without a type, for a block that need not warn: all warnings in it are the answer."""

    def __init__(self, questions: Questions, number: int) -> None:
        self._questions, self._number = questions, number
        self._inner = warnings.catch_warnings(record=True)
        self._caught: Any = None

    def __enter__(self) -> None:
        self._caught = self._inner.__enter__()
        warnings.simplefilter("always")

    def __exit__(self, kind: Any, value: Any, trace: Any) -> None:
        self._inner.__exit__(kind, value, trace)
        if kind is None:
            caught = list(self._caught)[:MOST_WARNINGS]
            said = [[self._questions.names_of(one.category), str(one.message)[:4_000]] for one in caught]
            self._questions._answer(self._number, json.dumps(["warned", said]))


class Raises:
    """A block of a sealed test. Nothing in there says whether an exception is expected of it."""

    def __init__(self, questions: Questions, number: int, pytest: Any) -> None:
        self._questions, self._number = questions, number
        self._line = sys._getframe(2).f_lineno  # of the block
        self._inner = pytest.raises(BaseException)
        self._outcomes = (pytest.fail.Exception, pytest.skip.Exception, pytest.xfail.Exception)
        self._caught: Any = None

    def __enter__(self) -> Any:
        self._caught = self._inner.__enter__()
        return self

    @property
    def exception(self) -> Any:
        return self._caught.value

    def __getattr__(self, name: str) -> Any:
        return getattr(self._caught, name)

    def __exit__(self, kind: Any, value: Any, trace: Any) -> Any:
        if kind is None or issubclass(kind, self._outcomes):
            return False
        try:
            texts = [str(value)[:4_000], noted(value)[:4_000]]
        except Exception:
            texts = ["", ""]
        names, line = self._questions.names_of(kind), 0 if trace is None else trace.tb_lineno - self._line
        self._questions._answer(self._number, json.dumps(["raised", [names, *texts, line]]))
        return self._inner.__exit__(kind, value, trace)


def names_of(kind: type) -> list[str]:
    """The names of an exception's classes, the nearest first, and what modules call them besides: an old name, say."""
    names = []
    for entry in kind.__mro__:
        names.append(entry.__module__ + "." + entry.__qualname__)
        if entry.__module__ != "builtins":
            modules = [module for module in list(sys.modules.values()) if isinstance(module, types.ModuleType)]
            others = {name for module in modules for name, value in list(vars(module).items()) if value is entry}
            names += [entry.__module__ + "." + name for name in sorted(others - {entry.__name__})]
    return names


def noted(value: BaseException) -> str:
    """The text of an exception with its notes, in which pytest looks for a pattern, too."""
    return "\n".join([str(value), *getattr(value, "__notes__", ())])


def key_of(item: Any) -> str:
    """A test whatever its parameters are called: its id without them, and the position of each."""
    callspec = getattr(item, "callspec", None)
    if callspec is None:
        return str(item.nodeid)
    name = item.nodeid[: -len(callspec.id) - 2] if item.nodeid.endswith("[" + callspec.id + "]") else item.nodeid
    places = ",".join(f"{argument}={place}" for argument, place in sorted(callspec.indices.items()))
    return f"{name}|{places}"

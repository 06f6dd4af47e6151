"""Logs of pytest: the short summary that `-rA` asks for, and the lines of `-v`, with or without xdist.

The summary's lines start with a word and go on with the test's id, then perhaps " - " and a message. Ids may hold
spaces, so how much of the line is the id is a choice, and published task sets have made it in several ways.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_WORDS = ("FAILED", "PASSED", "SKIPPED", "ERROR", "XFAIL")
_COUNT = re.compile(r"\[\d+\]")
_COLOUR = re.compile(r"\[(\d+)m")
_CONTROL = dict.fromkeys(range(1, 32))
_VERBOSE = re.compile(r"(?P<id>(?>\S+?::).*?) (?P<word>PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS)\b")
_WORKER = re.compile(r"\[gw\d+\] \[ *\d+%\] (?P<word>PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS) (?P<id>\S+::.*)")


def summary(log: str) -> dict[str, str]:
    """The id is the second word of the line, so what follows a space in an id is cut off.

    Lines that merely begin like a summary's name tests, too: the progress of pytest's own suite, for one.
    """
    return {name: word for word, name in _summary_lines(log.split("\n"))}


def summary_with_short_options(log: str) -> dict[str, str]:
    """As `summary`; of a path in brackets only the last part stays, so that ids do not depend on where a tree lies."""
    return {_short_option(name): word for word, name in _summary_lines(log.split("\n"))}


def summary_with_button_numbers(log: str) -> dict[str, str]:
    """As `summary`; mouse buttons are numbers, as they were in the versions from which ids were taken."""
    lines = (line.replace("MouseButton.LEFT", "1").replace("MouseButton.RIGHT", "3") for line in log.split("\n"))
    return {name: word for word, name in _summary_lines(lines)}


def whole_line(log: str) -> dict[str, str]:
    """The id is the rest of the line without its message. Lines that end in a word, as of old versions, count too."""
    found = {}
    for raw in log.split("\n"):
        line = _COLOUR.sub("", raw).translate(_CONTROL)
        if line.startswith(_WORDS):
            if line.startswith("FAILED"):
                line = line.split(" - ", 1)[0]
            word, *rest = line.split() or [""]
            if rest and not _is_count(word, rest[0]):
                found[" ".join(rest)] = word
        elif line.endswith(_WORDS):
            *rest, word = line.split()
            if rest:
                found[" ".join(rest)] = word
    return found


def passed_or_failed(log: str) -> dict[str, str]:
    """Summary lines of passed and failed tests, and `-v` lines of passed ones; nothing else counts."""
    found = {}
    for line in log.split("\n"):
        words = line.split()
        if len(words) < 2:
            continue
        if line.startswith("FAILED"):
            found[words[1]] = "FAILED"
        elif " PASSED " in line:
            if words[1] == "PASSED":
                found[words[0]] = "PASSED"
        elif line.startswith("PASSED"):
            found[words[1]] = "PASSED"
    return found


def verbose(log: str) -> dict[str, str]:
    """The lines of `-v`: "id WORD", or with xdist "[gw0] [ 10%] WORD id". Whole ids, spaces included."""
    found = {}
    for raw in log.split("\n"):
        line = _COLOUR.sub("", raw).translate(_CONTROL)
        if match := _WORKER.match(line) or _VERBOSE.match(line):
            word = match["word"]
            found[match["id"].rstrip()] = "PASSED" if word == "XPASS" else word
    return found


def _summary_lines(lines: Iterable[str]) -> list[tuple[str, str]]:
    """(word, id) of every line that begins with a word."""
    found = []
    for line in lines:
        if not line.startswith(_WORDS):
            continue
        words = (line.replace(" - ", " ") if line.startswith("FAILED") else line).split()
        if len(words) > 1 and not _is_count(words[0], words[1]):
            found.append((words[0], words[1]))
    return found


def _is_count(word: str, name: str) -> bool:
    """Whether a line sums up skipped tests ("SKIPPED [2] path: reason") instead of naming one."""
    return word == "SKIPPED" and _COUNT.fullmatch(name) is not None


def _short_option(name: str) -> str:
    test, bracket, rest = name.partition("[")
    option, closing, _ = rest.rpartition("]")
    if not (bracket and closing):
        return name
    if option.startswith("/") and not option.startswith("//") and "*" not in option:
        option = "/" + option.rpartition("/")[2]
    return f"{test}[{option}]"

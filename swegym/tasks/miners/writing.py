"""Writing recipes: the fields of one as the TOML that a person would write."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

_LISTS = ("source_paths", "gold_paths", "test_paths", "pythonpath", "requirements", "plugins")
_WIDTH = 117


def recipe_toml(fields: Mapping[str, Any]) -> str:
    """The recipe of these fields; what has its default is left out."""
    lines = [f"source = {json.dumps(fields['source'])}", f"package = {json.dumps(fields['package'])}"]
    for name in ("clone", "base", "fix"):
        if fields.get(name):
            lines.append(f"{name} = {_text(fields[name])}")
    for name in ("buggy", "fixed"):
        if release := fields.get(name):
            lines.append(f'{name} = {{ version = "{release.version}", sha256 = "{release.sha256}" }}')
    for name in _LISTS:
        if fields.get(name) and (name, tuple(fields[name])) != ("pythonpath", (".",)):
            lines.append(f"{name} = {array(fields[name])}")
    if fields.get("timeout", 120.0) != 120.0:
        lines.append(f"timeout = {fields['timeout']:g}")
    lines.append(f"issue = {_paragraphs(fields['issue'])}")
    if fields.get("ini"):
        lines += ["", "[ini]", *(f"{name} = {_text(value)}" for name, value in fields["ini"].items())]
    for name in ("gold_hunks", "fail_to_pass", "pass_to_pass"):
        if fields.get(name) or name != "gold_hunks":
            lines += ["", f"[{name}]", *(f"{_text(path)} = {array(values)}" for path, values in fields[name].items())]
    return "\n".join(lines) + "\n"


def array(values: Iterable[str]) -> str:
    """A TOML array, filled up to the line length."""
    quoted = [_text(value) for value in values]
    if len(line := f"[{', '.join(quoted)}]") <= 100:
        return line
    lines, line = ["["], " "
    for value in quoted:
        if len(line) + len(value) > _WIDTH and line.strip():
            lines.append(line)
            line = " "
        line += f" {value},"
    return "\n".join([*lines, line, "]"])


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _paragraphs(text: str) -> str:
    """A literal string where the text allows it, so that it reads as it is."""
    plain = "'''" not in text and all(character in "\n\t" or ord(character) >= 32 for character in text)
    if plain and not text.endswith("'") and "\x7f" not in text:
        return f"'''\n{text.strip(chr(10))}\n'''"
    return _text(text)

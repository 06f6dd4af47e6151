"""Tests made from an issue: each interactive example (`>>> call`, then what it should print) becomes a pytest test.

An issue may also show what happens now, and such an example passes before the repair. So only those that fail are
worth anything: they are what the repair has to make pass.
"""

from __future__ import annotations

import doctest

_FILE = '''\
"""The examples of the issue as tests."""

import contextlib
import doctest
import io

import pytest

EXAMPLES = {examples}


@pytest.mark.parametrize("number", [number for number, (_, want, _) in enumerate(EXAMPLES) if want])
def test_example(number):
    names = {{}}
    for source, _, _ in EXAMPLES[:number]:
        with contextlib.suppress(Exception), contextlib.redirect_stdout(io.StringIO()):
            exec(compile(source, "<issue>", "single"), names)
    example = doctest.Example(*EXAMPLES[number])
    report = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    runner.run(doctest.DocTest([example], names, "issue", None, 0, None), out=report.append)
    assert not runner.failures, "".join(report)
'''


def reproduction(issue: str) -> str:
    """A pytest file with a test per example that shows a result; "" when the issue has none."""
    try:
        examples = doctest.DocTestParser().get_examples(issue)
    except ValueError:  # prompts that are indented in different ways
        return ""
    if not any(example.want for example in examples):
        return ""
    shown = "".join(f"    ({example.source!r}, {example.want!r}, {example.exc_msg!r}),\n" for example in examples)
    return _FILE.format(examples=f"[\n{shown}]")

"""Crowded tests: those that assert more often than twins are made, where nothing can be asked otherwise.

Of such assertions the ones that the code without the fix fails come first, for a patch would have to forge those.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Mapping

from swegym.grading import expectations, reference, seals, twins
from swegym.grading.bindings import Function, Scope
from swegym.grading.expectations import Site
from swegym.types import SandboxFactory, Task

MOST = 120  # assertions of one test
_MARK = "__swegym_at_"


def failed_by_the_base(
    task: Task, trees: Mapping[str, ast.Module], open_sandbox: SandboxFactory
) -> dict[str, frozenset[int]]:
    """path::name of a crowded test that must turn -> its sites that the code without the fix fails."""
    files = {}
    sites: dict[str, list[int]] = {}
    for path, tree in trees.items():
        names = [
            test.split("::", 1)[1].split("[")[0] for test in task.hidden.fail_to_pass if test.startswith(f"{path}::")
        ]
        tree = copy.deepcopy(tree)
        for name, function, body in twins.pairs(tree, frozenset(names)):
            found = _unasked(tree, function)
            if len(found) > twins.DRAWN:
                sites[f"{path}::{name}"] = found
                body += [_with_one(tree, function, site) for site in found]
                files[path] = ast.unparse(tree).encode("utf-8", "surrogateescape") + b"\n"
    if not files:
        return {}
    report = reference.run(task, open_sandbox, {}, {**task.hidden.files, **files})
    failed = {key.split("|")[0] for key, status in reference.statuses_of(report).items() if status == "failed"}
    return {
        test: frozenset(site for site in found if f"{test}{_MARK}{site}" in failed) for test, found in sites.items()
    }


def _unasked(tree: ast.Module, function: Function) -> list[int]:
    scope = Scope(tree, function)
    found = [site for site in expectations.sites(tree, function) if not seals.is_sealable(site, scope)]
    return [site.number for site in found if twins.steps_of(tree, function, site)][:MOST]


def _with_one(tree: ast.Module, function: Function, number: int) -> Function:
    """The test with one of its assertions; the others may fail."""
    other = copy.deepcopy(function)
    other.name = f"{function.name}{_MARK}{number}"
    inner = seals.inner_sites(tree, other)

    def statement(site: Site) -> ast.stmt | None:
        if site.number == number or site.number in inner or site.remake is None:
            return None
        node = site.remake(site.expected or ast.Constant(True))
        return ast.Try([node], [ast.ExceptHandler(ast.Name("Exception", ast.Load()), None, [ast.Pass()])], [], [])

    expectations.rewrite(tree, other, statement, lambda site: None)
    return other

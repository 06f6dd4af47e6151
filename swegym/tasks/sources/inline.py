"""Repositories that stand in their recipe, file by file: small ones of our own, such as honeypots and fixtures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from swegym.tasks.recipe import InlineRecipe
from swegym.tasks.sources import Material


def gather(recipe: InlineRecipe, folder: Path) -> Material:
    """Both trees in `folder`. Tests that the fixed tree does not name again are what they were."""
    material = Material(buggy=folder / "buggy", fixed=folder / "fixed")
    _write(material.buggy, recipe.files)
    _write(material.fixed, {**recipe.files, **recipe.fixed})
    return material


def _write(tree: Path, files: Mapping[str, str]) -> None:
    tree.mkdir(parents=True)
    for path, text in files.items():
        file = tree / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8", newline="")
        file.chmod(0o755 if text.startswith("#!") else 0o644)

"""Plots are whole SVG files that say what they show."""

import xml.etree.ElementTree as ElementTree

import pytest

from swegym.report import plots, summarise
from swegym.report.decomposition import decompose
from swegym.report.guidance_effect import guidance_effect
from swegym.report.phases import phases
from swegym.report.reranking import rerank
from tests.data.test_pairs import attempt

GROUP = [
    *[attempt(n, n == 1, seconds={"tools": 2.0, "grade": 1.0}) for n in range(4)],
    attempt(2, True, guided=True),
    attempt(3, None, patch=""),
]


def draw(name, file):
    summary = summarise("first", GROUP)
    if name == "pass_at_k":
        return plots.plot_pass_at_k([summary, summarise("second", GROUP)], file)
    if name == "outcomes":
        return plots.plot_outcomes([summary], file)
    if name == "guidance":
        return plots.plot_guidance(guidance_effect(GROUP), file)
    if name == "phases":
        return plots.plot_phases({"first": phases(GROUP)}, file)
    if name == "reranking":
        return plots.plot_reranking(rerank(GROUP, {one.id: 1.0 for one in GROUP}), file)
    samples = {"a": [True, False], "b": [False, False]}
    return plots.plot_decomposition(decompose(samples, samples, placebo=samples), file)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("pass_at_k", "second"),
        ("outcomes", "empty patch"),
        ("guidance", "with a hint"),
        ("phases", "grade"),
        ("reranking", "with hindsight"),
        ("decomposition", "placebo"),
    ],
)
def test_a_plot_is_an_svg_that_is_the_same_each_time(name, said, tmp_path):
    file = draw(name, tmp_path / f"{name}.svg")
    text = file.read_text()
    assert ElementTree.fromstring(text).tag.endswith("svg") and said in text
    again = draw(name, tmp_path / "again.svg").read_text()
    assert again == text and sorted(path.name for path in tmp_path.iterdir()) == sorted(["again.svg", file.name])

"""What a policy makes of files, answers and patches to hang the harness, or to reach the terminal of who watches."""

import json
import time
from pathlib import Path

import pytest
import tiny_set

from swegym.adapters.reward import patch_in
from swegym.cli.progress import Board
from swegym.cli.screen import print_json
from swegym.guidance import make_teacher
from swegym.messages import printable, transcript
from swegym.sandbox.fake import FakeSandbox
from swegym.text import parse_action
from swegym.tools import ToolContext, answer, load
from swegym.types import PublicTask, TestSetup, Trajectory, Verdict


@pytest.mark.parametrize(
    "text",
    ["\x1b]52;c;cm0gLXJm\x07", "\x1b[2J", "\x9b31m", "\x00", "a\rb", "\x7f", "\u202egnp.exe", "\u2028", "\ud800"],
    ids=["clipboard", "clear", "csi", "nul", "cr", "del", "backwards", "line", "half a pair"],
)
def test_nothing_that_a_policy_printed_controls_a_terminal(text: str) -> None:
    shown = transcript([{"role": "tool", "content": text}])
    assert all(character.isprintable() or character in "\n\t\ufffd" for character in shown)


def test_data_for_a_program_controls_no_terminal_and_is_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    data = {"reason": "\x1b[2J\x9b31m \u202egnp \ud800 caf\u00e9\n\U0001f642"}
    print_json(data)
    shown = capsys.readouterr().out
    assert json.loads(shown) == data and "caf\u00e9" in shown
    assert all(character.isprintable() or character == "\n" for character in shown)


def test_why_a_patch_does_not_apply_controls_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """git says it with the names in the patch, and spares a terminal only some of their characters."""
    with Board("grading", 1) as board:
        board.end("task", "failed", "error: \x9b31m\u202e\x1b[2J.py: does not exist")
    shown = capsys.readouterr().err
    assert "does not exist" in shown and all(letter.isprintable() or letter in "\n\ufffd" for letter in shown)


def test_text_for_a_terminal_keeps_what_is_text() -> None:
    assert printable("caf\u00e9\t\u4e2d\r\nnext") == "caf\u00e9\t\u4e2d\nnext"


def test_nothing_in_json_controls_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    data = {"reason": "\x9b2J \x1b[2J \x7f \ud800 \u202e", "text": "caf\u00e9 \U0001f389"}
    print_json(data)
    shown = capsys.readouterr().out
    assert json.loads(shown) == data and "caf\u00e9 \U0001f389" in shown
    assert all(character.isprintable() or character == "\n" for character in shown)


FILES = {
    "one letter a million times": (b"a" * 1_000_000, "a" * 1000, "times and more"),
    "lines that are hard to compare": (
        b"\n".join(b"ab" * 4000 + b"%d" % n for n in range(900)),
        "ba" * 4000,
        "No line",
    ),
    "many lines that are alike": (b"\n".join(b"ab" * 80 + b"%d" % n for n in range(30_000)), "ba" * 80 + "x", "line"),
    "a file of endless short lines": (b"a\n" * (9 << 20), "b", "bytes; at most"),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("data", "old", "said"), FILES.values(), ids=FILES.keys())
def test_an_edit_answers_soon_whatever_is_in_the_file(data: bytes, old: str, said: str) -> None:

    task = PublicTask("t", "s", "r 1", "issue", "/testbed", ("tests",), "d")
    context = ToolContext(FakeSandbox(files={"/testbed/x": data}), task, TestSetup(("tests",)))
    text, done = answer(load(["edit"]), "edit", json.dumps({"path": "x", "old": old, "new": "c"}), context)
    assert not done and said in text


def test_a_message_of_blocks_that_never_end_is_read_at_once() -> None:
    started = time.process_time()
    assert "tool_calls" not in parse_action("```bash\n" * 50_000)
    assert patch_in("```diff\n" * 50_000) == ""
    assert patch_in("```diff\n--- a/x\n```\n" + "```diff\n--- a/y\n" * 50_000) == "--- a/x\n"
    assert time.process_time() - started < 5


@pytest.mark.parametrize("value", ["-" * 20_000 + "1", "a" + ".b" * 3000, "(" * 150 + ")" * 150])
def test_a_patch_that_no_parser_can_read_does_not_stop_a_teacher(tmp_path: Path, value: str) -> None:
    task = tiny_set.build(tiny_set.write(tmp_path)).load("tiny-1")
    patch = f"diff --git a/z.py b/z.py\nnew file mode 100644\n--- /dev/null\n+++ b/z.py\n@@ -0,0 +1 @@\n+x = {value}\n"
    failed = Verdict(False, "agent", "failed")
    said = ({"role": "assistant", "content": ""},)
    trajectory = Trajectory("t__0", task.id, "tiny", "", 0, "p", "", 0, said, (), patch, failed, "turns", {})  # type: ignore[arg-type]
    assert make_teacher("oracle")(task, trajectory, failed) is not None

"""What an agent does to the work tree comes out as a patch that another git applies to the same effect."""

import subprocess
import time

import pytest
from calc_repository import BASE, git

from swegym.grading import apply_patch, extract_patch
from swegym.sandbox import open_sandbox
from swegym.types import ExecResult


def checked_out(task, patch, folder):
    """The tree after a plain `git apply` of the patch: path -> (kind or mode, content)."""
    git(folder, "clone", "-q", str(task.pristine), "work")
    work = folder / "work"
    git(work, "config", "core.autocrlf", "false")
    if patch:
        git(work, "apply", "--whitespace=nowarn", "-", stdin=patch.encode())
    return tree_of(work)


def tree_of(folder):
    tree = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if name.split("/")[0] == ".git":
            continue
        if path.is_symlink():
            tree[name] = ("link", str(path.readlink()).encode())
        elif path.is_file():
            tree[name] = ("x" if path.stat().st_mode & 0o100 else "-", path.read_bytes())
    return tree


EDITS = {
    "edited": "sed -i 's/a - b/a + b/' calc/core.py",
    "new": "mkdir -p calc/deep/er && printf 'x = 1\\n' > calc/deep/er/new.py",
    "deleted": "rm README.md",
    "renamed": "mv calc/core.py calc/kernel.py && sed -i s/core/kernel/ calc/__init__.py",
    "binary edited": "printf '\\000\\001\\377' >> calc/data.bin",
    "binary new": "head -c 5000 /dev/urandom > blob.bin",
    "late zero byte": "(yes a | head -c 20000; printf '\\000') > late.txt",
    "latin-1 edited": "printf 'd\\351j\\340 vu\\n' >> calc/latin.txt",
    "latin-1 to utf-8": "printf 'caf\\303\\251\\n' > calc/latin.txt",
    "made executable": "chmod +x calc/core.py",
    "no longer executable": "chmod -x tools/run.sh",
    "link": "ln -s core.py calc/alias.py",
    "link to folder": "ln -s ../calc tools/calc",
    "file becomes link": "rm README.md && ln -s calc/core.py README.md",
    "file becomes folder": "rm README.md && mkdir README.md && echo a > README.md/a.txt",
    "folder becomes file": "rm -r tools && echo a > tools",
    "emptied": ": > README.md",
    "empty new": ": > empty.txt",
    "unicode name": "echo a > 'na\u00efve \u6f22\u5b57 \U0001f40d.txt'",
    "odd name": "echo a > $'tab\\tnew\\nline \"quote\" back\\\\slash *?[x].txt'",
    "odd binary name": "printf '\\000' > $'tab\\t\"quote\" back\\\\slash *?[x] \\303\\251.bin'",
    "name not utf-8": "echo a > $'latin-\\351.txt'",
    "empty in a folder that ends in a blank": "mkdir 'dir ' && touch 'dir /x y'",
    "leading dash": "echo a > ./-rf",
    "crlf edited": "printf 'four\\r\\n' >> crlf.txt",
    "crlf to lf": "sed -i 's/\\r//' crlf.txt",
    "no newline at end": "printf '# calc' > README.md",
    "form feeds and separators": "printf 'a\\fb\\v\\302\\205\\342\\200\\250c\\rd\\n' > feeds.txt",
    "hard link": "ln README.md second.md",
    "read-only": "echo a > closed.txt && chmod 444 closed.txt",
    "moved tests": "mkdir spec && mv tests/test_core.py spec/",
    "attributes": "printf '* text=auto eol=crlf filter=evil diff=evil ident\\n*.py binary\\n' > .gitattributes"
    " && echo b >> calc/core.py",
    "ignore file": "echo '*.py' > .gitignore && echo x > fresh.py",
}


@pytest.mark.parametrize("command", EDITS.values(), ids=EDITS.keys())
def test_edits_survive(task, tmp_path, command):
    with open_sandbox(task.image) as sandbox:
        done = sandbox.exec(command)
        assert done.exit_code == 0, done.text
        extraction = extract_patch(sandbox, task)
        sandbox.exec("tar --exclude=./.git -cf /tmp/all.tar .")
        archive = sandbox.read("/tmp/all.tar")
    assert extraction.notes == ()
    extraction.patch.encode("utf-8")
    agents = tmp_path / "agents"
    agents.mkdir()
    subprocess.run(["tar", "-C", str(agents), "-xpf", "-"], input=archive, check=True)
    assert checked_out(task, extraction.patch, tmp_path) == tree_of(agents)
    changes = apply_patch(task, extraction.patch).changes
    for path, change in changes.items():
        assert change.data == tree_of(agents).get(path, ("", None))[1], path


def test_untouched_tree_gives_an_empty_patch(task, sandbox):
    extraction = extract_patch(sandbox, task)
    assert extraction.patch == "" and extraction.notes == ()


def test_the_agents_git_has_no_say(task, sandbox):
    """Neither commits nor index flags, configuration, hooks or a missing .git change the patch."""
    sandbox.exec("sed -i 's/a - b/a + b/' calc/core.py")
    plain = extract_patch(sandbox, task).patch
    assert "+    return a + b" in plain
    for command in (
        "git update-index --assume-unchanged calc/core.py",
        "git config core.fsmonitor '/bin/sh -c \"touch /tmp/pwned\"'",
        "git config diff.external /bin/false; git config core.autocrlf true",
        "git -c user.name=a -c user.email=a@b commit --allow-empty -qam fix",
        "git checkout -q -b elsewhere",
        "rm -rf .git",
        "echo 'gitdir: /tmp/x' > .git",
    ):
        assert sandbox.exec(command).exit_code == 0, command
        assert extract_patch(sandbox, task).patch == plain, command


def test_leftovers_and_ignored_files_are_left_out_with_a_note(task, sandbox):
    sandbox.exec(
        "mkdir -p build calc/__pycache__ .pytest_cache/v calc.egg-info && touch build/x debug.log"
        " calc/__pycache__/c.pyc stray.pyc .pytest_cache/v/x .coverage calc.egg-info/PKG-INFO && echo 'y = 1' > kept.py"
    )
    extraction = extract_patch(sandbox, task)
    assert [line for line in extraction.patch.split("\n") if line.startswith("diff")] == [
        "diff --git a/kept.py b/kept.py"
    ]
    assert any("build/x" in note and ".gitignore" in note for note in extraction.notes)
    assert any("tools" in note and ".coverage" in note for note in extraction.notes)


def test_an_agents_own_ignore_rules_do_not_hide_its_files(task, sandbox):
    sandbox.exec("echo '*.py' >> .gitignore; echo '*' >> .git/info/exclude; echo 'z = 1' > fresh.py")
    assert "b/fresh.py" in extract_patch(sandbox, task).patch


@pytest.mark.parametrize(
    ("command", "word"),
    [
        ("mkfifo calc/pipe", "special file"),
        ("python3 -c \"import socket; socket.socket(socket.AF_UNIX).bind('sock')\"", "special file"),
        ("ln -s /etc/passwd secrets", "leaves the tree"),
        ("ln -s ../../../etc calc/up", "leaves the tree"),
        ("ln -s . a && ln -s a/../.. b", "leaves the tree"),
        ("ln -s .git/config c", "leaves the tree"),
        ("ln -s loop loop", "leaves the tree"),
        ("ln -s $'\\xff' latin", "no text"),
        ("mkdir nested && git -C nested init -q", "nested .git"),
        ("head -c 17000000 /dev/zero > huge.bin", "over"),
        ("truncate -s 1G sparse.bin", "over"),
        ("chmod 000 README.md", "cannot be read"),
        ("chmod 000 tools", "cannot be read"),
    ],
)
def test_what_no_patch_can_carry_is_set_aside(task, sandbox, command, word):
    sandbox.exec("sed -i 's/a - b/a + b/' calc/core.py")
    done = sandbox.exec(command)
    assert done.exit_code == 0, done.text
    extraction = extract_patch(sandbox, task)
    headers = [line for line in extraction.patch.split("\n") if line.startswith("diff")]
    assert "diff --git a/calc/core.py b/calc/core.py" in headers
    assert len(headers) == 1 + ("ln -s . a" in command)
    assert any(word in note for note in extraction.notes), extraction.notes


def test_a_patch_that_no_grader_takes_is_recorded_nowhere(task, sandbox, monkeypatch):
    monkeypatch.setattr("swegym.grading.extract.LARGEST_PATCH", 20_000)
    sandbox.exec("yes a | head -c 30000 > big.txt")
    made = extract_patch(sandbox, task)
    assert made.patch == "" and "at most 20000 are taken" in made.notes[0]


def test_nothing_is_written_to_the_pristine_repository(task, sandbox):
    before = {path: path.stat().st_mtime_ns for path in task.pristine.rglob("*")}
    sandbox.exec("echo a > new.txt; rm README.md")
    assert extract_patch(sandbox, task).patch
    assert before == {path: path.stat().st_mtime_ns for path in task.pristine.rglob("*")}


def test_extraction_is_fast_on_a_small_tree(task, sandbox):
    """A generous bound: the figure itself belongs to benchmarks/."""
    sandbox.exec("sed -i 's/a - b/a + b/' calc/core.py")
    started = time.monotonic()
    extract_patch(sandbox, task)
    assert time.monotonic() - started < 2.0


def test_a_lying_machine_gives_a_note_and_no_patch(task):
    """The archive is untrusted: rubbish, climbing names and absurd listings are no crash."""

    class Liar:
        def exec(self, command, **options):
            return ExecResult(0, b"/tmp/x\n10\n0\n", b"", 0.0)

        def read(self, path):
            return b"f 644 nonsense" if path.endswith("listing") else b"rubbish" * 200

    extraction = extract_patch(Liar(), task)  # type: ignore[arg-type]
    assert extraction.patch == "" and extraction.notes


def test_base_files_come_back_as_they_are(task, sandbox):
    for path, data in BASE.items():
        assert sandbox.read(f"/testbed/{path}") == data

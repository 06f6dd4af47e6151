"""Every way in which a later state could be reached breaks the seal, in real machines."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from swegym.sandbox import open_sandbox
from swegym.tasks import load_task_set
from swegym.tasks.build import build
from swegym.tasks.sealing import sealed_problems
from swegym.types import Task
from tests.tasks.calc_releases import recipe, write_set

pytestmark = pytest.mark.network  # the environment layer

SITE = f"/opt/venv/lib/python3.{sys.version_info.minor}/site-packages"
FIX = "def add(a, b):\\n    return a + b\\n"
NEWER = "Name: calc\\nVersion: 1.1\\n"
WHEEL = f"""python - <<'END'
import zipfile
with zipfile.ZipFile("/opt/bundle.whl", "w") as bundle:
    bundle.writestr("pip/_vendor/calc/__init__.py", "{FIX}")
END"""


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    found = load_task_set(write_set(tmp_path_factory.mktemp("sealed"), sealed=recipe()))
    (result,) = build(found)
    assert result.built, result.error
    return found.load("sealed")


def problems(task: Task, command: str) -> list[str]:
    """What breaks the seal of a machine in which this command was run."""
    with open_sandbox(task.image) as sandbox:
        done = sandbox.exec(command)
        assert done.exit_code == 0, done.text
        changed = sandbox.snapshot()
        return sealed_problems(task, lambda image: open_sandbox(changed))


COMMIT = "git -c user.name=a -c user.email=a@b commit --allow-empty -qm later"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("echo later | git hash-object -w --stdin", "objects outside its commit"),
        (COMMIT, "holds the commits"),
        (f"git checkout -q -b x && {COMMIT} && git checkout -q main && git branch -qD x", "holds logs"),
        ("git update-ref refs/remotes/origin/main main", "refs/remotes"),
        ("git config remote.origin.url /elsewhere", "settings lead elsewhere"),
        ("git pack-refs --all", "holds packed-refs"),
        ("mkdir -p .git/objects/info && echo /elsewhere > .git/objects/info/alternates", "alternates"),
        ("git tag later", "more references than its branch"),
        ("echo x > left.txt", "is not clean"),
        ("mkdir /tmp/copy && cp -r .git /tmp/copy/", "other repositories: /tmp/copy/.git"),
        ("mkdir -p /home/agent/.cache && touch /home/agent/.cache/calc-1.1.tar.gz", "archives of the package"),
        (f"cd {SITE} && mkdir calc-1.1.dist-info && printf '{NEWER}' > calc-1.1.dist-info/METADATA", "is installed as"),
        (f"mkdir -p /opt/other/_vendor/calc && printf '{FIX}' > /opt/other/_vendor/calc/__init__.py", "another copy"),
        (WHEEL, "archives that carry the fix"),
    ],
)
def test_each_way_to_a_later_state_is_found(task: Task, command: str, said: str) -> None:
    assert any(said in problem for problem in problems(task, command))


def test_what_is_no_later_state_does_not_break_the_seal(task: Task) -> None:
    older = "mkdir -p /opt/other/_vendor/calc && echo 'x = 1' > /opt/other/_vendor/calc/__init__.py"
    assert problems(task, f"{older} && touch /opt/calc-1.0.tar.gz") == []


def test_the_shipped_look_runs_on_its_own(task: Task) -> None:
    from swegym.tasks import _look

    assert "swegym" not in Path(_look.__file__).read_text("utf-8").partition("import json")[2]

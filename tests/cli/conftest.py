"""The real command, run in this process from an empty folder, and a task set that is built without a network."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import tiny_set

from swegym.cli import main


@dataclass(frozen=True)
class Outcome:
    """What a command did."""

    code: int
    out: str
    err: str


Command = Callable[..., Outcome]


@pytest.fixture
def swegym(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """swegym("run", "-h") runs that command line."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Outcome:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return Outcome(ended.value.code if isinstance(ended.value.code, int) else 0, out, err)

    return run


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Path of a built task set with the tasks tiny-1 and tiny-2."""
    folder = tmp_path_factory.mktemp("sets")
    tiny_set.build(tiny_set.write(folder))
    return str(folder / "tiny")

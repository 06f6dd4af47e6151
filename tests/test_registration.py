import json
import subprocess
import sys
import warnings

import gymnasium
import pytest
from fake_episode import TaskList, extract, grade, open_fake
from gymnasium.utils.env_checker import check_env

import swegym
from swegym.env import EpisodeLimits
from swegym.errors import InputError, SwegymError, UnknownName
from swegym.registration import env_files, make_env, register_envs

SHIPPED = ["swegym/Demo-v0", "swegym/Micro-v0", "swegym/MicroMini-v0", "swegym/Mutants-v0", "swegym/PyPI-v0"]
FAKE = {"tasks": TaskList("one", "two"), "sandbox": open_fake, "grader": grade, "extract": extract}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An envs folder of one's own, first in SWEGYM_PATH."""
    monkeypatch.setenv("SWEGYM_PATH", str(tmp_path))
    (tmp_path / "envs").mkdir()
    before = dict(gymnasium.registry)
    yield tmp_path / "envs"
    gymnasium.registry.clear()
    gymnasium.registry.update(before)


def python(code):
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    return done.stdout


def test_importing_registers_the_shipped_ids_and_loads_nothing_heavy():
    shown = json.loads(
        python(
            "import json, sys, gymnasium, swegym\n"
            "ids = sorted(i for i in gymnasium.registry if i.startswith('swegym/'))\n"
            "heavy = ['torch', 'litellm', 'docker', 'pydantic', 'git', 'unearth', 'requests', 'rich', 'typer']\n"
            "print(json.dumps([ids, [name for name in heavy if name in sys.modules]]))"
        )
    )
    assert shown == [SHIPPED, []]


def test_naming_the_module_in_the_id_imports_it():
    code = "import gymnasium; print(gymnasium.make('swegym:swegym/PyPI-v0', sandbox='fake'))"
    assert "SWEEnv<swegym/PyPI-v0>" in python(code)


@pytest.mark.parametrize("identity", SHIPPED)
def test_every_shipped_id_passes_check_env_on_the_fake_sandbox(identity, capsys):
    env = gymnasium.make(identity, **FAKE).unwrapped
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_env(env)
    assert [str(warning.message) for warning in caught] == []


def test_a_spec_is_plain_json_without_paths():
    spec = gymnasium.spec("swegym/PyPI-v0")
    assert json.loads(spec.to_json())["kwargs"] == {"env_id": "swegym/PyPI-v0"}
    assert spec.nondeterministic is True


def test_what_a_file_says_reaches_the_env(folder):
    (folder / "Mine-v3.toml").write_text(
        'id = "acme/Mine-v3"\ntasks = "pypi"\nsandbox = "fake"\ntools = ["bash", "submit"]\n'
        'grader = "fake_episode:grade"\nsystem_prompt = "Hi."\n'
        "[limits]\nturns = 7\n[sandbox_limits]\nprocesses = 50\n"
    )
    assert "acme/Mine-v3" in register_envs()
    env = gymnasium.make("acme/Mine-v3", **FAKE, limits={"seconds": 9}).unwrapped
    assert env.limits == EpisodeLimits(turns=7, seconds=9)
    assert list(env.tools) == ["bash", "submit"] and env.system_prompt == "Hi."


def test_a_keyword_of_make_wins_over_the_file(folder):
    (folder / "a.toml").write_text('id = "acme/A-v0"\ntasks = "pypi"\n[limits]\nturns = 7\nseconds = 5\n')
    env = make_env("acme/A-v0", **FAKE, limits=EpisodeLimits(turns=9), tools=("submit",))
    assert (env.limits.turns, env.limits.seconds, list(env.tools)) == (9, 1800.0, ["submit"])


def test_a_file_of_ones_own_wins_over_the_shipped_one(folder):
    (folder / "x.toml").write_text('id = "swegym/PyPI-v0"\ntasks = "pypi"\n[limits]\nturns = 3\n')
    assert env_files()["swegym/PyPI-v0"] == folder / "x.toml"
    register_envs()
    assert gymnasium.make("swegym/PyPI-v0", **FAKE).unwrapped.limits.turns == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('id = "acme/B-v0"\ntasks = ', "not valid TOML"),
        ('id = "acme/B-v0"\n', "tasks"),
        ('id = "acme/B-v0"\ntasks = "pypi"\nturns = 5\n', "turns = 5: .*Remove it"),
        ('id = "acme/B-v0"\ntasks = "pypi"\n[limits]\nturns = 0\n', "limits.turns = 0"),
        ('id = "acme/B-v0"\ntasks = "pypi"\ntools = []\n', "tools"),
        ('id = "acme/B-v0"\ntasks = "no-such-set"\n', "no-such-set"),
        ('id = "acme/B-v0"\ntasks = "pypi"\nsandbox = "dokcer"\n', "dokcer"),
        ('id = "acme/B-v0"\ntasks = "pypi"\ngrader = "seald"\n', "sealed"),
    ],
)
def test_a_broken_file_fails_when_its_id_is_made_and_never_before(folder, text, said):
    (folder / "broken.toml").write_text(text)
    assert "acme/B-v0" in register_envs()
    with pytest.raises(SwegymError, match=said):
        gymnasium.make("acme/B-v0")


@pytest.mark.parametrize("data", [b"\xff\xfe", b"", b'id = "three words here"\n', b"id = 3\n"])
def test_a_file_without_a_readable_id_is_registered_by_its_name(folder, data):
    (folder / "Odd name.toml").write_bytes(data)
    assert "swegym/Odd_name" in register_envs()
    with pytest.raises(InputError, match=r"Odd name\.toml"):
        gymnasium.make("swegym/Odd_name")


def test_registering_twice_warns_of_nothing_and_leaves_others_ids_alone(folder):
    gymnasium.register("acme/Theirs-v0", "somewhere:else")
    (folder / "t.toml").write_text('id = "acme/Theirs-v0"\ntasks = "pypi"\n')
    assert register_envs() == register_envs()
    assert gymnasium.spec("acme/Theirs-v0").entry_point == "somewhere:else"


def test_an_id_whose_file_is_gone_is_a_clear_error():
    with pytest.raises(UnknownName, match="PyPI"):
        make_env("swegym/PyPi-v0")


def test_the_package_offers_its_names_lazily():
    assert {name: getattr(swegym, name).__name__ for name in swegym.__all__} == {name: name for name in swegym.__all__}
    with pytest.raises(AttributeError, match="nonsense"):
        swegym.nonsense

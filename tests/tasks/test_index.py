"""Packages are looked for where pip looks for them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from swegym.errors import InputError
from swegym.tasks.sources.index import DEFAULT_INDEX, index_settings


@pytest.fixture(autouse=True)
def no_machine_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The venv's own file is the only one that no variable leads away from; it is not there in this prefix."""
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))


def machine(tmp_path: Path, **variables: str) -> dict[str, str]:
    """An environment whose configuration files all lie under `tmp_path`, except the machine's /etc/pip.conf."""
    return {"HOME": str(tmp_path), "XDG_CONFIG_DIRS": str(tmp_path / "xdg"), **variables}


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_without_any_setting_it_is_the_public_index(tmp_path: Path) -> None:
    settings = index_settings(machine(tmp_path, PIP_CONFIG_FILE="/dev/null"))
    assert settings.index_urls == (DEFAULT_INDEX,)
    assert settings.uv_arguments() == []
    assert settings.uv_environment() == {}


def test_variables_win_over_files_and_later_files_over_earlier_ones(tmp_path: Path) -> None:
    write(tmp_path / ".pip" / "pip.conf", "[global]\nindex-url = https://one.example/simple\ncert = /one.pem\n")
    write(tmp_path / ".config" / "pip" / "pip.conf", "[global]\nindex-url = https://two.example/simple\n")
    write(tmp_path / "venv" / "pip.conf", "[global]\nfind-links = /wheels\n")
    chosen = write(tmp_path / "chosen.conf", "[global]\ntrusted-host = two.example\n")
    environment = machine(tmp_path, PIP_CONFIG_FILE=str(chosen))
    settings = index_settings(environment)
    assert settings.index_url == "https://two.example/simple"
    assert settings.certificates == "/one.pem"
    assert settings.find_links == ("/wheels",)
    assert settings.trusted_hosts == ("two.example",)
    overridden = index_settings({**environment, "PIP_INDEX_URL": "https://three.example/simple"})
    assert overridden.index_url == "https://three.example/simple"


def test_the_section_of_the_install_command_wins(tmp_path: Path) -> None:
    write(
        tmp_path / ".config/pip/pip.conf",
        "[install]\nindex-url = https://b.example\n[global]\nindex_url = https://a.example\n",
    )
    assert index_settings(machine(tmp_path)).index_url == "https://b.example"


def test_lists_may_be_on_one_line_or_many(tmp_path: Path) -> None:
    write(tmp_path / ".config/pip/pip.conf", "[global]\nextra-index-url =\n  https://a.example\n  https://b.example\n")
    assert index_settings(machine(tmp_path)).extra_index_urls == ("https://a.example", "https://b.example")
    settings = index_settings(machine(tmp_path, PIP_EXTRA_INDEX_URL="https://c.example https://d.example"))
    assert settings.extra_index_urls == ("https://c.example", "https://d.example")


def test_no_index_leaves_only_the_links(tmp_path: Path) -> None:
    variables = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/wheels", "PIP_INDEX_URL": "https://a.example"}
    settings = index_settings(machine(tmp_path, PIP_CONFIG_FILE="/dev/null", **variables))
    assert settings.index_urls == ()
    assert settings.uv_arguments() == ["--no-index", "--find-links", "/wheels"]


def test_uv_gets_the_same_places(tmp_path: Path) -> None:
    environment = machine(
        tmp_path,
        PIP_CONFIG_FILE="/dev/null",
        PIP_INDEX_URL="https://a.example",
        PIP_EXTRA_INDEX_URL="https://b.example",
        PIP_TRUSTED_HOST="b.example",
        PIP_CERT="/ca.pem",
    )
    settings = index_settings(environment)
    arguments = " ".join(settings.uv_arguments())
    assert "--default-index https://a.example --index https://b.example" in arguments
    assert "--allow-insecure-host b.example" in arguments
    assert settings.uv_environment() == {"SSL_CERT_FILE": "/ca.pem"}


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    file = write(tmp_path / ".config/pip/pip.conf", "index-url = https://a.example\n")
    with pytest.raises(InputError, match=str(file)):
        index_settings(machine(tmp_path))

"""The package index, as this machine's pip is told to see it.

pip itself is not needed: its settings are read from its files and PIP_* variables, in pip's order, and handed in the
same form to the finder of source releases and to uv.
"""

from __future__ import annotations

import configparser
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from swegym.errors import InputError

DEFAULT_INDEX = "https://pypi.org/simple/"


@dataclass(frozen=True, slots=True)
class IndexSettings:
    """The settings of pip that decide where packages come from."""

    index_url: str | None = None  # None: the public index
    extra_index_urls: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    no_index: bool = False
    trusted_hosts: tuple[str, ...] = ()
    certificates: str | None = None  # a bundle of authorities

    @property
    def index_urls(self) -> tuple[str, ...]:
        return () if self.no_index else (self.index_url or DEFAULT_INDEX, *self.extra_index_urls)

    def uv_arguments(self) -> list[str]:
        """The same settings as arguments of `uv pip install`; what pip leaves open stays open to uv's own settings."""
        arguments: list[str] = []
        if self.no_index:
            arguments.append("--no-index")
        else:
            arguments += ["--default-index", self.index_url] if self.index_url else []
            for url in self.extra_index_urls:
                arguments += ["--index", url]
            # pip takes the best version wherever it lies; so does uv when told to.
            arguments += ["--index-strategy", "unsafe-best-match"] if self.extra_index_urls else []
        for place in self.find_links:
            arguments += ["--find-links", place]
        for host in self.trusted_hosts:
            arguments += ["--allow-insecure-host", host]
        return arguments

    def uv_environment(self) -> dict[str, str]:
        return {"SSL_CERT_FILE": self.certificates} if self.certificates else {}


def index_settings(environment: Mapping[str, str] | None = None) -> IndexSettings:
    """Read pip's configuration files, then its environment variables, which win."""
    environment = os.environ if environment is None else environment
    values: dict[str, str] = {}
    for file in _configuration_files(environment):
        values.update(_read(file))
    for name in ("index-url", "extra-index-url", "find-links", "no-index", "trusted-host", "cert"):
        # pip reads an empty variable as not set.
        if value := environment.get("PIP_" + name.upper().replace("-", "_")):
            values[name] = value
    return IndexSettings(
        index_url=values.get("index-url") or None,
        extra_index_urls=tuple(values.get("extra-index-url", "").split()),
        find_links=tuple(values.get("find-links", "").split()),
        no_index=values.get("no-index", "").lower() in ("1", "true", "yes", "on"),
        trusted_hosts=tuple(values.get("trusted-host", "").split()),
        certificates=values.get("cert") or None,
    )


def _configuration_files(environment: Mapping[str, str]) -> Iterator[Path]:
    """The files of pip, from the weakest to the strongest: machine, user, virtual environment, PIP_CONFIG_FILE."""
    chosen = environment.get("PIP_CONFIG_FILE")
    if chosen == os.devnull:  # pip's way to say: no files at all
        return
    home = Path(environment.get("HOME") or Path.home())
    machine = (environment.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":")
    yield from (Path(folder, "pip", "pip.conf") for folder in machine)
    yield Path("/etc/pip.conf")
    yield home / ".pip" / "pip.conf"
    yield Path(environment.get("XDG_CONFIG_HOME") or home / ".config") / "pip" / "pip.conf"
    yield Path(sys.prefix) / "pip.conf"
    if chosen:
        yield Path(chosen)


def _read(file: Path) -> dict[str, str]:
    parser = configparser.RawConfigParser()
    try:
        parser.read(file, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError) as error:
        raise InputError(
            f"{file}: not a valid pip configuration: {error}. Correct it, or set PIP_CONFIG_FILE."
        ) from None
    values: dict[str, str] = {}
    for section in ("global", "download", "install"):
        if parser.has_section(section):
            values.update({name.replace("_", "-"): value for name, value in parser.items(section)})
    return values

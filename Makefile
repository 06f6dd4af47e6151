# `make demo` and `make test` set up .venv by themselves; PYTHON chooses the interpreter (3.11 or newer).
PYTHON ?= python3
SWEGYM := .venv/bin/swegym

.PHONY: demo test check install clean

demo: .venv/.core
	$(SWEGYM) demo

test: .venv/.dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/pytest -n auto

check: .venv/.dev
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .
	.venv/bin/mypy

install: .venv/.dev

.venv/.uv:
	$(PYTHON) -c 'import sys; sys.exit(f"swegym needs Python 3.11 or newer, and {sys.executable} is {sys.version.split()[0]}; choose another with: make PYTHON=python3.11") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check uv
	touch $@

.venv/.core: .venv/.uv pyproject.toml constraints.txt
	.venv/bin/uv pip install --python .venv/bin/python --constraint constraints.txt --editable .
	touch $@

.venv/.dev: .venv/.uv pyproject.toml constraints.txt
	.venv/bin/uv pip install --python .venv/bin/python --constraint constraints.txt --editable '.[dev]'
	touch $@ .venv/.core

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache

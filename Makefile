# `make demo` and `make test` set up .venv by themselves; PYTHON chooses the interpreter (3.11 or newer).
PYTHON ?= python3
SWEGYM := .venv/bin/swegym
# One more than cores: many tests wait for machines, servers and time limits.
WORKERS := $(shell echo $$(( $$(nproc 2> /dev/null || echo 1) + 1 )))

.PHONY: demo test check install clean

demo: .venv/.core
	$(SWEGYM) demo

test: .venv/.dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

check: .venv/.dev
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .
	.venv/bin/mypy

install: .venv/.dev

# pip, not something faster, because it is there and knows this machine's package index.
PIP := .venv/bin/pip install --disable-pip-version-check --constraint constraints.txt

.venv/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"swegym needs Python 3.11 or newer, but {sys.executable} is {sys.version.split()[0]}. Choose another one: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	touch $@

.venv/.core: .venv/.made pyproject.toml constraints.txt
	$(PIP) --editable .
	touch $@

.venv/.dev: .venv/.made pyproject.toml constraints.txt
	$(PIP) --editable '.[dev]'
	touch $@ .venv/.core

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache

# Everything a developer or a new user needs; `make help` lists it.
# PYTHON chooses the interpreter of the environment: make PYTHON=python3.12 test

SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS   += --no-print-directory
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet
LOCKED := $(PIP) install --require-hashes --no-deps
SOURCE := $(PIP) install --no-deps --no-build-isolation --editable .

.PHONY: help
help:  ## say what can be made
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

.PHONY: demo
demo: $(VENV)/.run  ## a province on this machine, with real agents; Ctrl-C ends it
	@$(BIN)/python configs/demo/demo.py

.PHONY: lab
lab: packages $(VENV)/.dev  ## a province in a box with faults to put in (needs root); `quit` ends it
	@$(BIN)/python -m tests.lab.province

.PHONY: lab-148
lab-148: packages $(VENV)/.dev  ## 148 real agents and a carrier cut; how soon people are told (needs root, 10 GB, half an hour)
	$(BIN)/python -m pytest -p tests.no_skips -s -m lab148 tests/lab

.PHONY: test
test: packages $(VENV)/.dev static  ## everything CI runs; as root it installs the Debian packages it needs
	$(BIN)/python -m pytest -p tests.no_skips || $(AGAIN)

# Hundreds of tests run real programs against the clock, on machines that others share: what failed is
# run once more by itself. What fails twice is broken; what passed the second time stands above.
AGAIN = { echo "once more, by itself, what failed:"; \
          $(BIN)/python -m pytest -p tests.no_skips --last-failed --last-failed-no-failures none; }

.PHONY: check
check: $(VENV)/.dev static  ## format, lint, types, fast tests: under a minute
	$(BIN)/python -m pytest -q -m "not slow" -n 4 --dist worksteal

.PHONY: static
static: $(VENV)/.dev
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy

.PHONY: format
format: $(VENV)/.dev  ## write the code in the house's form, mend what can be mended by machine
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

.PHONY: packages
packages:  ## the real programs the tests speak to (Debian packages; needs root)
	@.ci/debian-packages

.PHONY: bench
bench: packages $(VENV)/.dev  ## measure beside the field's own tools, a quarter of an hour; writes docs/benchmarks.md
	$(BIN)/python -m tests.bench

.PHONY: wheel
wheel: $(VENV)/.dev  ## build the wheel and start both commands from it in an environment of its own
	@rm -rf build/wheel dist
	$(BIN)/hatchling build -t wheel
	$(PYTHON) -m venv build/wheel
	build/wheel/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes --no-deps -r requirements.lock
	build/wheel/bin/python -m pip --disable-pip-version-check --quiet install --no-deps --no-index dist/*.whl
	cd / && "$(CURDIR)/build/wheel/bin/thongsuot-agent" --version
	cd / && "$(CURDIR)/build/wheel/bin/thongsuot-collector" --version

# One lock a purpose, so that a commune's PC gets no test tools: what runs, what runs with the extra
# `signatures` (instead of the former, on a PC whose checks are of kind ocsp or crl), what builds,
# what tests.
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
          --custom-compile-command "make lock" $(if $(UPGRADE),--upgrade)
.PHONY: lock
lock: $(BIN)/python  ## pin what pyproject.toml asks for, with hashes; UPGRADE=1 takes the newest
	$(PIP) install "uv>=0.9"
	$(COMPILE) pyproject.toml -o requirements.lock
	$(COMPILE) pyproject.toml --extra signatures -c requirements.lock -o requirements-signatures.lock
	$(COMPILE) --group build -o requirements-build.lock
	$(COMPILE) pyproject.toml --extra signatures --group build --group dev -c requirements-signatures.lock -c requirements-build.lock -o requirements-dev.lock

.PHONY: clean
clean:  ## remove what was made here
	rm -rf $(VENV) .demo build dist .ruff_cache .mypy_cache .pytest_cache .hypothesis
	find agent collector configs tests -name __pycache__ -prune -exec rm -rf {} +

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || \
	  { echo "$(PYTHON) is not installed: Python 3.11 or newer is needed (Debian, Ubuntu: apt install python3 python3-venv)" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is $$($(PYTHON) -V): 3.11 or newer is needed; if you have one, say which: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "$(PYTHON) cannot make environments: install its venv module (Debian, Ubuntu: apt install python3-venv)" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)

# The stamps say what the environment holds; a changed lock brings it up to date.
$(VENV)/.run: $(BIN)/python requirements.lock requirements-build.lock pyproject.toml
	$(LOCKED) -r requirements.lock
	$(LOCKED) -r requirements-build.lock
	$(SOURCE)
	@touch $@

$(VENV)/.dev: $(BIN)/python requirements-dev.lock pyproject.toml
	$(LOCKED) -r requirements-dev.lock
	$(SOURCE)
	@touch $@

# `make run` starts the product, `make test` sets up and runs the whole suite.  Everything lands in .venv, .deps and
# var, all ignored by Git; `make clean` removes the first two.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
FLOWS ?= 1000000
CONNECTIONS ?= 100000
MINUTES ?= 30

# Recipes name the newest suitable interpreter, whatever `python3` happens to be.
PYTHON ?= $(shell tools/find-python.sh)

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore

.PHONY: help run test lint docs dist screenshots bench soak agreement endpoint-soak clean

help:  ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 21

run: $(VENV)/installed  ## start everything on loopback ports; state in ./var (ARGS="--only dns" passes options on)
	@exec $(BIN)/steering serve --init $(ARGS)

test: $(VENV)/tools .deps/ready lint  ## set up what the tests need, lint, run every test (ARGS="tests/dns -k cname")
	@exec $(BIN)/python -m pytest -q $(ARGS)

lint: $(VENV)/tools  ## ruff and mypy --strict
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet || { echo "run: $(BIN)/ruff format"; exit 1; }
	@$(BIN)/mypy --no-error-summary
	@echo "ruff and mypy: clean"

docs: $(VENV)/installed  ## write the documentation's tables and examples anew, from the code
	@$(BIN)/python -m tools.doc_tables
	@$(BIN)/python -m tools.doc_examples

dist: $(VENV)/tools  ## build dist/steering-*.whl, which holds everything
	@rm -rf dist
	@$(BIN)/python -m build --no-isolation --outdir dist . >/dev/null
	@ls dist/*.whl

screenshots: $(VENV)/tools .deps/ready  ## take the documentation's pictures anew, of the running product
	@exec $(BIN)/python -m tools.screenshots

bench: $(VENV)/tools .deps/bench-ready  ## measure against the peers, side by side (ARGS="policy --quick")
	@exec $(BIN)/python -m bench $(ARGS)

soak: $(VENV)/tools .deps/bench-ready  ## half an hour of mixed load: memory stays flat, descriptors come back (MINUTES=...)
	@exec $(BIN)/python -m bench.soak --minutes $(MINUTES)

agreement: $(VENV)/tools .deps/ready  ## a million random flows through every enforcement point (FLOWS=..., SEED=...)
	@STEERING_AGREEMENT_FLOWS=$(FLOWS) $(if $(SEED),STEERING_AGREEMENT_SEED=$(SEED)) \
	  exec $(BIN)/python -m pytest -q -s tests/agreement $(ARGS)

endpoint-soak: $(VENV)/tools .deps/ready  ## a hundred thousand connections of many programs, each identified (CONNECTIONS=..., SEED=...)
	@STEERING_SOAK_CONNECTIONS=$(CONNECTIONS) $(if $(SEED),STEERING_SOAK_SEED=$(SEED)) \
	  exec $(BIN)/python -m pytest -q -s tests/endpoint/identify/test_mixed.py $(ARGS)

clean:  ## remove the virtual environment and what the tests fetched; never the state in ./var
	rm -rf $(VENV) .deps .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build

# Stamps: a second run installs nothing.  pip >= 25.1 knows dependency groups.
$(VENV)/installed: pyproject.toml
	@if [ -z "$(PYTHON)" ]; then echo "Steering needs Python 3.11 or newer; none was found (set PYTHON=...)" >&2; exit 1; fi
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) \
	  || { echo "could not make $(VENV): on Debian and Ubuntu, install python3-venv" >&2; rm -rf $(VENV); exit 1; }
	@$(BIN)/python -m pip install --quiet 'pip>=25.1'
	@echo "installing Steering into $(VENV)"
	@$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/tools: $(VENV)/installed
	@echo "installing the test tools into $(VENV)"
	@$(BIN)/python -m pip install --quiet --group test --group engines --group lint
	@touch $@

.deps/ready: tools/test-setup.sh tools/install.sh
	@mkdir -p .deps
	@tools/test-setup.sh </dev/null
	@touch $@

.deps/bench-ready: tools/bench-setup.sh tools/install.sh
	@mkdir -p .deps
	@PYTHON=$(PYTHON) tools/bench-setup.sh </dev/null
	@touch $@

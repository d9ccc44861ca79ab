# Every target sets up what it needs: the Python environment in .venv and, as root on Debian, the programs that
# the demo and the tests run for real. Nothing else has to be prepared.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
# More processes than two cores, because many tests wait for engines. Tests that share fixtures stay in one process.
SPREAD := -n 4 --dist loadgroup --no-loadscope-reorder

# Tests start the server hundreds of times: each start would compile all of it again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo run test coverage torture matrix bench check fmt clean

help:                ## show this list
	@sed -n 's/^\([a-z]*\): .*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

demo: $(READY)       ## mirror a plugin, lose its upstream, install it under its new name
	@tests/install-programs demo
	@$(BIN)/python -m tests.demo

run: $(READY)        ## serve a registry on 127.0.0.1:5000 from ./data
	$(BIN)/plugin-mirror serve

test: $(READY)       ## run every test; as root also those with real engines and registries
	@tests/install-programs test
	@$(BIN)/python -m tests.harness.trixie || echo "the tests that need these programs are left out" >&2
	$(BIN)/pytest $(SPREAD) $(TESTS)

coverage: test       ## run every test, and list the lines that none of them reaches
coverage: SPREAD += --cov --cov-report=term

matrix: $(READY)     ## run every test in every combination: releases, workers, many more generated examples
	@tests/install-programs test
	@$(BIN)/python -m tests.harness.trixie
	HYPOTHESIS_PROFILE=nightly $(BIN)/pytest $(SPREAD) --matrix $(TESTS)

bench: $(READY)      ## measure ourselves beside docker-registry and nginx; BENCH=--quick for a first look
	@tests/install-programs bench
	$(BIN)/python -m tests.bench $(BENCH)

torture: $(READY)    ## kill the server 200 times in the middle of work, and check what it promised
	$(BIN)/python -m tests.torture --kills 200

check: $(READY)      ## lint, format, types, layers
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

fmt: $(READY)        ## mend what can be mended by a program
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:               ## remove what the targets above have made
	rm -rf $(VENV) .tools .coverage* .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

$(READY): pyproject.toml constraints.txt
	@tests/install-programs python
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

# Every target installs its requirements: the Python environment in .venv and, as root on Debian, the programs that the
# demo and the tests run. No other preparation is necessary.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# The program alone, and with the tools of developers.
PROGRAM := $(VENV)/.program
READY   := $(VENV)/.ready
# The base of the container image, and the version of its Python.
BASE_OPTIONS = $(if $(BASE),--base $(BASE)) $(if $(BASE_PYTHON),--python $(BASE_PYTHON))
# More processes than two cores, because many tests wait for engines. Tests that share fixtures stay in one process.
SPREAD := -n 4 --no-loadscope-reorder

# Tests start the server hundreds of times, and each start would compile all modules again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo run test coverage torture matrix bench check sbom man docs deb image offline-kit lock fmt clean

help:                ## show this list
	@sed -n 's/^\([a-z-]*\): .*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

demo: $(PROGRAM)     ## mirror a plugin, stop its upstream, install it under its new name
	@tests/install-programs demo
	@$(BIN)/python -m tests.demo

run: $(PROGRAM)      ## serve a registry on 127.0.0.1:5000 from ./data
	$(BIN)/plugin-mirror serve

test: $(READY)       ## run all tests; as root, also those with real engines and registries
	@tests/install-programs test
	@$(BIN)/python -m tests.harness.trixie || echo "skipping the tests that need these programs" >&2
	$(BIN)/pytest $(SPREAD) $(TESTS)

coverage: SPREAD += --cov --cov-report=term
coverage: test       ## run all tests, and list the lines that no test reaches

# Five times as many examples take five times as long.
matrix: $(READY)     ## run what make test leaves out: all combinations, long forms, many more generated examples
	@tests/install-programs test
	@$(BIN)/python -m tests.harness.trixie
	HYPOTHESIS_PROFILE=nightly $(BIN)/pytest $(SPREAD) --timeout 1500 --matrix $(TESTS)

bench: $(READY)      ## compare the performance with docker-registry and nginx; BENCH=--quick for a short run
	@tests/install-programs bench
	$(BIN)/python -m tests.bench $(BENCH)

torture: $(READY)    ## kill the server 200 times under load, and check the guarantees of docs/DURABILITY.md
	$(BIN)/python -m tests.torture --kills 200

check: $(READY)      ## check style, format, types, layers, and the locked packages for known vulnerabilities
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m deploy.release.known_vulnerabilities $(AUDIT)

sbom: $(READY)       ## build the wheel and its software bill of materials in dist/
	$(BIN)/python -m deploy.release.bill_of_materials

man: $(READY)        ## make the manual pages from the help of the commands, in dist/man
	$(BIN)/python -m mirror.cli.start.manual_pages dist/man

docs: $(READY)       ## make the site of all pages in dist/docs, and docs/SETTINGS.md from the schema
	$(BIN)/python -m tests.docs.settings_page
	$(BIN)/python -m deploy.release.html_pages

deb: $(READY)        ## build the Debian packages in dist/
	$(BIN)/python -m deploy.release.debian_package

image: $(READY)      ## build the container image with docker or podman; BASE=IMAGE for another base, with BASE_PYTHON=3.13 its Python
	$(BIN)/python -m deploy.release.container_image $(BASE_OPTIONS)

offline-kit: $(READY) ## put wheels, packages, image and documents into one archive in dist/; KIT=--without-image
	$(BIN)/python -m deploy.release.offline_kit $(BASE_OPTIONS) $(KIT)

lock: $(READY)       ## lock the packages of a release with their hashes, in the versions of constraints.txt
	$(BIN)/uv pip compile --quiet --python-version 3.11 --python-platform linux --generate-hashes --no-annotate --custom-compile-command "make lock" \
		--constraint constraints.txt --output-file requirements.lock pyproject.toml

fmt: $(READY)        ## fix style and format automatically
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:               ## remove all files that the targets above create
	rm -rf $(VENV) .tools .coverage* .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build dist

$(PROGRAM): pyproject.toml constraints.txt
	@tests/install-programs python
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	@touch $@

$(READY): $(PROGRAM)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

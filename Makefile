# Everything a newcomer needs: `make` alone prints this list.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
UV     := .venv/bin/uv
BIN    := .venv/bin
ARGS   ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo up test faults bench bench-peers check policies fmt lock docs site released clean

help: ## Print the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.ready ## Make .venv with exactly the locked packages

# The lock names versions and hashes but no registry's address, so that it installs from whatever
# index the machine's clients are set up with; uv itself is pinned in requirements-uv.txt.
.venv/.ready: pyproject.toml requirements-dev.lock requirements-uv.txt
	@test -x .venv/bin/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-uv.txt
	@$(UV) pip sync --quiet --compile-bytecode --python .venv --require-hashes requirements-dev.lock
	@$(UV) pip install --quiet --python .venv -r requirements-uv.txt
	@$(UV) pip install --quiet --python .venv --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup ## Two weeks of a B2B company through the public API, embedded (ARGS=--exit to end)
	@$(BIN)/leadflow demo $(ARGS)

up: setup ## Run all services in one process on 127.0.0.1:8080
	@$(BIN)/leadflow up $(ARGS)

test: setup ## All tests, with a real PostgreSQL and a real Kafka broker (ARGS="-k name")
	@$(BIN)/pytest $(ARGS)

faults: setup ## Break real processes in every way of docs/faults.md (ARGS="--scenario F3 --seed 42", --mutants, --long)
	@$(BIN)/python -m tests.faults $(ARGS)

bench: setup ## What this machine can do, each figure beside a limit of it; some three minutes (ARGS=--quick)
	@$(BIN)/python -m benchmarks.bench $(ARGS)

bench-peers: setup ## The same work by other stream processors, the right answer first; needs Java 17, Maven (ARGS=--quick)
	@$(BIN)/python -m benchmarks.peers $(ARGS)

check: setup ## Lint, format, types, import contracts, generated files
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-logo > .import-linter.out 2>&1 || (cat .import-linter.out; rm -f .import-linter.out; exit 1)
	@rm -f .import-linter.out
	@$(BIN)/python docs/generate.py check
	@$(BIN)/python docs/compatibility.py check

policies: setup .cache/policies.ready ## Hold the image and the manifests to checkov's policies
	@$(BIN)/pytest --quiet tests/contract/test_policies.py $(ARGS)

.cache/policies.ready: requirements-policies.lock requirements-uv.txt | .venv/.ready
	@$(UV) venv --quiet --allow-existing --python .venv/bin/python .cache/policies
	@$(UV) pip sync --quiet --python .cache/policies --require-hashes requirements-policies.lock
	@touch $@

fmt: setup ## Format and mend what a machine can mend
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format --quiet .

docs: setup ## Write the generated reference pages and schemas
	@$(BIN)/python docs/generate.py write

site: .cache/site.ready ## Build the documentation into site/, warnings are errors (ARGS=--serve to look at it)
	@$(BIN)/python -m docs.website $(ARGS)

# Only who builds the site needs its packages: they come into .venv beside the others, at versions that agree.
.cache/site.ready: .venv/.ready requirements-docs.lock
	@$(UV) pip install --quiet --compile-bytecode --python .venv --require-hashes -r requirements-docs.lock
	@mkdir -p .cache && touch $@

released: setup ## Take today's messages as the released ones: a step of a release, and of nothing else
	@$(BIN)/python docs/compatibility.py release

COMPILE := $(UV) pip compile --quiet --universal --generate-hashes --python-version 3.11 --custom-compile-command "make lock"
lock: ## Resolve the dependencies into requirements.lock (run time), -tracing, -dev, -docs and -policies.lock (ARGS=--upgrade)
	@test -x $(UV) || ($(PYTHON) -m venv .venv && $(BIN)/python -m pip install --quiet -r requirements-uv.txt)
	@$(COMPILE) $(ARGS) --output-file requirements.lock pyproject.toml
	@$(COMPILE) $(ARGS) --constraint requirements.lock --extra tracing --output-file requirements-tracing.lock pyproject.toml
	@$(COMPILE) $(ARGS) --constraint requirements-tracing.lock --extra tracing --group dev --output-file requirements-dev.lock pyproject.toml
	@$(COMPILE) $(ARGS) --constraint requirements-dev.lock --group docs --output-file requirements-docs.lock
	@$(COMPILE) $(ARGS) --output-file requirements-policies.lock --group policies

clean: ## Remove what the targets made
	rm -rf .venv .leadflow .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis site

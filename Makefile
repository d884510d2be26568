# Two commands: `make repro` runs the pipeline, `make test` runs the checks. Each creates .venv first.

PYTHON ?= python3
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
export PATH := $(BIN):$(PATH)
export DVC_NO_ANALYTICS := 1
unexport PYTHONPATH

.DEFAULT_GOAL := help
.PHONY: help clone repro unit test pytest lint hub crash slow bench lock

help: ## Show the commands
	@sed -n 's/^\([a-z]*\):.*## /make \1	/p' $(MAKEFILE_LIST)

clone: # DVC needs git, so say so before anything is installed
	@said=$$(git rev-parse --git-dir 2>&1) || { echo "refit needs a git repository; get the code with git clone," \
		"or run here: git init, git add --all, git commit ($$said)" >&2; exit 64; }

$(VENV)/.installed: requirements.txt | clone
	@command -v $(PYTHON) > /dev/null || { echo "$(PYTHON) is not there; run: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 64; }
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else f"refit needs Python 3.11 or newer, and $(PYTHON) is {sys.version.split()[0]}; run: make PYTHON=python3.11 $(MAKECMDGOALS)")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --disable-pip-version-check --quiet --requirement requirements.txt
	@touch $@

repro: $(VENV)/.installed ## Run the pipeline and print the scores
	dvc repro
	@echo
	@python -m refit.summary

unit: $(VENV)/.installed ## Run the unit tests, in about a minute
	python -m pytest tests/unit

test: $(VENV)/.installed ## Check types and style, run all quick tests
	@$(MAKE) --no-print-directory --jobs 2 lint pytest

pytest: $(VENV)/.installed
	python -m pytest

lint: $(VENV)/.installed
	ruff check .
	ruff format --check .
	mypy

hub: $(VENV)/.installed ## Run every recipe against the hub in ../shared/hub
	python -m pytest -m hub tests/pipeline/test_recipes.py

crash: $(VENV)/.installed ## Kill every stage and fill the disk at every point, in about 15 minutes
	python -m pytest -m crash --numprocesses 0

bench: $(VENV)/.installed ## Measure against the notebook and write benchmarks/RESULTS.md
	python -m benchmarks.run

slow: $(VENV)/.installed ## Run the tests that take minutes: searches, second machines, several processes
	python -m pytest -m slow

lock: $(VENV)/.installed ## Update the pinned versions in requirements.txt from pyproject.toml
	$(BIN)/pip install --quiet uv
	uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --no-annotate \
		--custom-compile-command 'make lock' --output-file requirements.txt

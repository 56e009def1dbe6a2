# `make book` and `make test` do everything on a machine with nothing but Python: environment, packages, the work itself.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed

.DEFAULT_GOAL := help
.PHONY: help book test notebooks tables mutate reseed screenshots colab rehearse-colab repository lint clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

book: $(INSTALLED)  ## build the HTML book
	$(BIN)/jupyter-book build . -W -n --keep-going
	@echo "The book: $(CURDIR)/_build/html/index.html"

test: $(INSTALLED)  ## run library tests, doctests and every notebook
	$(BIN)/pytest --nbval

notebooks: $(INSTALLED)  ## execute chapters whose source changed (ARGS=--all or ARGS=02_elbo)
	$(BIN)/python -m tools.notebooks $(ARGS)

tables: $(INSTALLED)  ## write the tables of README.md and book/index.md from the recorded studies
	$(BIN)/python tools/tables.py

mutate: $(INSTALLED)  ## try which asserts of the chapters notice which slips (hours; ARGS=02_elbo)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.claims mutate --jobs 2 $(ARGS)

reseed: $(INSTALLED)  ## execute the chapters under other states of the generators (hours)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.claims reseed --jobs 2 $(ARGS)

screenshots: $(INSTALLED)  ## take pictures of every page of the built book
	$(BIN)/python tools/screenshots.py _build/screenshots

colab: $(INSTALLED)  ## write one zip to drag onto Colab: wheel with data and weights, notebooks
	$(BIN)/python -m tools.colab

rehearse-colab: $(INSTALLED)  ## run every notebook with Colab's versions (downloads gigabytes; ARGS=02_elbo)
	$(BIN)/python -m tools.rehearse_colab $(ARGS)

repository:  ## set the repository's address everywhere (SLUG=owner/name)
	@$(PYTHON) tools/repository.py $(SLUG)

lint: $(INSTALLED)  ## check style, format and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

clean:  ## remove what was built; the environment stays
	rm -rf _build .mypy_cache .pytest_cache .ruff_cache

# Made once, and again when what is required changes.
$(INSTALLED): requirements.txt pyproject.toml
	@command -v $(PYTHON) > /dev/null || { echo "There is no $(PYTHON) here. Install Python 3.11 or newer, or name yours: make PYTHON=python3.13"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "This needs Python 3.11 or newer; $(PYTHON) is older. Name another: make PYTHON=python3.13"; exit 1; }
	@echo "Installing the packages into .venv: once, some minutes"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
	@touch $@

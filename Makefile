# `make demo`, `make test`, `make lint`, `make bench`. Each installs what it needs into .venv first
# and is quick when nothing changed.
SHELL := /bin/bash
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3.10 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEMO ?= demo
DEMO_SENTENCES ?= 20
JOBS ?= 2

.DEFAULT_GOAL := help
.PHONY: help install demo test lint bench clean

help:
	@echo "make demo   the whole walk on a corpus made here: synth, build, synthesize, report"
	@echo "make test   the tests (under 12 minutes on two cores)"
	@echo "make lint   ruff and mypy"
	@echo "make bench  speed, on real clips where they are at hand"

install: $(STAMP)

# face-alignment asks for the opencv-python that draws windows and wants libGL; the headless one that
# the package requires serves it as well, so it is installed without its own dependencies.
$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "no Python 3.10-3.14 found: install one or set PYTHON=..."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --no-deps 'face-alignment>=1.5,<2'
	$(BIN)/gridprep models fetch
	-$(BIN)/facetron-eval judges fetch
	touch $@

# The whole walk, each step the command that a user would type. Every step resumes where it stopped.
demo: $(STAMP)
	$(BIN)/gridprep synth $(DEMO)/corpus --sentences $(DEMO_SENTENCES) --jobs $(JOBS)
	$(BIN)/gridprep build --split large-unseen --corpus $(DEMO)/corpus --out $(DEMO)/features --jobs $(JOBS)
	$(BIN)/gridprep inspect $(DEMO)/features --out $(DEMO)/inspect
	$(BIN)/facetron synthesize --manifest $(DEMO)/features --subset test --checkpoint synthgrid --out $(DEMO)/runs/facetron
	$(BIN)/facetron synthesize --manifest $(DEMO)/features --subset test --checkpoint synthgrid --shuffle-lips --out $(DEMO)/runs/shuffled
	$(BIN)/facetron synthesize --manifest $(DEMO)/features --subset test --checkpoint synthgrid --swap 30 --out $(DEMO)/runs/swapped
	$(BIN)/facetron resynth --manifest $(DEMO)/features --subset test --out $(DEMO)/runs/resynth --jobs $(JOBS)
	$(BIN)/facetron embed --manifest $(DEMO)/features --checkpoint synthgrid --subset all --out $(DEMO)/embeddings.npz
	$(BIN)/facetron-eval report $(DEMO)/runs/facetron $(DEMO)/runs/shuffled $(DEMO)/runs/resynth --embeddings $(DEMO)/embeddings.npz --out $(DEMO)/report --jobs $(JOBS)
	$(BIN)/facetron-eval report $(DEMO)/runs/swapped --table disentanglement --out $(DEMO)/report-swapped --jobs $(JOBS)
	$(BIN)/facetron page $(DEMO)/runs/facetron $(DEMO)/runs/resynth $(DEMO)/runs/swapped --out $(DEMO)/page
	@echo
	@echo "look at:"
	@echo "  $(DEMO)/inspect/index.html            what was cut out of the clips"
	@echo "  $(DEMO)/page/index.html               the clips, talking"
	@echo "  $(DEMO)/report/report.html            the table: the model, its control, its upper bound"
	@echo "  $(DEMO)/report-swapped/report.html    lips of one speaker, face of another"

test: $(STAMP)
	$(BIN)/python -m pytest -n $(JOBS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(STAMP)
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache

# One place for every command; .ci/run calls `make check test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt
T5X_PYTHON ?= .venv-t5x/bin/python
export JAX_COMPILATION_CACHE_DIR ?= $(CURDIR)/.jax_cache

.PHONY: help demo demo-training test test-slow fuzz test-t5x check docs format bench clean

help:            ## this list
	@grep -hE '^[a-z0-9-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

demo: $(VENV)/.base  ## install, read two texts with the model that comes with t5coref
	$(BIN)/t5coref demo

demo-training: $(VENV)/.base  ## install, train a tiny model on stories, predict unseen ones
	$(BIN)/t5coref demo-training

test: $(VENV)/.dev  ## install, run the fast tests
	$(BIN)/python -m pytest -n 2 -m "not slow"

test-slow: $(VENV)/.dev  ## every test
	$(BIN)/python -m pytest -n 2

fuzz: $(VENV)/.dev  ## readers and outputs with a hundred times the examples
	T5COREF_FUZZ=100 $(BIN)/python -m pytest -n 2 -m "not slow" tests/fuzz

test-t5x:        ## T5X_PYTHON=PYTHON: the tests that need SeqIO and T5X (docs/t5x.md)
	REQUIRE_T5X=1 $(T5X_PYTHON) -m pytest -n 2 --dist loadfile tests/t5x tests/data tests/tasks tests/gin

docs: $(VENV)/.dev  ## the site, in site/; broken links and names are errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

check: $(VENV)/.dev docs  ## lint, format, types, layout, docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	@! find gin -name __init__.py | grep . || (echo "gin/ must hold no __init__.py" && false)

format: $(VENV)/.dev  ## rewrite the code in the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.dev  ## MODEL=DIR: all benchmarks; their tables go to docs/results.md
	$(BIN)/python benchmarks/decode.py --model "$(MODEL)" --write
	$(BIN)/python benchmarks/linearize.py --tokenizer "$(MODEL)" --write
	$(BIN)/python benchmarks/ceilings.py --tokenizer "$(MODEL)" --write
	$(BIN)/python benchmarks/joint_ie.py --write
	$(BIN)/python benchmarks/big_inputs.py --model "$(MODEL)" --words 10000
	$(BIN)/python benchmarks/score.py
	$(BIN)/python benchmarks/align.py

clean:           ## remove what make made
	rm -rf $(VENV) .jax_cache demo_out site

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; \
	  sys.exit(0 if (3, 11) <= v <= (3, 12) else f"expected Python 3.11 or 3.12, got {v}; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.base: setup.py constraints.txt | $(VENV)/bin/python
	$(PIP) -e .
	@touch $@

$(VENV)/.dev: setup.py constraints.txt | $(VENV)/bin/python
	$(PIP) torch
	$(PIP) -e ".[dev]"
	@touch $@ $(VENV)/.base

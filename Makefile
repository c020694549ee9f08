# `make demo` and `make test` do everything on a fresh machine with Python 3.11 or newer.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
CODE := wire rules trainer monitor grafana tests benchmarks

.PHONY: demo test check format bench clean

demo: $(VENV)/.examples
	$(BIN)/trainguard demo

test: $(VENV)/.dev
	$(BIN)/pytest

check: $(VENV)/.dev
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy
	$(BIN)/pytest tests/test_architecture.py

format: $(VENV)/.dev
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks.engine
	$(BIN)/python -m benchmarks.windows
	$(BIN)/python -m benchmarks.replay
	$(BIN)/python -m benchmarks.signals
	$(BIN)/python -m benchmarks.scrape
	$(BIN)/python -m benchmarks.checkpoints
	$(BIN)/python -m benchmarks.reaction
	$(BIN)/python -m benchmarks.footprint
	$(BIN)/python -m benchmarks.ranks
	$(BIN)/python -m benchmarks.overhead --quick
	$(BIN)/python -m benchmarks.rescue --quick

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

# torch comes first and by itself: pip then takes the one build that is pinned, and nothing after it asks for another.
$(VENV)/.torch: constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt pip
	$(BIN)/pip install --quiet $$(grep '^torch==' constraints.txt)
	touch $@

$(VENV)/.examples: $(VENV)/.torch pyproject.toml
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[examples]'
	touch $@

$(VENV)/.dev: $(VENV)/.torch pyproject.toml
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

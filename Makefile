# Digital Human Studio. `make help` lists what can be done.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PROVIDER ?= local
SANDBOX ?=
AT_ONCE ?= 1
SHORT ?=
# What the tests use is theirs alone: no setting of a person's shell leaks in.
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo demo-show up down test test-cluster chaos lint format bench lock clean
.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.run ## produce one real talking video from nothing, at .studio/demo.mp4; PROVIDER=topview or mingyan in the sandbox
	$(BIN)/studio demo --provider $(PROVIDER)

demo-show: $(VENV)/.run ## broadcast a three-minute live show with every kind of cue in the sandbox; SHORT=1 takes half a minute
	$(BIN)/studio demo-show $(if $(filter-out 0,$(SHORT)),--short)

up: $(VENV)/.run ## start the studio and keep it running until Ctrl-C; SANDBOX=1 plays the paid providers on this machine
	$(BIN)/studio up $(if $(filter-out 0,$(SANDBOX)),--sandbox)

down: $(VENV)/.run ## stop the studio
	$(BIN)/studio down

test: $(VENV)/.dev ## run the tests against real servers, processes killed for real
	$(BIN)/python -m pytest -m "not slow and not cluster" -n $(AT_ONCE) --dist loadfile

test-cluster: $(VENV)/.dev ## run the cluster of infra/compose.yaml as plain processes: Redis, PostgreSQL, two servers, workers
	$(BIN)/python -m pytest -m "cluster and not slow" --timeout 900

chaos: $(VENV)/.dev ## run the slow tests: silent machines, very long videos
	$(BIN)/python -m pytest -m slow --timeout 1800

lint: $(VENV)/.dev ## check style, types and import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.dev ## measure speed and memory, as ratios against plain code in the same run
	$(BIN)/python -m tests.bench

lock: $(VENV)/.dev ## resolve the dependencies anew into the two hashed locks
	$(BIN)/uv pip compile pyproject.toml --extra embedded --extra cluster --extra build --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-annotate --no-header -q -o requirements.txt
	$(BIN)/uv pip compile pyproject.toml --extra dev --extra build --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-annotate --no-header -q -o requirements-dev.txt -c requirements.txt

clean: ## stop the studio and delete everything that was made here, videos too
	@if [ -x $(BIN)/studio ]; then $(BIN)/studio down; fi
	rm -rf $(VENV) .studio build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 14) else 1)' \
		|| { echo "Python 3.11 to 3.13 is needed; name it: make PYTHON=python3.11 ..."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "On Debian: apt-get install python3-venv"; exit 1; }

$(VENV)/.run: requirements.txt pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install -q --require-hashes --no-deps -r requirements.txt
	$(BIN)/python -m pip install -q --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements-dev.txt pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install -q --require-hashes --no-deps -r requirements-dev.txt
	$(BIN)/python -m pip install -q --no-deps --no-build-isolation -e .
	@touch $@ $(VENV)/.run

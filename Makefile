# One place for the commands of the project. `make help` lists them; CI runs nothing else.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed
PEERS := .venv-peers
# Tests that hold a promise about time or memory run by themselves. All others are shared by one process more than there are
# cores, as many of them wait for processes of their own; each file is run by one process.
ALONE := tests/e2e tests/gateways/test_drill.py tests/integration/http/test_memory.py tests/integration/http/test_slow_clients.py
SHARING := $(shell cores=$$(env -u OMP_NUM_THREADS nproc); echo $$((cores < 8 ? cores + 1 : 8)))
# What tests start reads the compiled code of the last start, also where Python is told to keep none.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help install demo serve test check fix bench bench-detection bench-console bench-adversarial lock

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' Makefile

install: $(READY) ## Prepare .venv with all that demo, tests and checks need (quick when nothing changed)

$(READY): requirements.lock pyproject.toml scripts/install-venv scripts/find-python
	@scripts/install-venv $(VENV)

demo: install ## Watch a model go wrong, get quarantined and be released (about a minute; no terminal: checks itself)
	@if [ -t 1 ] && [ "$${CI:-}" != true ]; then $(BIN)/lazaretto demo; else $(BIN)/lazaretto demo --check; fi

serve: install ## Run the service on http://127.0.0.1:8080 (API, gate, console and worker; data in lazaretto-data)
	@exec $(BIN)/lazaretto serve

test: install ## Run every check and every test
	@scripts/install-system test
	@scripts/check --static
	@TMPDIR=$$(scripts/test-folder); export TMPDIR; trap 'rm -rf "$$TMPDIR"' EXIT; failed=0; \
	$(BIN)/pytest -n $(SHARING) --dist loadfile --no-loadscope-reorder $(ALONE:%=--ignore=%) || failed=1; \
	$(BIN)/pytest $(ALONE) || failed=1; \
	exit $$failed

check: install ## Run the fast checks: lint, format, types, import contracts, docstrings, architecture, migrations
	@scripts/check

fix: install ## Repair what ruff can repair: lint and format
	@scripts/fix

bench: install ## Measure the service against its own floor on this machine and update docs/benchmarks.md (about 15 minutes)
	@scripts/install-system bench
	@$(BIN)/python -m bench.run

bench-detection: $(PEERS)/.installed ## Measure false alarms, delay and speed of detection beside peers and update docs/benchmarks-detection.md (about 20 minutes)
	@$(PEERS)/bin/python -m bench.detection

bench-console: install ## Time the pages of the console over 1,000 models and update docs/benchmarks-console.md (about a minute)
	@$(BIN)/python -m bench.console

bench-adversarial: install ## Attack models for real, see how much the monitor notices beside peers and update docs/benchmarks-adversarial.md (hours)
	@$(BIN)/python -m bench.adversarial

$(PEERS)/.installed: requirements.lock pyproject.toml bench/peers.txt scripts/install-peers scripts/install-venv
	@scripts/install-peers $(PEERS)

lock: install
	@scripts/lock

# Everything a person or a machine does with palaver. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
# torch is the one package whose build differs from machine to machine. Empty: the hashed build of
# deploy/locks/torch.lock. Or a requirement or a path to a wheel, such as a smaller CPU-only build.
TORCH ?=
# cpu or gpu: which vLLM. Another one than before is installed over it.
FLAVOUR ?= cpu
VENV := .venv
BIN := $(VENV)/bin
LOCKS := deploy/locks
UV := VIRTUAL_ENV=$(VENV) UV_FIND_LINKS="$${UV_FIND_LINKS:-$${PIP_FIND_LINKS:-}}" $(BIN)/uv pip
COMPILE := $(UV) compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-find-links --no-emit-index-url --no-annotate --no-header
INSTALL := $(UV) install --no-config --no-deps --compile-bytecode

.PHONY: help setup gen check test run bench lock proto-release format clean

help: ## Show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

READY := $(VENV)/.ready-$(FLAVOUR)

setup: $(READY) ## Install everything into .venv, hashed and pinned (FLAVOUR=gpu on a machine with GPUs)

# The stamp is written last: an installation that was broken off begins anew.
$(READY): $(LOCKS)/uv.lock $(LOCKS)/torch.lock $(LOCKS)/$(FLAVOUR).lock pyproject.toml
	@$(PYTHON) deploy/check_python.py
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) (about 6 GB; a minute or two with a good connection)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(LOCKS)/uv.lock
	rm -f $(VENV)/.ready-*
	$(if $(TORCH),$(UV) install --no-config "$(TORCH)",$(INSTALL) --require-hashes -r $(LOCKS)/torch.lock)
	$(INSTALL) --require-hashes -r $(LOCKS)/$(FLAVOUR).lock
	@# xds-protos brings old copies of files of opentelemetry-proto: the right ones come last.
	$(INSTALL) --require-hashes --reinstall-package opentelemetry-proto -r $(LOCKS)/$(FLAVOUR).lock
	$(INSTALL) --no-build-isolation --editable .
	@touch $@

run: setup ## Serve the default model with TLS, REST and OpenAI's protocol; Ctrl-C ends it
	@exec $(BIN)/palaver up $(ARGS)

test: setup ## Run every test, with a real engine and real clients
	$(BIN)/python -m pytest $(ARGS)

gen: setup ## Regenerate the stubs in gen/ from protos/
	$(BIN)/python protos/generate.py

check: setup ## Format, lint, types, imports, contract, generated code, locks
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code
	$(BIN)/buf breaking --against protos/baseline.binpb
	$(BIN)/python protos/generate.py --check
	$(BIN)/python $(LOCKS)/check.py

format: setup ## Format code and protos, mend what the linter can
	$(BIN)/ruff check --fix --quiet . || true
	$(BIN)/ruff format .
	$(BIN)/buf format --write

lock: setup ## Upgrade every pinned version within the bounds of pyproject.toml
	$(COMPILE) --upgrade --no-config $(LOCKS)/uv.in -o $(LOCKS)/uv.lock
	$(COMPILE) --upgrade --no-config --no-emit-package triton $(LOCKS)/torch.in -o $(LOCKS)/torch.lock
	$(COMPILE) --upgrade --no-emit-package torch pyproject.toml --extra cpu --extra dev -o $(LOCKS)/cpu.lock
	$(COMPILE) --upgrade --no-config pyproject.toml --extra gpu --extra dev -o $(LOCKS)/gpu.lock
	$(BIN)/python $(LOCKS)/check.py --write

proto-release: setup ## Make the contract of today the one that later changes must not break
	$(BIN)/buf build --exclude-source-info -o protos/baseline.binpb

bench: setup ## Measure palaver against the raw engine; prints a table, writes JSON
	$(BIN)/python -m tests.bench $(ARGS)

clean: ## Remove the installation and every cache of the checkout
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# Millrace: `make demo` shows the whole road, `make test` proves it. Both set up what they need in .venv.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.SILENT:
.DEFAULT_GOAL := help
.PHONY: help setup setup-test test-packages demo test test-slow lint peers clean

# Which Python makes .venv; the first that fits when left empty.
PYTHON ?=
# Where the demo writes, and KEY=VALUE changes to it: make demo ARGS="train.steps=300"
OUT ?= demo
ARGS ?=
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore

help: ## list the targets
	grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | awk -F'\t' '{printf "  make %-15s %s\n", $$1, $$2}'

setup: .venv/.installed ## create .venv and install Millrace into it

demo: setup ## installed documentation -> shards -> a small GPT -> a sample of its text, in ./demo
	$(BIN)/millrace demo --out $(OUT) $(ARGS)

test: setup-test test-packages ## lint, types, and every test but the long suites
	failed=0
	echo "ruff: style and likely mistakes"
	$(BIN)/ruff check . || failed=1
	echo "mypy: types"
	$(BIN)/mypy || failed=1
	echo "pytest: the promises"
	$(BIN)/pytest -m "not slow" || failed=1
	exit $$failed

test-slow: setup-test test-packages ## the long suites
	echo "pytest: the long suites"
	$(BIN)/pytest -m slow

lint: setup-test ## ruff and mypy alone
	$(BIN)/ruff check .
	$(BIN)/mypy

peers: .venv-peers/.installed ## install datatrove into .venv-peers, to be measured by `millrace bench data --peers`

test-packages: ## install Slurm and a browser for their tests, where this user may
	.ci/test-packages

clean: ## remove .venv, caches and what the demo wrote
	rm -rf .venv .venv-peers .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist demo

setup-test: .venv/.installed-test

# A stamp is newer than pyproject.toml when what it asks for is installed; anything older is installed again.
.venv/.installed: pyproject.toml
	.ci/install .venv "$(PYTHON)" .
	touch $@

.venv/.installed-test: .venv/.installed
	.ci/install .venv "$(PYTHON)" ".[test]"
	touch $@

.venv-peers/.installed: benchmarks/peers/requirements.txt
	.ci/peers .venv-peers "$(PYTHON)" benchmarks/peers/requirements.txt
	touch $@

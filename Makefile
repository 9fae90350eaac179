# Every command a developer needs. `make check test` is what CI runs.
.PHONY: help setup build quickstart check format test test-rust test-python fuzz bench reference clean

help: ## List the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: ## Virtual environment, dependencies, the built module, the programs tests speak to
	@scripts/setup --tests

build: ## The virtual environment and the built module only
	@scripts/setup

quickstart: build ## Tell the whole story end to end, on real openssl, AWS CLI and mosquitto
	@scripts/install-test-tools --quickstart
	@scripts/quickstart

check: setup ## Format check, lints, types, import contracts
	@scripts/check

format: build ## Format everything in place
	@scripts/check --fix

test: setup test-rust test-python ## All tests and a short run of each fuzz target

test-rust: ## The data plane's tests
	@scripts/test-rust

test-python: ## The control plane's tests, contract and end to end
	@scripts/test-python

fuzz: ## Fuzz each parser: FUZZ_SECONDS=20 each
	@scripts/fuzz $(or $(FUZZ_SECONDS),20)

bench: build ## Measure beside mosquitto in one run
	@scripts/install-test-tools --quickstart
	@scripts/bench

reference: build ## Write docs/reference anew from the program itself
	@.venv/bin/python -m scripts.reference_pages

clean: ## Remove everything that was built
	rm -rf target fuzz/target .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find python tests -name '*.so' -delete

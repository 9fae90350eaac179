# Every command a developer needs. `make check test fuzz` is what CI runs.
.PHONY: help setup build quickstart check format test test-rust test-python test-thorough fuzz bench reference man dist clean

help: ## List the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: ## Virtual environment, dependencies, the built module, the programs that tests use
	@scripts/setup --tests

build: ## The virtual environment and the built module only
	@scripts/setup

quickstart: build ## Run the steps of the README with the real openssl, AWS CLI and mosquitto
	@scripts/install-test-tools --quickstart
	@scripts/quickstart

check: setup ## Format check, lints, types, import contracts, rules for dependencies
	@scripts/check

format: build ## Format everything in place
	@scripts/check --fix

test: setup test-rust test-python ## All tests and a short run of each fuzz target

test-rust: ## The data plane's tests
	@scripts/test-rust

test-python: ## The control plane's tests, contract and end to end
	@scripts/test-python

test-thorough: build ## The tests on generated inputs, with 2000 examples each instead of 50
	@HYPOTHESIS_PROFILE=thorough scripts/test-python tests/unit tests/contract -m hypothesis

fuzz: ## Fuzz each parser: FUZZ_SECONDS=20 each, as many at once as there are cores
	@scripts/fuzz $(or $(FUZZ_SECONDS),20)

bench: build ## Measure beside mosquitto in one run
	@scripts/install-test-tools --quickstart
	@scripts/bench

reference: build ## Write docs/reference and docs/limits.md from the program
	@.venv/bin/python -m scripts.reference_pages

man: build ## Write the man pages into target/man/man1
	@.venv/bin/python -m scripts.man_pages target/man/man1

dist: ## Build the wheel and the source distribution of a release into dist/, with checksums
	@scripts/setup --without-module
	@scripts/dist $(DIST_OPTIONS)

clean: ## Remove everything that was built
	rm -rf dist target fuzz/target .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find python tests -name '*.so' -delete

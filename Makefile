# Each command sets up what it needs first; once that is done, it is done at once and without a network.

PY := .venv/bin/python
UV_COMPILE := .venv/bin/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 \
  --generate-hashes --no-emit-index-url --no-header
unit_tests = $(shell find tests/extension -name '*.test.js' -o -name '*.test.mjs')

.PHONY: help setup run test test-long check demo bench profile package lock clean
.DEFAULT_GOAL := help

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install all that running, testing and changing Flattr needs
	@.ci/setup dev tools books browsers

run: ## serve on this machine with a demo blog, and say what to try
	@.ci/setup python
	@FLATTR_DEV=1 $(PY) -m backend.demo serve $(if $(PORT),--port $(PORT))

demo: ## play a worked month in the terminal
	@.ci/setup python
	@$(PY) -m backend.demo month

test: setup ## run every test
	node --test --test-reporter spec $(or $(unit_tests),$(error there are no tests in tests/extension))
	$(PY) -m pytest -n 2

test-long: ## run the tests that have a long form, in it: a million months, thousands of economies, every kill
	@.ci/setup dev
	FLATTR_TESTS=long $(PY) -m pytest -n 2 -m long

check: ## lint, types, layers, lock files
	@.ci/setup dev tools
	$(PY) .ci/check_locks.py
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/lint-imports --no-logo
	node_modules/.bin/biome check
	node_modules/.bin/tsc --project .
	node .ci/lint-extension.js

bench: ## measure, one JSON object a line (docs/performance.md explains them; READERS=1000000 for a large month)
	@.ci/setup dev bench browsers
	@$(PY) -m tests.bench.bench

profile: ## where the time of settling and of presses goes (READERS=1000000 for a large month)
	@.ci/setup dev bench
	@$(PY) -m tests.bench.profile

package: ## pack the extension for both stores into dist/ (SERVER=https://… for readers of that server)
	@.ci/setup tools
	@python3 .ci/package.py $(if $(SERVER),--server $(SERVER))
	@node .ci/lint-extension.js dist/*-firefox.zip

lock: ## write the lock files anew after a change of dependencies (UPGRADE=1: newest versions)
	@.ci/setup dev
	$(UV_COMPILE) --group dev $(if $(UPGRADE),--upgrade) --output-file requirements-dev.lock
	$(UV_COMPILE) --group build --constraints requirements-dev.lock --output-file requirements.lock
	npm install --package-lock-only --no-fund

clean: ## remove all that was installed or built here; data stays
	rm -rf .venv node_modules build dist *.egg-info .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find backend tests -name __pycache__ -type d -prune -exec rm -rf {} +

# Everything a person or CI does here; `make` alone lists it. Needs make and Python 3.11 or later with venv.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV   := .venv
PYTHON := $(VENV)/bin/python
# Rivals that are libraries live apart, for benchmarks alone.
RIVALS := .bench-venv
# -P: the working directory stays off the module path, so tests see the installed project as a worker does.
RUN    := $(PYTHON) -P -m
# Hashes and exact versions stand in requirements/; with those complete there is nothing to resolve and nothing to build.
PIP    := $(RUN) pip --disable-pip-version-check -qq install --no-input --no-deps --no-compile
LOCKED := $(PIP) --require-hashes --only-binary :all:
# Byte code is written once, by all cores, also where PYTHONDONTWRITEBYTECODE would make each start compile anew.
COMPILE := $(RUN) compileall -q -j 0

# Stamps say what the environment holds. When it was made elsewhere, or its Python has gone, they say nothing.
ifneq ($(shell cat $(VENV)/made-in 2>/dev/null && $(PYTHON) -c ''),$(CURDIR))
$(shell rm -f $(VENV)/made-in $(VENV)/*.stamp)
endif

##@ Use
.PHONY: help
help: ## list what there is
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

.PHONY: setup
setup: $(VENV)/dev.stamp ## create the environment in .venv; the others do it when needed

.PHONY: run
run: $(VENV)/runtime.stamp ## bring every kind into a local database once; ARGS="sleeps --since 90d"
	@$(VENV)/bin/humansync run $(ARGS)

.PHONY: up
up: $(VENV)/runtime.stamp ## the same, lasting: workers, beat and Flower until Ctrl-C; ARGS=...
	@$(VENV)/bin/humansync up $(ARGS)

##@ Check
.PHONY: test
test: $(VENV)/dev.stamp ## everything that CI checks
	@$(MAKE) --no-print-directory check
	@echo '== tests'
	@$(RUN) pytest -q -n 2 --dist worksteal $(ARGS)

.PHONY: quick
quick: $(VENV)/dev.stamp ## the tests that take no time; ARGS="-k words"
	@$(RUN) pytest -q -n 2 -m 'not slow and not browser' $(ARGS)

.PHONY: check
check: lint types imports ## format, lint, types and imports, without tests

.PHONY: lint
lint: $(VENV)/dev.stamp ## format and style
	@echo '== format and style'
	@$(RUN) ruff format --check -q . || { echo 'run: make format'; exit 1; }
	@$(RUN) ruff check -q --output-format concise .

.PHONY: types
types: $(VENV)/dev.stamp ## mypy --strict
	@echo '== types'
	@$(RUN) mypy --no-error-summary

.PHONY: imports
imports: $(VENV)/dev.stamp ## imports point one way
	@echo '== imports'
	@$(VENV)/bin/lint-imports --no-cache --no-logo > $(VENV)/imports.log 2>&1 || { cat $(VENV)/imports.log; exit 1; }

# How many, for the targets that can go on for ever.
N ?= 1000

.PHONY: browser
browser: $(VENV)/browser.stamp ## look at Flower's pages in this machine's Chromium; the pictures go to var/pictures
	@$(RUN) pytest -q -m browser $(ARGS)

.PHONY: prove-verify
prove-verify: $(VENV)/dev.stamp ## 1,000 errors planted among 100,000 records: all found, none falsely, all mended; some minutes
	@$(RUN) pytest -q tests/acceptance/prove_verify.py --durations=0 $(ARGS)

.PHONY: prove-servers
prove-servers: $(VENV)/dev.stamp ## a first load from every kind of server that the API could be, many minutes; SEED=n
	@$(RUN) pytest -q -n 2 --dist worksteal tests/acceptance/prove_servers.py $(ARGS)

.PHONY: prove-changes
prove-changes: $(VENV)/dev.stamp ## records that change after every third page: every order, both databases, with and without 5 % faults; some minutes
	@$(RUN) pytest -q -n 2 --dist worksteal tests/acceptance/prove_changes.py $(ARGS)

.PHONY: fuzz
fuzz: $(VENV)/dev.stamp ## bad input by the thousand: bodies, headers, variables, .env, words on the command line; N=5000
	@FUZZ_EXAMPLES=$(N) $(RUN) pytest -q tests/fuzz --timeout 3600 $(ARGS)

.PHONY: chaos
chaos: $(VENV)/dev.stamp ## kill, freeze and cut everything that a deployment consists of, half an hour; SEED=n
	@$(RUN) tests.chaos $(if $(SEED),--seed $(SEED)) $(ARGS)

.PHONY: simulate
simulate: $(VENV)/dev.stamp ## made-up lives of the whole system, everything failing, each compared with the truth; N=10000, or SEED=17
	@$(RUN) tests.simulation $(if $(SEED),--seed $(SEED),--seeds $(N)) $(ARGS)

.PHONY: mutants
mutants: $(VENV)/dev.stamp ## switch each safety mechanism off, one at a time, and see tests go red, some ten minutes; ARGS="-k lease"
	@$(RUN) tests.mutation $(ARGS)

##@ Work
.PHONY: format
format: $(VENV)/dev.stamp ## format the code and mend what can be mended by itself
	@$(RUN) ruff format -q .
	@$(RUN) ruff check -q --fix --output-format concise .

.PHONY: bench
bench: $(VENV)/dev.stamp $(RIVALS)/stamp ## measure beside rivals; in part: `make bench-throughput`; ARGS="--shrink 100"
	@$(RUN) benchmarks $(ARGS)

bench-%: $(VENV)/dev.stamp $(RIVALS)/stamp
	@$(RUN) benchmarks $* $(ARGS)

COMPILE_LOCK := uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-annotate --custom-compile-command 'make lock' $(ARGS)

.PHONY: lock
lock: ## write requirements/ anew from pyproject.toml; needs uv; ARGS="--upgrade"
	@$(COMPILE_LOCK) pyproject.toml --group build -o requirements/runtime.txt
	@$(COMPILE_LOCK) --group dev -c requirements/runtime.txt -o requirements/dev.txt
	@$(COMPILE_LOCK) --group browser -c requirements/runtime.txt -c requirements/dev.txt -o requirements/browser.txt
	@$(COMPILE_LOCK) benchmarks/requirements.in -o benchmarks/requirements.txt

.PHONY: clean
clean: ## remove the environment and every cache, never data
	@rm -rf $(VENV) $(RIVALS) .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- the environment --------------------------------------------------------------------------------------------------

$(VENV)/made-in:
	@for candidate in $${HUMANSYNC_PYTHON:-python3 python3.13 python3.12 python3.11 python3.14}; do \
	    if $$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$candidate; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	    echo "humansync needs Python 3.11 or later as python3; here it is: $$(python3 --version 2>&1)" >&2; exit 1; \
	fi; \
	if ! $$found -c 'import ensurepip, venv' 2>/dev/null; then \
	    echo "$$found has no venv; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; \
	fi; \
	echo "Setting up $(VENV) with $$($$found --version), once" >&2; \
	rm -rf $(VENV) && $$found -m venv $(VENV) && printf '%s' '$(CURDIR)' > $@

$(VENV)/runtime.stamp: requirements/runtime.txt pyproject.toml | $(VENV)/made-in
	@$(LOCKED) -r requirements/runtime.txt
	@$(PIP) --no-build-isolation -e .
	@$(COMPILE) $(VENV)/lib
	@touch $@

$(VENV)/dev.stamp: requirements/dev.txt $(VENV)/runtime.stamp
	@$(LOCKED) -r requirements/dev.txt
	@$(COMPILE) $(VENV)/lib
	@touch $@

$(VENV)/browser.stamp: requirements/browser.txt $(VENV)/dev.stamp
	@$(LOCKED) -r requirements/browser.txt
	@touch $@

$(RIVALS)/stamp: benchmarks/requirements.txt | $(VENV)/made-in
	@rm -rf $(RIVALS) && $(PYTHON) -m venv $(RIVALS)
	@$(subst $(VENV)/,$(RIVALS)/,$(LOCKED)) -r $<
	@$(RIVALS)/bin/python -m compileall -q -j 0 $(RIVALS)/lib
	@touch $@

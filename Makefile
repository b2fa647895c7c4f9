# Every target that needs it sets the machine up first; a machine that is set up loses no time with that.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# FAMILY=4|6 and ARGS="--repeat 1 …" belong to topo-NAME, shell-NAME and bench; WIRESHARK=1 shows topo-NAME in Wireshark as it runs.
FAMILY ?=
ARGS ?=
WIRESHARK ?=
ifneq ($(filter-out 4 6,$(FAMILY)),)
$(error FAMILY=$(FAMILY): the family is 4 or 6)
endif

PYTHON := .venv/bin/python
# Settings of the caller's own Python must not leak into the project's.
unexport VIRTUAL_ENV PYTHONPATH PYTHONHOME
export PYTHONNOUSERSITE := 1

.PHONY: help setup setup-test test test-fast test-long lint bench docs doctor list lock clean-runs wireshark wireshark-remove

help:
	@printf '%s\n' \
	  'make topo-NAME    run a lab, e.g. make topo-handover FAMILY=6 ARGS="--repeat 1"' \
	  'make shell-NAME   build a lab and get a console on it' \
  'make list         the labs there are, with their drawings' \
	  'make doctor       what this machine can do, and the remedy for what it cannot' \
	  'make test         everything: lint, types, tests, labs' \
	  'make test-long    more combinations of labs, IP versions and users' \
	  'make test-fast    the tests that need no privileges' \
	  'make lint         formatter, linter, types' \
	  'make bench        measure the handover, the agents, the simulator and the judge' \
	  'make docs         write every protocol page again from the source' \
	  'make wireshark    teach your Wireshark the protocols (make wireshark-remove undoes it)' \
	  'make clean-runs   remove the results of past runs' \
	  'make setup        only prepare this machine for labs (setup-test: for tests too)'

setup:
	@testbed/setup/setup.sh

setup-test:
	@testbed/setup/setup.sh test

# exec: Ctrl-C and kill reach the lab, not a shell around it.
topo-%: setup
	@exec $(if $(filter-out 0,$(WIRESHARK)),$(PYTHON) -m captures wireshark -- )$(PYTHON) -m testbed run $* $(if $(FAMILY),--family $(FAMILY)) $(ARGS)

# The same lab, left to you: its console.
shell-%: setup
	@exec $(PYTHON) -m testbed shell $* $(if $(FAMILY),--family $(FAMILY)) $(ARGS)

list: setup
	@exec $(PYTHON) -m testbed list

doctor: setup
	@exec $(PYTHON) -m testbed doctor $(ARGS)

test: setup-test
	@exec tests/run.sh lint fast labs alone

test-long: setup-test
	@exec tests/run.sh long

test-fast: setup-test
	@exec tests/run.sh fast

lint: setup-test
	@exec tests/run.sh lint

bench: setup-test
	@exec tests/run.sh bench

docs: setup
	@exec $(PYTHON) -m agents document

# Needs uv, which nothing else here needs. No index is named in the lock files: whoever installs uses theirs.
lock:
	@compile() { uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	    --no-emit-index-url --no-emit-find-links pyproject.toml "$$@"; }; \
	compile --output-file requirements.lock; \
	compile --extra test --output-file requirements-test.lock

# Needs nothing of the set-up: it copies a few files to where Wireshark looks for them.
wireshark:
	@captures/wireshark/install.sh

wireshark-remove:
	@captures/wireshark/install.sh remove

clean-runs:
	@rm -rf captures/runs

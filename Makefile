# Nooks Lab. `make` alone lists the targets. Python 3.11 or later and make are all that must be there before.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
UV     := uv==0.13.9

NOTEBOOKS = $(wildcard notebooks/*.ipynb)

.DEFAULT_GOAL := help
.PHONY: help setup lab demo test notebooks api lint sandbox peers bench lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile
	@echo "  Another Python: make PYTHON=python3.12 setup"

setup: $(READY) ## make .venv with the locked packages and the command nooks-lab

lab: setup ## open the course in JupyterLab
	$(BIN)/nooks-lab lab

demo: setup ## the same faulty driver natively and under Nooks, in the terminal
	$(BIN)/nooks-lab demo

test: lint sandbox peers ## check style and types, run the tests and the lecture notebooks
	$(BIN)/pytest
	$(if $(NOTEBOOKS),$(BIN)/pytest --nbval --nbval-current-env $(NOTEBOOKS))

notebooks: setup ## execute the lecture notebooks again and keep their outputs
	$(BIN)/jupyter nbconvert --to notebook --execute --inplace --ExecutePreprocessor.record_timing=False $(NOTEBOOKS)

api: setup ## write course/kernel-api.md anew, from the headers and declarations
	$(BIN)/nooks-lab api --out course/kernel-api.md

lint: setup ## check style, types and the directions of imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup ## run the benchmarks
	$(BIN)/python benchmarks/run.py

lock: ## choose exact versions anew for a changed pyproject.toml (all of them: make lock UPGRADE=--upgrade)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet '$(UV)'
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --custom-compile-command 'make lock' --quiet $(UPGRADE) --output-file requirements.lock

clean: ## remove .venv and everything else that can be made again
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

$(READY): pyproject.toml requirements.lock
	@command -v '$(PYTHON)' >/dev/null || { echo "Nooks Lab needs Python 3.11 or later, and there is no $(PYTHON):\
	 name another one, as in make PYTHON=python3.12 setup." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Nooks Lab needs Python 3.11 or later, \
	and $(PYTHON) is %d.%d: name another one, as in make PYTHON=python3.12 setup." % sys.version_info[:2])'
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "$(PYTHON) cannot make a virtual environment:\
	 install the package python3-venv of your system." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@echo 'Installing the packages of requirements.lock; the first time this is some minutes and 1.4 GB.'
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	@touch $@

# Submissions are graded inside bubblewrap: without it the tests of the sandbox have nothing to run.
sandbox:
	@command -v bwrap >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq bubblewrap; } || \
	    printf '%s\n' '' '*** NOTICE: bubblewrap is missing and could not be installed (no root, no apt-get or no network).' \
	    '*** Tests of the grading sandbox cannot use it. Debian and Ubuntu: apt install bubblewrap.' ''

# VFAT is tested against other people's FAT: mkfs.fat and fsck.fat make and check volumes, mtools reads and writes them.
peers:
	@PATH="$$PATH:/usr/sbin:/sbin"; { command -v fsck.fat && command -v mkfs.fat && command -v mcopy; } >/dev/null || \
	    { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq dosfstools mtools; } || \
	    printf '%s\n' '' '*** NOTICE: dosfstools or mtools is missing and could not be installed (no root, no apt-get or no network).' \
	    '*** Tests of VFAT fail without them. Debian and Ubuntu: apt install dosfstools mtools.' ''

# `make repro` and `make test` do everything on a fresh machine with Python 3.11 to 3.13, git and make.

SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
# GPU=1 installs TensorFlow with its CUDA libraries: see docs/gpu.md
# (and what was set up for a GPU stays so).
LOCK := requirements$(if $(or $(GPU),$(wildcard $(VENV)/.installed-from-requirements-gpu.lock)),-gpu).lock
STAMP := $(VENV)/.installed-from-$(LOCK)
# The first Python that is new enough; name another one with PYTHON=...
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$python && break; done)
STATE := .dvc/state
# DVC starts the stages' `python` from the path.
export PATH := $(CURDIR)/$(BIN):$(PATH)
export TF_CPP_MIN_LOG_LEVEL ?= 3

.PHONY: help setup private-state repro recipe test test-all torture lint audit lock ui ci-report
.DEFAULT_GOAL := help

help:
	@echo 'make repro     run the whole pipeline, or what a change touched, and show the scores'
	@echo 'make recipe    NAME=... [SOURCE=...] [INIT_FROM=...] runs one of recipes/ as a DVC experiment; without NAME it lists them'
	@echo 'make test      the tests, about 10 minutes'
	@echo 'make test-all  the tests and the heavy ones, the whole pipeline killed and resumed among them'
	@echo 'make torture   kills every stage at random while it writes and compares the bytes: 10 minutes; SEED=... for others'
	@echo 'make lint      ruff and mypy'
	@echo 'make audit     secrets in the files, known vulnerabilities in the locked packages'
	@echo 'make ui        the trainings in MLflow on 127.0.0.1:5000, columns and charts chosen; another PORT=...'
	@echo 'make lock      pin the dependencies anew, with their hashes'
	@echo 'make ci-report BASE=main   what a pull request would be told, in ci-report/'
	@echo 'make setup     the environment alone, in $(VENV); GPU=1 brings CUDA'

setup: $(STAMP)
	@$(MAKE) --no-print-directory private-state

$(STAMP): $(LOCK) pyproject.toml
	@test -n "$(PYTHON)" || { echo 'No Python 3.11, 3.12 or 3.13 on the path; install one, or name it: make PYTHON=...'; exit 1; }
	@echo 'Setting up $(VENV) with $(PYTHON): about two minutes'
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(LOCK)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# DVC's database of file dates lies, by default, in a folder that everybody on the machine may write to, and holds
# pickles: whoever writes there runs code as you. Here it lies in the repository, and nobody else gets in.
private-state:
	@mkdir -p $(STATE) && chmod 700 $(STATE)
	@grep -qsxF '    site_cache_dir = $(CURDIR)/$(STATE)' .dvc/config.local || \
		$(BIN)/dvc config --quiet --local core.site_cache_dir '$(CURDIR)/$(STATE)'

repro: setup
	@$(BIN)/faceseg check
	@$(BIN)/dvc repro
	@$(BIN)/faceseg summary

recipe: setup
	@$(BIN)/faceseg recipe $(NAME) $(if $(SOURCE),--source $(SOURCE)) $(if $(INIT_FROM),--init-from $(INIT_FROM))
	$(if $(NAME),@$(BIN)/faceseg summary)

test: setup
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m 'not slow'

test-all: test
	$(BIN)/python -m pytest -n 2 --dist loadfile -m slow

# Says that it did not ask where the database of vulnerabilities cannot be reached.
audit: setup
	@$(BIN)/python .ci/audit.py

torture: setup
	$(BIN)/python -m tests.torture --seed $(or $(SEED),0)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

lock: setup
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		pyproject.toml --group dev --output-file requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		pyproject.toml --group dev --extra gpu --output-file requirements-gpu.lock

ui: setup
	@$(BIN)/faceseg ui --port $(or $(PORT),5000)

ci-report: setup
	@test -n "$(BASE)" || { echo 'Name the revision to compare with: make ci-report BASE=main'; exit 1; }
	@$(BIN)/python .ci/report.py --base "$(BASE)" --head "$(or $(HEAD),HEAD)" --out ci-report

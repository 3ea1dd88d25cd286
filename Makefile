# What people who work on Py Pinger type. PYTHON makes the virtual environment, VENV is where it lives.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.NOTPARALLEL:

PYTHON ?= python3
VENV ?= .venv
CONFIG ?= pinger.ini
KILLS ?= 500

bin := $(VENV)/bin
made_from := setup.py pyproject.toml pypinger/__init__.py
work := $(VENV)/test
export COVERAGE_FILE = $(abspath $(work))/coverage

.PHONY: run demo test lint format types trial coverage crash clean

run: $(VENV)/.installed $(CONFIG)
	@echo 'Py Pinger reads $(CONFIG); its pages are at http://localhost:3002/ unless [web] endpoint there says otherwise.'
	@echo 'Ctrl-C stops it.'
	$(bin)/twistd -n --pidfile= pypinger --config $(CONFIG)

demo: $(VENV)/.installed
	$(bin)/pypinger demo

test: lint format types trial coverage

lint: $(VENV)/.tested
	$(bin)/ruff check .

format: $(VENV)/.tested
	$(bin)/ruff format --check .

types: $(VENV)/.tested
	$(bin)/mypy --cache-dir $(work)/mypy

# Trial is content when it has run no test at all; we are not.
trial: $(VENV)/.tested
	rm -rf $(work)/coverage $(work)/coverage.*
	mkdir -p $(work)
	$(bin)/coverage run --rcfile=pyproject.toml -m twisted.trial --temp-directory=$(work)/trial tests 2>&1 | tee $(work)/trial.log
	@grep -Eq '^Ran [1-9][0-9]* tests?' $(work)/trial.log || { echo 'No test ran.'; exit 1; }

# The figures of the latest `make trial`, those of the processes that it started included.
coverage: $(VENV)/.tested
	$(bin)/coverage combine --quiet --rcfile=pyproject.toml
	$(bin)/coverage report --rcfile=pyproject.toml --fail-under=95
	$(bin)/coverage report --rcfile=pyproject.toml --fail-under=100 --include='pypinger/domain/*'

# The delivery promise under so many kills, a second or so each; `make trial` makes do with a few dozen.
crash: $(VENV)/.tested
	mkdir -p $(work)
	CRASH_KILLS=$(KILLS) $(bin)/python -m twisted.trial --temp-directory=$(work)/crash tests.crash.test_kills

clean:
	rm -rf $(VENV) build dist *.egg-info _trial_temp* .coverage .coverage.* htmlcov .mypy_cache .ruff_cache .hypothesis
	find pypinger tests bench twisted -name __pycache__ -prune -exec rm -rf {} +
	rm -f twisted/plugins/dropin.cache

pinger.ini:
	cp pinger_template.ini $@

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(made_from) | $(VENV)/bin/python
	$(bin)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.tested: $(made_from) | $(VENV)/bin/python
	$(bin)/python -m pip install --quiet --editable '.[test]'
	touch $@ $(VENV)/.installed

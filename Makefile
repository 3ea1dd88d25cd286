# Targets for users and contributors; CONTRIBUTING.md describes them. PYTHON creates the virtual environment in VENV.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.NOTPARALLEL:

PYTHON ?= python3
VENV ?= .venv
CONFIG ?= pinger.ini
# How many processes run the tests that compute, and beside them those that mostly wait for daemons and browsers.
JOBS ?= 2
WAITING_JOBS ?= 4
KILLS ?= 500
EVENTS ?= 300
# How many days `make month` simulates.
DAYS ?= 30

bin := $(VENV)/bin
made_from := setup.py pyproject.toml pypinger/__init__.py
work := $(VENV)/test
export COVERAGE_FILE = $(abspath $(work))/coverage

# Python compiles what it imports; to compile all at once would take half as long again.
install := -m pip install --quiet --no-compile
trial := -m twisted.trial
measured := $(bin)/coverage run --rcfile=pyproject.toml
# Suites that start daemons, servers and browsers; the longest test comes first.
waiting := tests.chaos tests.crash tests.browser tests.acceptance
all := $(wildcard tests/test_*.py) $(patsubst %/__init__.py,%,$(wildcard tests/*/__init__.py))
computing = $(filter-out $(waiting),$(subst /,.,$(basename $(all))))
# Daemons that compile the package at each start take a quarter longer. The checkout stays clean.
types trial coverage crash chaos month oldest: export PYTHONPYCACHEPREFIX = $(abspath $(work))/pycache
types trial coverage crash chaos month oldest: export PYTHONDONTWRITEBYTECODE =
# Hypothesis keeps its tables of characters, which take each process two seconds.
trial oldest: export HYPOTHESIS_STORAGE_DIRECTORY = $(abspath $(work))/hypothesis

# Suites that lean most on Twisted, treq and Klein.
oldest_suites := tests.http tests.web tests.notify tests.store tests.runtime

.PHONY: run demo demo-machines test lint format types trial coverage crash chaos month messages publisher oldest clean

run: $(VENV)/.installed $(CONFIG)
	@echo 'Py Pinger reads $(CONFIG). The pages are at http://localhost:3002/ unless [web] endpoint names another port.'
	@echo 'Press Ctrl-C to stop.'
	$(bin)/twistd -n --pidfile= pypinger --config $(CONFIG)

demo: $(VENV)/.installed
	$(bin)/pypinger demo

# Three instances over one PostgreSQL, with a kill switch; needs Debian's postgresql.
demo-machines: $(VENV)/.tested
	$(bin)/python docs/machines_demo.py

test: lint format types trial coverage

lint: $(VENV)/.tested
	$(bin)/ruff check .

format: $(VENV)/.tested
	$(bin)/ruff format --check .

types: $(VENV)/.tested
	$(bin)/mypy --cache-dir $(work)/mypy

# Trial succeeds when it finds no test at all, so the log is checked.
ran_tests = grep -Eq '^Ran [1-9][0-9]* tests?' $(1) || { echo 'No test ran.'; exit 1; }

# All tests, in two runs side by side; the output of the second follows that of the first. Coverage measures the first,
# which reaches the limits alone.
trial: $(VENV)/.tested
	rm -rf $(work)/coverage $(work)/coverage.*
	mkdir -p $(work)
	$(bin)/python $(trial) -j$(WAITING_JOBS) --temp-directory=$(work)/waiting $(waiting) >$(work)/waiting.log 2>&1 & \
	second=$$!; trap 'kill $$second 2>/dev/null || true' EXIT; code=0; \
	$(measured) $(trial) -j$(JOBS) --temp-directory=$(work)/computing $(computing) 2>&1 | tee $(work)/computing.log || code=1; \
	echo 'The other run: $(waiting)'; \
	wait $$second || code=1; \
	cat $(work)/waiting.log; \
	exit $$code
	@$(call ran_tests,$(work)/computing.log)
	@$(call ran_tests,$(work)/waiting.log)

# The figures of the latest `make trial`.
coverage: $(VENV)/.tested
	$(bin)/coverage combine --quiet --rcfile=pyproject.toml
	$(bin)/coverage report --rcfile=pyproject.toml --fail-under=95
	$(bin)/coverage report --rcfile=pyproject.toml --fail-under=100 --include='pypinger/domain/*'

# The delivery promise under KILLS kills, about a second each; `make trial` does a few dozen.
crash: $(VENV)/.tested
	mkdir -p $(work)
	CRASH_KILLS=$(KILLS) $(bin)/python -m twisted.trial --temp-directory=$(work)/crash tests.crash.test_kills

# The promise for several machines under EVENTS faults, about 6 s each; `make trial` does a few.
chaos: $(VENV)/.tested
	mkdir -p $(work)
	CHAOS_EVENTS=$(EVENTS) $(bin)/python -m twisted.trial --temp-directory=$(work)/chaos tests.chaos

# A month of a fleet's alerts on a fake clock, three seeds twice (docs/alerts.md): an hour or so of CPU time.
month: $(VENV)/.tested
	$(bin)/python -m tests.fleet.month --days $(DAYS) --jobs $(JOBS)

# docs/messages.md, after a change of a text or a channel.
messages: $(VENV)/.tested
	$(bin)/python docs/messages.py

# contrib/pypinger-report.py, after a change of pypinger/report or of the version.
publisher: $(VENV)/.tested
	$(bin)/python docs/publisher.py

# Those suites with the oldest supported dependencies, in an environment of their own.
oldest: $(VENV)-oldest/.tested
	$(VENV)-oldest/bin/python -m twisted.trial -j$(JOBS) --temp-directory=$(VENV)-oldest/trial $(oldest_suites) 2>&1 | tee $(VENV)-oldest/trial.log
	@$(call ran_tests,$(VENV)-oldest/trial.log)

clean:
	rm -rf $(VENV) $(VENV)-oldest build dist *.egg-info _trial_temp* .coverage .coverage.* htmlcov .mypy_cache .ruff_cache .hypothesis
	find pypinger tests bench twisted -name __pycache__ -prune -exec rm -rf {} +
	rm -f twisted/plugins/dropin.cache

pinger.ini:
	cp pinger_template.ini $@

$(VENV)/bin/python:
	@echo 'Creating a virtual environment in $(VENV)'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(made_from) | $(VENV)/bin/python
	@echo 'Installing Py Pinger into $(VENV); this may take a minute'
	@$(bin)/python $(install) --editable .
	@touch $@

$(VENV)/.tested: $(made_from) | $(VENV)/bin/python
	@echo 'Installing Py Pinger and what its tests need into $(VENV); this may take a few minutes'
	@$(bin)/python $(install) --editable '.[test]'
	@touch $@ $(VENV)/.installed

$(VENV)-oldest/.tested: $(made_from) .ci/oldest.txt
	@echo 'Installing the oldest supported dependencies into $(VENV)-oldest'
	@$(PYTHON) -m venv $(VENV)-oldest
	@$(VENV)-oldest/bin/python $(install) --constraint .ci/oldest.txt --editable '.[test]'
	@touch $@

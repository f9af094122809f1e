# make demo | test | check share one .venv; see `make help`.

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
PASSES := $(wildcard tokenauction_cli/mechanism/native/*.py tokenauction_cli/mechanism/native/*.[ch])
LLAMA := $(addprefix tokenauction_cli/lm/,build_llama.py llama/llama_build.py compile_llama.sh)
NEWER := import sys; sys.exit(sys.version_info < (3, 10))

.DEFAULT_GOAL := help
.PHONY: given-cmake-args help install demo test test-two-models soak bench check docs site release lock clean clean-venv

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) ## make .venv with everything that requirements.lock pins

demo: $(STAMP) ## the bid sweep of two advertisers on SmolLM2-135M, its table and its report
	@$(BIN)/tokauction run experiments/hawaii-co-marketing.yaml
	@echo "Open the report in a browser: $$($(BIN)/tokauction report experiments/hawaii-co-marketing.yaml)"

test: check ## check, then every test, in a process per core
	@$(BIN)/python -m pytest -n auto --dist worksteal --durations=10

test-two-models: $(STAMP) ## install a second model (240 MB; Gemma's terms apply) and run the tests of two families
	@$(PIP) install --quiet --no-build-isolation --editable '.[two-models]'
	@$(BIN)/python -m pytest -m two_models

soak: $(STAMP) ## the tests that take minutes, and every law with 400 examples instead of 25
	@$(BIN)/python -m pytest -n auto --dist worksteal -m 'slow or hypothesis' --hypothesis-profile thorough

bench: $(STAMP) ## speed in ratios, on a quiet machine: BENCH="EXP --repeat 3", "--replay", "--workers 2"; PROFILE=1: where time goes
	@$(BIN)/python -m benchmarks $(if $(PROFILE),--profile) $(BENCH)

check: $(STAMP) ## format, lint, layers, types, the rules of the documentation, the Dockerfile
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/lint-imports --no-cache >/dev/null || $(BIN)/lint-imports --no-cache
	@$(BIN)/mypy
	@$(BIN)/python docs/check.py
	@$(BIN)/hadolint Dockerfile

# A .venv made by hand is used and completed. Whatever is missing is named before pip starts.
# CMAKE_ARGS="-DGGML_CUDA=on" make install builds llama.cpp for a GPU; that is remembered until other ones are given.
ifneq ($(origin CMAKE_ARGS), undefined)
$(STAMP): given-cmake-args
endif
given-cmake-args: ;
$(STAMP): pyproject.toml requirements.lock $(PASSES) $(LLAMA)
	@test -x $(BIN)/python || { \
	  command -v $(PYTHON) >/dev/null || { \
	    echo "There is no $(PYTHON): install it (Debian: apt install python3), or name one: make PYTHON=python3.12" >&2; exit 1; }; \
	  $(PYTHON) -c '$(NEWER)' || { \
	    echo "$(PYTHON) is older than 3.10: install a newer one and name it: make PYTHON=python3.12" >&2; exit 1; }; \
	  $(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	    echo "$(PYTHON) has no module venv or ensurepip: install it (Debian: apt install python3-venv)" >&2; exit 1; }; }
	@test ! -x $(BIN)/python || $(BIN)/python -c '$(NEWER)' || { \
	  echo "The Python of .venv is older than 3.10: run make clean-venv" >&2; exit 1; }
	@$(BIN)/python -c 'import importlib.metadata as m; m.version("llama-cpp-python")' 2>/dev/null || { \
	  command -v $${CXX:-c++} >/dev/null || command -v g++ >/dev/null || command -v clang++ >/dev/null || { \
	    echo "There is no C++ compiler for llama.cpp: install one (Debian: apt install build-essential; macOS: xcode-select --install)" >&2; exit 1; }; \
	  command -v $${CC:-cc} >/dev/null || command -v gcc >/dev/null || command -v clang >/dev/null || { \
	    echo "There is no C compiler for llama.cpp: install one (Debian: apt install build-essential; macOS: xcode-select --install)" >&2; exit 1; }; \
	  command -v make >/dev/null || command -v ninja >/dev/null || { \
	    echo "There is neither make nor ninja to build llama.cpp: install one (Debian: apt install make)" >&2; exit 1; }; \
	  echo "Installing into .venv." >&2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(PIP) --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null
	@$(BIN)/python -m tokenauction_cli.lm.build_llama --requirements requirements.lock
	@$(PIP) install --quiet --requirement requirements.lock
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@test -e tokenauction_cli/mechanism/native/passes.so || \
	  echo "passes.c was not compiled (is there a C compiler?): auctions run on NumPy, several times slower." >&2
	@$(BIN)/python -m tokenauction_cli.lm.build_llama --try "$$($(BIN)/tokauction models path smollm2-135m-instruct)"
	@touch $@

docs: $(STAMP) ## write the pages of docs/ that come from the code anew
	@$(BIN)/python docs/generate.py

site: $(STAMP) ## the documentation as a website, in docs/_build/html; SITE_MODELS=1 also runs the experiments of models
	@$(BIN)/python -c 'import furo, myst_parser, sphinx' 2>/dev/null || \
	  $(PIP) install --quiet --no-build-isolation --editable '.[docs]'
	@$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going --builder html docs docs/_build/html
	@echo "Open docs/_build/html/index.html in a browser."

release: $(STAMP) ## the sdist and this machine's wheel in dist/; the wheel runs the demo in an environment of its own
	@$(PIP) install --quiet build
	@rm -rf dist
	@$(BIN)/python -m build --outdir dist . >/dev/null
	@sh tests/try_wheel.sh "$$PWD"/dist/*.whl "$$PWD"/experiments/hawaii-co-marketing.yaml
	@ls dist

lock: $(STAMP) ## pin again what make installs, for every Python from 3.10 on
	@$(PIP) install --quiet uv
	@$(BIN)/uv pip compile pyproject.toml --extra demo --extra report --extra cluster --extra constraints --extra parquet --extra docs --extra dev \
	  --universal --python-version 3.10 --upgrade --quiet --no-config \
	  --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" --output-file requirements.lock

clean: ## remove caches and build products; results/ and .venv stay
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find tokenauction_cli tests -name __pycache__ -type d -prune -exec rm -rf {} +

clean-venv: clean ## also remove .venv: the next make installs anew
	rm -rf .venv

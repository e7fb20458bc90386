# Everything a person or CI needs. `make run` and `make test` do all the set-up themselves, the first time only.
# uv is used where it is found, plain pip otherwise; both honour their usual settings (indexes, find-links).

PYTHON ?= python3
VENV ?= .venv
ENGINE_VENV ?= .venv-engine
UV := $(shell command -v uv 2>/dev/null)
BIN := $(VENV)/bin
SOURCES := gateway engines config simulation
NODE_TESTS := tests/integration/node

# Arguments for `cascadia up`: make run ARGS="--model PATH_OR_HF_ID"
ARGS ?=
# Arguments for pytest: make test TESTS="tests/unit -k scanner"
TESTS ?=
# How many fault schedules to simulate.
N ?= 10000

.PHONY: run test check bench sim native lock engine clean

run: $(VENV)/.core engine native
	@CASCADIA_ENGINE_ENVIRONMENT="$${CASCADIA_ENGINE_ENVIRONMENT:-$(CURDIR)/$(ENGINE_VENV)}" exec $(BIN)/cascadia up $(ARGS)

test: $(VENV)/.dev engine $(NODE_TESTS)/node_modules/.installed
	CASCADIA_ENGINE_ENVIRONMENT="$${CASCADIA_ENGINE_ENVIRONMENT:-$(CURDIR)/$(ENGINE_VENV)}" $(BIN)/pytest $(TESTS)

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.dev native
	$(BIN)/python -m benchmarks.overhead --quick

# Seeded fault schedules in virtual time: make sim N=500
sim: $(VENV)/.dev
	$(BIN)/python -m simulation --schedules $(N)

# The engine's own environment: vLLM for NVIDIA GPUs where there is one, its CPU build elsewhere.
engine:
	@$(PYTHON) -m engines.environment --target $(ENGINE_VENV)

# The gateway's hot path as machine code: only where there is a compiler, and anew only when a source of it has changed.
native: $(VENV)/.native
	@$(BIN)/python -m gateway.native.build || echo "the hot path is not compiled: the gateway runs interpreted" >&2

$(VENV)/.native: requirements/native.txt $(VENV)/.core
	@$(call install_list,requirements/native.txt)
	@touch $@

# The gateway's environment: exact versions with hashes, then this tree.
$(VENV)/.core: requirements/core.txt pyproject.toml
	@echo "installing the gateway into $(VENV)"
	$(call install,requirements/core.txt)
	@touch $@

$(VENV)/.dev: requirements/dev.txt pyproject.toml
	@echo "installing the gateway and its development tools into $(VENV)"
	$(call install,requirements/dev.txt)
	@touch $@ $(VENV)/.core

install_list = $(if $(UV),VIRTUAL_ENV=$(VENV) $(UV) pip install -q --compile-bytecode,$(BIN)/pip install -q --disable-pip-version-check) --require-hashes -r $(1)

define install
	@test -x $(BIN)/python || $(if $(UV),$(UV) venv -q --seed --python $(PYTHON) $(VENV),$(PYTHON) -m venv $(VENV))
	@$(call install_list,$(1))
	@$(if $(UV),VIRTUAL_ENV=$(VENV) $(UV) pip install -q,$(BIN)/pip install -q --disable-pip-version-check) --no-deps -e .
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m compileall -q $(SOURCES)
endef

$(NODE_TESTS)/node_modules/.installed: $(NODE_TESTS)/package-lock.json
	@npm ci --silent --no-fund --no-audit --prefix $(NODE_TESTS)
	@touch $@

# New exact versions for the two requirement lists, from pyproject.toml. Needs uv.
lock:
	$(UV) pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
		pyproject.toml --extra precise -o requirements/core.txt
	$(UV) pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
		pyproject.toml --extra precise --group dev -c requirements/core.txt -o requirements/dev.txt
	$(UV) pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
		--group native -c requirements/dev.txt -o requirements/native.txt

clean:
	rm -rf $(VENV) $(ENGINE_VENV) gateway/native/built $(NODE_TESTS)/node_modules .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

# Every verb sets up what it needs: Python >= 3.11 and a Rust toolchain are enough.
# Stamp files in .venv keep repeated calls quick.
#
# To move the locked versions (needs uv):
#   uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
#       --no-header --output-file requirements/run.txt
#   uv pip compile pyproject.toml --group tools --universal --python-version 3.11 \
#       --generate-hashes --no-header --output-file requirements/dev.txt

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:

export PATH := $(PATH):$(HOME)/.cargo/bin
export PYTHONNOUSERSITE := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
unexport PYTHONPATH PYTHONHOME CONDA_PREFIX

VENV := .venv
BIN := $(VENV)/bin
# Expanded when the environment is made, not before: the first interpreter that is new enough.
PYTHON ?= $(shell for candidate in python3 python3.13 python3.12 python3.11 python3.14; do \
	"$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 \
	&& echo "$$candidate" && break; done)
CORE_SOURCES := $(shell find rust_core -name '*.rs' -o -name Cargo.toml) \
	Cargo.toml Cargo.lock pyproject.toml

FOLLOWERS ?= 500
SEEDS ?= 500
FIRST ?= 0
JOBS ?= 2
RUNS ?= 10
KIND ?= crash
ARGS ?=

.PHONY: help
help: ## Say what each verb does
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 16

$(VENV)/.installed: requirements/dev.txt
	@test -n "$(PYTHON)" || { echo "slipstream: no Python 3.11 or newer found; set PYTHON=" >&2; exit 2; }
	@echo "== Python environment in $(VENV), from requirements/dev.txt"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements/dev.txt
	@touch $@

$(VENV)/.built: $(VENV)/.installed $(CORE_SOURCES)
	@command -v cargo >/dev/null || { echo "slipstream: no cargo found; install Rust from rustup.rs" >&2; exit 2; }
	@echo "== Rust core, release profile (the first build takes a minute or two)"
	PIP_QUIET=1 VIRTUAL_ENV="$(CURDIR)/$(VENV)" $(BIN)/maturin develop --release --locked --quiet
	@touch $@

.PHONY: build
build: $(VENV)/.built ## Make the environment and the Rust core, installed in place

.PHONY: demo
demo: build ## Mirror one leader onto 500 followers on this machine (FOLLOWERS=, ARGS=)
	$(BIN)/slipstream demo --followers $(FOLLOWERS) $(ARGS)

.PHONY: test
test: build ## Run every test, Rust and Python (ARGS= goes to pytest)
	cargo test --locked --workspace --exclude slipstream-core
	$(BIN)/python -m pytest $(ARGS)

.PHONY: check
check: build ## Format, lint, types, stubs, layers, clippy
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/stubtest slipstream._core --mypy-config-file pyproject.toml \
		--allowlist tests/typing/stubtest_allowed.txt
	$(BIN)/lint-imports
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- --deny warnings

.PHONY: sim
sim: build ## Run seeded schedules of faults on virtual time (SEEDS=, FIRST=, JOBS=, VERBOSE=1)
	PYTHONPATH=tests $(BIN)/python -m simulation --seeds $(SEEDS) --first $(FIRST) \
		--jobs $(JOBS) $(if $(VERBOSE),--verbose) $(ARGS)

.PHONY: venue
venue: build ## Start the simulated venue (ARGS= goes to slipstream sim)
	$(BIN)/slipstream sim $(ARGS)

.PHONY: drill
drill: build ## Kill and cut off real daemons, count the harm (RUNS=, KIND=crash|disconnect, ARGS=)
	$(BIN)/slipstream drill $(KIND) --runs $(RUNS) $(ARGS)

.PHONY: bench
bench: build ## Run all benches and write benches/reports/
	mkdir -p benches/reports
	$(BIN)/python -m pytest benches/python --benchmark-only --benchmark-enable \
		--benchmark-json benches/reports/boundary.json
	$(BIN)/slipstream bench --json $(ARGS) | tee benches/reports/bench.json

.PHONY: report
report: build ## Latency per stage and follower rank of a database (ARGS="--database FILE")
	$(BIN)/slipstream report latency $(ARGS)

.PHONY: wheel
wheel: $(VENV)/.installed ## Build the wheel into dist/
	$(BIN)/maturin build --release --locked --out dist

# The only commands to know. Each installs first when it must, and starts at once when it need not.

PYTHON ?= python3
DATA ?= data
ARGS ?=
SECONDS ?= 300
HTTP ?= 127.0.0.1:$(shell $(PYTHON) -c 'import socket; print(socket.socket().connect_ex(("127.0.0.1", 8080)) and 8080)')
SEED ?= 1
WORKERS ?= auto

# Where this is set, each of the thousand processes of the tests would compile all code anew.
export PYTHONDONTWRITEBYTECODE :=

PIP_INSTALL = -m pip install --quiet --disable-pip-version-check
PIN = .venv/bin/uv pip compile --no-config --quiet --universal --python-version 3.11 \
	--generate-hashes --no-strip-extras --no-annotate --no-emit-index-url --no-emit-find-links \
	--custom-compile-command "make pins" $(ARGS)
PYTEST = .venv/bin/pytest
PARALLEL = --numprocesses=$(WORKERS) --dist=worksteal
CODE = client server tests bench docs tools
GENERATED = client/orderintake/v1
OPENAPI = server/orderintake_server/http/openapi.json
PROTOC = .venv-protos/bin/python -m grpc_tools.protoc --proto_path=protos \
	--plugin=protoc-gen-mypy=.venv-protos/bin/protoc-gen-mypy \
	--plugin=protoc-gen-mypy_grpc=.venv-protos/bin/protoc-gen-mypy_grpc

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install run demo test test-all test-long test-slow coverage chaos chaos-workers fuzz-handlers fuzz bench bench-quick bench-rivals counts check static \
	format format-check lint types layers sizes protos protos-fresh sync sync-fresh pins clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s%s\n", $$1, $$2 }' Makefile

# The board is at port 8080, or at a free port where something listens on that; the log names it.
run: .venv/run ## Start the server in the foreground, on DATA=data (ARGS=--help for more)
	@exec .venv/bin/orderintake-server --data $(DATA) --http $(HTTP) $(ARGS)

demo: .venv/run ## Watch the service work, start to end
	@.venv/bin/python docs/demo.py $(ARGS)

install: .venv/installed ## Make .venv, with the server, the client and all tools in it
	@:

test: install ## Run the quick tests, and what proves the README (ARGS="-k cancel" for some)
	@$(PYTEST) --fast $(PARALLEL) $(if $(CI),--looks=3) $(ARGS)

test-all: install ## Run all tests but the slow ones
	@$(PYTEST) $(PARALLEL) $(ARGS)

test-long: install ## Run of those what `make test` leaves out, and all examples of what it cuts short
	@$(PYTEST) --long $(PARALLEL) $(ARGS)

test-slow: install ## Run every test, one after the other
	@$(PYTEST) --slow $(ARGS)

bench: install ## Measure what orders cost, and draw docs/performance.md (ARGS="core --against v1")
	@.venv/bin/python bench/measure.py --out docs/performance $(ARGS)

bench-quick: install ## The same in two minutes, coarsely, into .bench/
	@.venv/bin/python bench/measure.py core --quick $(ARGS)

bench-rivals: install .venv-rivals/installed ## Measure what users would pick instead (a quarter of an hour)
	@.venv/bin/python bench/measure.py rivals --out docs/performance $(ARGS)

counts: install ## Count what an order makes the service do, against bench/budget.json (ARGS=--renew)
	@.venv/bin/python bench/counts.py $(ARGS)

check: static coverage test-long ## Everything a change must pass

static: format-check lint types layers sizes protos-fresh sync-fresh ## All of it that needs no test

format: install ## Put code and protos into the one format
	@.venv/bin/ruff check --quiet --fix-only $(CODE)
	@.venv/bin/ruff format $(CODE)
	@cd protos && ../.venv/bin/buf format --write

format-check: install ## Tell what `make format` would change
	.venv/bin/ruff format --check $(CODE)
	cd protos && ../.venv/bin/buf format --diff --exit-code

lint: install ## Look for faults in code, protos and spelling
	.venv/bin/ruff check $(CODE)
	.venv/bin/codespell
	cd protos && ../.venv/bin/buf lint

types: install ## Check the types
	.venv/bin/mypy

layers: install ## Check who imports whom
	.venv/bin/lint-imports --no-logo

sizes: install ## Check that functions, files and folders are small
	.venv/bin/python tools/sizes.py

coverage: install ## Run the quick tests, and tell which lines they missed
	$(PYTEST) --fast $(PARALLEL) --cov --cov-report=term:skip-covered $(ARGS)

chaos: install ## Kill, freeze and restart servers and database for SECONDS=300 (SEED=1)
	@PYTHONPATH=tests .venv/bin/python -m support.chaos --seconds $(SECONDS) --seed $(SEED)

chaos-workers: install ## Kill, freeze and stop workers and servers for SECONDS=300 (SEED=1, ARGS=sqlite)
	@PYTHONPATH=tests .venv/bin/python -m support.worker_chaos $(ARGS) --seconds $(SECONDS) --seed $(SEED)

fuzz-handlers: install ## Let handlers do the worst for SECONDS=300 (SEED=1); the server must not end
	@PYTHONPATH=tests .venv/bin/python -m support.handler_fuzz --seconds $(SECONDS) --seed $(SEED)

fuzz: install ## Give all that reads foreign bytes the worst for SECONDS=300 (SEED=1, ARGS="tokens keys")
	@PYTHONPATH=tests .venv/bin/python -m fuzz.run --seconds $(SECONDS) --seed $(SEED) $(ARGS)

protos: .venv-protos/installed ## Generate the Python code of the protos, and the OpenAPI description
	@rm -f $(GENERATED)/*_pb2*
	@$(call generate,client)
	@$(call describe,$(OPENAPI))

# Code is generated by an environment of its own: the generator's age is the least age of the
# client's grpcio and protobuf, and the server runs on newer ones.
define generate
$(PROTOC) --python_out=$(1) --mypy_out=quiet:$(1) protos/orderintake/v1/*.proto && \
$(PROTOC) --grpc_python_out=$(1) --mypy_grpc_out=quiet:$(1) protos/orderintake/v1/*_service.proto
endef

define describe
$(PROTOC) --include_source_info --include_imports --descriptor_set_out=/dev/stdout \
protos/orderintake/v1/*_service.proto protos/orderintake/v1/errors.proto | \
.venv-protos/bin/python tools/openapi.py > $(1)
endef

protos-fresh: .venv-protos/installed ## Check that the generated code is what the protos say
	@fresh=$$(mktemp -d) && trap 'rm -rf "$$fresh"' EXIT && $(call generate,"$$fresh") && \
	if ! diff -r -x __init__.py -x __pycache__ "$$fresh/orderintake/v1" $(GENERATED); then \
	echo "$(GENERATED) is not what the protos say: run 'make protos'." >&2; exit 1; fi; \
	$(call describe,"$$fresh/openapi.json") && \
	if ! diff -q "$$fresh/openapi.json" $(OPENAPI); then \
	echo "$(OPENAPI) is not what the protos say: run 'make protos'." >&2; exit 1; fi

sync: install ## Generate the synchronous client from the asynchronous one
	@.venv/bin/python tools/unasync.py

sync-fresh: install ## Check that it is what the asynchronous one says
	@.venv/bin/python tools/unasync.py --check

pins: install ## Compile requirements/*.in anew (ARGS=--upgrade for newer versions)
	@$(PIN) requirements/run.in --output-file requirements/run.txt
	@$(PIN) requirements/dev.in --output-file requirements/dev.txt -c requirements/run.txt
	@$(PIN) requirements/build.in --output-file requirements/build.txt -c requirements/dev.txt
	@$(PIN) requirements/protos.in --output-file requirements/protos.txt

clean: ## Remove the environments and all that was built; data/ stays
	@rm -rf .venv .venv-protos .venv-rivals .bench .coverage* .*_cache .hypothesis .fuzz client/dist server/dist
	@find $(CODE) -name __pycache__ -prune -exec rm -rf {} +

.venv/run: requirements/run.txt client/pyproject.toml server/pyproject.toml
	@$(call venv,.venv)
	@.venv/bin/python $(PIP_INSTALL) --require-hashes --requirement requirements/run.txt
	@.venv/bin/python $(PIP_INSTALL) --no-deps --no-build-isolation -e client -e server
	@touch $@

.venv/installed: .venv/run requirements/build.txt requirements/dev.txt
	@echo "Installing the tools into .venv"
	@.venv/bin/python $(PIP_INSTALL) --require-hashes --requirement requirements/build.txt
	@.venv/bin/python $(PIP_INSTALL) --require-hashes --requirement requirements/dev.txt \
		--no-build-isolation --use-pep517
	@touch $@

.venv-protos/installed: requirements/protos.txt
	@$(call venv,.venv-protos)
	@.venv-protos/bin/python $(PIP_INSTALL) --require-hashes --requirement requirements/protos.txt
	@touch $@

.venv-rivals/installed: requirements/rivals.in
	@$(call venv,.venv-rivals)
	@.venv-rivals/bin/python $(PIP_INSTALL) --requirement requirements/rivals.in
	@touch $@

define venv
$(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
{ echo "orderintake needs Python 3.11 or newer, with venv (on Debian: apt-get install python3-venv);" \
	"name another one by: make PYTHON=..." >&2; exit 1; }; \
echo "Installing into $(1)" && $(PYTHON) -m venv $(1)
endef

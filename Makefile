# `make` lists what there is. Everything runs from .venv, which is made when first needed.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/.requirements
LOCAL := $(RUN) -m deploy.local

.DEFAULT_GOAL := help
.PHONY: help run start stop status reset token replay publish verify logs test check format bench simulate schemas servers

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# --- the system on this machine

run: $(READY) ## start everything, publish a shop's day of events, show what became of it
	@$(LOCAL) run

start: $(READY) ## bring up the servers and services that are not running
	@$(LOCAL) start

servers: $(READY) ## bring up PostgreSQL and Kafka alone
	@$(LOCAL) start --servers-only

stop: $(READY) ## end everything and keep the data
	@$(LOCAL) stop

status: $(READY) ## what runs: addresses, memory, readiness, lag, figures
	@$(LOCAL) status

reset: $(READY) ## end everything and wipe the data
	@$(LOCAL) reset

token: $(READY) ## print a member's token: MEMBER=id
	@test -n "$(MEMBER)" || { echo "Which member? make token MEMBER=m-0001" >&2; exit 2; }
	@$(LOCAL) token "$(MEMBER)"

logs: $(READY) ## follow the logs: [NAME=ledger]
	@$(LOCAL) logs $(NAME)

replay: $(READY) ## replay orders in the Online Retail CSV format: FILE=path [SHUFFLE=1 or REDEEM=1] [SEED=1]
	@test -n "$(FILE)" || { echo "Which file? make replay FILE=orders.csv.gz" >&2; exit 2; }
	@$(LOCAL) start
	@$(LOCAL) exec $(abspath $(RUN)) -m deploy.shop replay --file "$(FILE)" $(if $(SHUFFLE),--shuffle $(or $(SEED),1)) $(if $(REDEEM),--redeem $(or $(SEED),1))

publish: $(READY) ## publish another version of the loyalty program: FILE=program.yaml
	@test -n "$(FILE)" || { echo "Which file? make publish FILE=program.yaml" >&2; exit 2; }
	@$(LOCAL) service ledger publish "$(abspath $(FILE))"

verify: $(READY) ## check the books: balances from entries, chains of hashes, and what each service holds
	@$(LOCAL) service ledger verify
	@mkdir -p build
	@$(LOCAL) service ledger timelines > build/timelines
	@$(LOCAL) service tiering verify --told build/timelines
	@$(LOCAL) service notifier verify

# --- its code

test: $(READY) ## all tests on all cores, against a real PostgreSQL and Kafka of their own: [ARGS="-k refund"]
	@$(RUN) -m pytest -n auto --durations=20 $(ARGS)

check: $(READY) ## lint, format, types, dependency rules, contracts
	@$(VENV)/bin/ruff check
	@$(VENV)/bin/ruff format --check
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports --no-logo
	@$(RUN) -m schemas check
	@$(RUN) -m schemas compat
	@$(RUN) -m schemas lint deploy/program.yaml

format: $(READY) ## put the code into its form
	@$(VENV)/bin/ruff format
	@$(VENV)/bin/ruff check --fix

bench: $(READY) ## measure throughput and latency; writes build/bench.json: [ARGS="--quick"]
	@$(RUN) -m tests.bench $(ARGS)

simulate: $(READY) ## a million drawn inputs, crashes between any two store calls: [ARGS="--seed 7" or "--postgres"]
	@$(RUN) -m tests.simulation $(ARGS)

schemas: $(READY) ## write the generated contracts anew
	@$(RUN) -m schemas generate

# --- the environment

# The packages are pinned with their hashes; they are installed again when the list of them changes.
$(READY): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "Python 3.11 or newer is needed: install python3 (Debian: python3 python3-venv; macOS: brew install python) or say make PYTHON=python3.12." >&2; exit 1; }
	@test -x $(VENV)/bin/pip || $(PYTHON) -m venv $(VENV) || \
		{ echo "Python's venv module is missing: install python3-venv (Debian, Ubuntu: sudo apt-get install python3-venv)." >&2; rm -rf $(VENV); exit 1; }
	@echo "installing the pinned packages into $(VENV)"
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r requirements/dev.txt
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# The commands of daily work; `make help` lists them. Each does its own set-up, and everything generated is in .cache/.
# INVENTORY=inventories/dev chooses another environment, ARGS="-e version=1.0.0" is handed to ansible-playbook or pytest.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

INVENTORY ?= inventories/local
ARGS ?=
SCENARIO ?=
STAGES ?=
SECONDS ?= 60

# Only the local environment has hosts to start and artifacts to build here.
LOCAL := $(filter inventories/local,$(INVENTORY))
VENV := $(CURDIR)/.cache/venv
# A calling shell's Python or Ansible settings must not reach the locked environment.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV ANSIBLE_COLLECTIONS_PATH ANSIBLE_ROLES_PATH ANSIBLE_INVENTORY
export PATH := $(VENV)/bin:$(PATH)
# What hypothesis keeps between runs.
export HYPOTHESIS_STORAGE_DIRECTORY := $(CURDIR)/.cache/hypothesis
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg

PLAYBOOK := ansible-playbook --inventory $(INVENTORY)
# The longest first: the others find room beside them.
CHECKS := check-unit check-sanity check-rules check-lint check-ruff check-yamllint check-changelog check-mypy check-collection

##@ Daily work
.PHONY: deploy
deploy: setup $(if $(LOCAL),artifacts up) ## Start the local hosts if need be and bring the environment to what the inventory says
	@echo "==> Deploying to $(INVENTORY)"
	@$(PLAYBOOK) $(ARGS) plano.delivery.deploy

.PHONY: rollback
rollback: setup ## Go back to the last confirmed release (ARGS="-e version=1.0.0" names another)
	@$(PLAYBOOK) $(ARGS) plano.delivery.rollback

.PHONY: status
status: setup ## Show what runs where
	@$(PLAYBOOK) $(ARGS) plano.delivery.status

.PHONY: inbox
inbox: setup ## Show the alerts of the local environment as they come, until Ctrl-C
	@$(VENV)/bin/python tests/integration/inbox.py

.PHONY: down
down: setup ## Remove the local hosts and every trace of them
	@echo "==> Removing the local hosts"
	@ansible-playbook --inventory inventories/local molecule/shared/destroy.yml

.PHONY: demo
demo: deploy ## Client data: imports that pass, are held and are taken back, an undo, a restore
	@tools/demo

##@ Its parts
.PHONY: setup
setup: ## Install what the machine lacks, into .cache where possible
	@tools/setup

.PHONY: artifacts
artifacts: setup ## Build and sign what the local and test hosts install
	@tools/artifacts

.PHONY: images
images: setup ## Build the images of the local and test hosts
	@printf '%s\n' bookworm trixie | xargs --max-procs=2 --replace tools/host_image {} >/dev/null

.PHONY: up
up: setup ## Start the local hosts
	@tools/host_image trixie >/dev/null
	@echo "==> Starting the local hosts"
	@ansible-playbook --inventory inventories/local molecule/shared/create.yml

.PHONY: clean
clean: ## Remove all hosts, their images and .cache
	@if [[ -x $(VENV)/bin/ansible-playbook ]]; then \
	  for inventory in inventories/local molecule/shared/monitoring tests/faults/inventory tests/aws/flow_hosts; do \
	    ansible-playbook --inventory $$inventory molecule/shared/destroy.yml; \
	  done; \
	  tools/data_tests --remove; tools/host_image --remove; tools/podman --release; \
	fi
	@rm -rf .cache plano-delivery-*.tar.gz

##@ Quality
.PHONY: test
test: setup ## Everything: checks, real hosts of every supported system, the README's commands (STAGES="check molecule": these)
	@$(VENV)/bin/python tools/run_tests.py $(STAGES)

.PHONY: check
check: setup ## Lint, types, sanity, unit tests and the built collection (no hosts)
	@$(MAKE) --jobs=$$(nproc) --keep-going --output-sync=target $(CHECKS)

.PHONY: molecule
molecule: setup artifacts images ## Scenarios on Debian 12 and 13 (SCENARIO=backend runs one)
	@tools/molecule test $(if $(SCENARIO),--scenario-name $(SCENARIO),--all) $(ARGS)

.PHONY: integration
integration: setup artifacts ## The README's commands, as written
	@pytest --junitxml=.cache/junit/integration.xml tests/integration $(ARGS)

.PHONY: faults
faults: setup artifacts images ## Kill, cut, fill and damage real hosts in the midst of changes; 60 random interruptions
	@pytest --junitxml=.cache/junit/faults.xml --durations=5 tests/faults $(ARGS)

.PHONY: faults-long
faults-long: setup artifacts images ## 1000 random interruptions, more than an hour (PLANO_INTERRUPTS=N another number, PLANO_SEED=N others)
	@PLANO_INTERRUPTS=$${PLANO_INTERRUPTS:-1000} pytest -s --junitxml=.cache/junit/faults-long.xml tests/faults/test_4_interrupts.py $(ARGS)

.PHONY: load
load: setup artifacts up ## Deploys, rollbacks, HAProxy's reload and upgrade under load: no request fails
	@pytest --junitxml=.cache/junit/load.xml tests/load --inventory=$(INVENTORY) $(ARGS)

.PHONY: load-long
load-long: setup artifacts up ## The same with 20 deploys and 20 rollbacks, about 20 minutes
	@pytest --junitxml=.cache/junit/load-long.xml tests/load --inventory=$(INVENTORY) --long $(ARGS)

.PHONY: crash
crash: setup ## Every state a power failure may leave is old or new (ARGS=--all-states looks at many more)
	@pytest --junitxml=.cache/junit/crash.xml tests/crash $(ARGS)

.PHONY: programs
programs: setup artifacts ## Prometheus and Alertmanager of every version take up what the roles make, and prove it or refuse it
	@pytest --junitxml=.cache/junit/programs.xml tests/programs $(ARGS)

.PHONY: cloudwatch
cloudwatch: setup artifacts ## The real CloudWatch exporter against a local CloudWatch (ARGS=--record writes its exposition)
	@pytest --junitxml=.cache/junit/cloudwatch.xml tests/cloudwatch $(ARGS)

.PHONY: data
data: setup images ## Client data on real servers, PostgreSQL 15 and 17: the action log, undo, checkpoints, imports
	@tools/data_tests bookworm $(ARGS)
	@tools/data_tests trixie $(ARGS)

.PHONY: rds
rds: setup images ## Databases and roles on a managed PostgreSQL 15 and 17, a real server in place of RDS
	@tools/data_tests bookworm rds $(ARGS)
	@tools/data_tests trixie rds $(ARGS)

.PHONY: aws
aws: setup artifacts images ## What talks to AWS, with moto in its place, and a whole environment on real hosts
	@$(MAKE) --jobs=2 --keep-going --output-sync=target aws-api aws-flow

# The flow mostly waits for its hosts, so that the others find room beside it.
.PHONY: aws-api
aws-api: setup artifacts
	@pytest --junitxml=.cache/junit/aws.xml --ignore=tests/aws/test_flow.py tests/aws $(ARGS)

.PHONY: aws-flow
aws-flow: setup artifacts images
	@pytest --junitxml=.cache/junit/aws-flow.xml tests/aws/test_flow.py $(ARGS)

.PHONY: cloudwatch-tables
cloudwatch-tables: setup ## The tables of docs/cloudwatch.md: what a month costs, metrics, IAM policy
	@PYTHONPATH=.cache/collections $(VENV)/bin/python tests/cloudwatch/costs.py

.PHONY: fuzz
fuzz: setup ## Feed random hostile archives to the archive checker (SECONDS=600, ARGS="--seed 7")
	@$(VENV)/bin/python tests/fuzz/fuzz_archive.py --seconds $(SECONDS) $(ARGS)

.PHONY: bench
bench: setup artifacts up ## Measure deploy and rollback
	@$(VENV)/bin/python tests/bench/bench.py $(ARGS)

.PHONY: bench-fleet
bench-fleet: setup artifacts images ## Measure what 1, 4, 16 and 48 hosts cost the controller (ARGS="--hosts 1,4")
	@$(VENV)/bin/python tests/bench/fleet.py $(ARGS)

.PHONY: bench-monitoring
bench-monitoring: setup artifacts images ## Measure monitoring: first converge, nothing to do, one rule more (ARGS="--prometheus PATH": a peer beside)
	@$(VENV)/bin/python tests/bench/monitoring.py $(ARGS)

.PHONY: bench-artifact
bench-artifact: setup ## Measure how an artifact of 50 MB comes to the store
	@PYTHONPATH=.cache/collections $(VENV)/bin/python tests/bench/artifact.py $(ARGS)

.PHONY: bench-data-import
bench-data-import: setup ## Measure a guarded import of 1M rows with 10 rules beside a bare COPY
	@PYTHONPATH=.cache/collections $(VENV)/bin/python tests/bench/data_import.py $(ARGS)

.PHONY: dashboards
dashboards: setup ## Write Grafana's dashboards anew from tools/dashboards
	@PYTHONPATH=tools $(VENV)/bin/python -m dashboards

.PHONY: lock
lock: setup ## Write requirements.txt anew from requirements.in
	@tools/lock

.PHONY: check-ruff
check-ruff: setup
	@tools/stage "ruff" bash -c "ruff check --quiet . && ruff format --quiet --check ."

.PHONY: check-yamllint
check-yamllint: setup
	@tools/stage "yamllint" yamllint --strict .

.PHONY: check-changelog
check-changelog: setup
	@tools/stage "antsibull-changelog" antsibull-changelog lint

.PHONY: check-mypy
check-mypy: setup
	@tools/stage "mypy" mypy

.PHONY: check-lint
check-lint: setup
	@tools/stage "ansible-lint" ansible-lint --offline --profile production -q

.PHONY: check-sanity
check-sanity: setup
	@tools/stage "ansible-test sanity" tools/sanity

.PHONY: check-unit
check-unit: setup
	@tools/stage "unit tests" tools/check_unit

.PHONY: check-rules
check-rules: setup artifacts
	@tools/stage "recording rules and alerts" pytest --quiet --junitxml=.cache/junit/unit-rules.xml tests/rules

.PHONY: check-collection
check-collection: setup
	@tools/stage "collection tarball" tools/check_tarball

.PHONY: help
help: ## Show this list
	@awk 'BEGIN { FS = ":.*## " } /^##@/ { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

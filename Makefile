# The two commands of the README, and what goes with them. Each script says what it does and what is missing.
.PHONY: demo demo-down test test-all bench check fmt reference

demo: ## A cluster with a real CRM in it, left running
	@tests/demo/up

demo-down: ## Takes the demo away
	@tests/demo/down

test: ## Every layer of tests, the real CRM included
	@tests/run

test-all: ## The same with a fault at every call, more orders of the model, and the checks that take minutes
	@TENANTRY_TEST_ALL=1 TENANTRY_MODEL_SWITCHES=3 TENANTRY_FAULTS_EVERY=1 TENANTRY_BUDGET_FAULTS=5400 TENANTRY_BUDGET_E2E=3600 tests/run

# What follows `bench` on the command line are names of figures.
ifeq (bench,$(firstword $(MAKECMDGOALS)))
FIGURES := $(wordlist 2,$(words $(MAKECMDGOALS)),$(MAKECMDGOALS))
$(eval $(FIGURES):;@:)
$(eval .PHONY: $(FIGURES))
endif

bench: ## Figures beside the bare way: all, or those that are named
	@tests/bench/run $(FIGURES)

check: ## Format and lints
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings

fmt:
	cargo fmt --all

reference: ## Generates manifests, chart and reference pages from code
	@tests/generate

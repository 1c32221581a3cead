# The two commands of the README, and what goes with them. Each script says what it does and what is missing.
.PHONY: demo demo-down test check fmt reference

demo: ## A cluster with a real CRM in it, left running
	@tests/demo/up

demo-down: ## Takes the demo away
	@tests/demo/down

test: ## Every layer of tests, the real CRM included
	@tests/run

check: ## Format and lints
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings

fmt:
	cargo fmt --all

reference: ## Generates manifests, chart and reference pages from code
	@tests/generate

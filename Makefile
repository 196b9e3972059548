# The few commands a person types.

CARGO := cargo

.PHONY: test
test: ## every test there is
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	$(CARGO) test --workspace --locked

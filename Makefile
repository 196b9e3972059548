# The few commands a person types. `make help` lists them.

TARGET := $(shell rustc -vV 2>/dev/null | sed -n 's/^host: //p')
BINARY := target/$(TARGET)/release/skep
LAB    := tests/lab/lab
CARGO  := cargo

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

.PHONY: prepare
prepare: ## install what is missing (Debian, as root; says what is missing otherwise)
	@tests/prepare

# Static: the image holds nothing else. docker/rustflags says the rest.
.PHONY: build
build: prepare ## the release program, statically linked
	RUSTFLAGS="$$(docker/rustflags)" $(CARGO) build --release --locked --bin skep --target $(TARGET)
	@! grep -aqF -e "$(CURDIR)/" -e "$${CARGO_HOME:-$$HOME/.cargo}/" $(BINARY) || \
	  { echo "$(BINARY) has paths of this machine; see docker/rustflags" >&2; exit 1; }
	@ls -l $(BINARY)

.PHONY: package
package: build ## the Debian package, in target/package; tests/package/run tries one out
	@packaging/debian/build $(BINARY) $$(dpkg --print-architecture) target/package

.PHONY: demo
demo: build ## a three-node Swarm on this machine, with skep on it, in use
	@SKEP=$(abspath $(BINARY)) tests/lab/demo up

.PHONY: demo-down
demo-down: ## take the demo away again
	@tests/lab/demo down

.PHONY: test
test: prepare ## every test there is: unit, property, in-process and lab
	@CARGO=$(CARGO) SKEP=$(abspath $(BINARY)) tests/run

.PHONY: lint
lint: ## rustfmt, clippy, and what the dependencies may be
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	@tests/deny

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZ_SECONDS (60) each; on stable Rust
	@nice filters/fuzz/run

.PHONY: differential
differential: ## generated requests, read by skep and by Go; DIFFERENTIAL_CASES, DIFFERENTIAL_SEED
	@seed=$${DIFFERENTIAL_SEED:-$$(date +%s)}; echo "DIFFERENTIAL_SEED=$$seed"; \
	DIFFERENTIAL_SEED=$$seed DIFFERENTIAL_CASES=$${DIFFERENTIAL_CASES:-200000} \
	$(CARGO) test --locked -p skep-filters --lib differential

.PHONY: bench
bench: build ## HAProxy and skep in turn before the same engine; ratios
	@SKEP=$(abspath $(BINARY)) benches/run

.PHONY: conformance
conformance: build ## other people's test suites, directly and through skep, compared
	@SKEP=$(abspath $(BINARY)) tests/conformance/run

.PHONY: clients
clients: build ## stock clients, directly and through every agent of a Swarm, compared step by step
	@tests/clients/prepare all
	SKEP_LAB=1 SKEP_CLIENTS=all SKEP=$(abspath $(BINARY)) $(CARGO) test --locked -p skep --test lab clients::

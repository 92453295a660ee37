#!/usr/bin/env bash
# The fuzz targets, with a stable compiler: scripts/fuzz.sh build | run SECONDS [TARGET...]   (make fuzz-build, make fuzz)
#
# A run begins with fuzz/seeds/, keeps what it learns outside the checkout, and leaves an input that breaks something in fuzz/artifacts/.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/setup.sh
. scripts/setup.sh

# What libFuzzer needs to see where an input leads: LLVM's own counters, no sanitizer. The target is named so that build scripts, which
# run without libFuzzer, are compiled without them.
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares"
host=$(rustc -vV | sed -n 's/^host: //p')
folder=$CARGO_TARGET_DIR/fuzz

build() { cargo build --locked --manifest-path fuzz/Cargo.toml --target-dir "$folder" --target "$host" --bins; }

run() { # SECONDS [TARGET...]
    local seconds=$1 target
    shift
    [ $# -gt 0 ] || set -- $(cd fuzz/seeds && ls)
    for target; do
        printf '\n=== %s, %d s\n' "$target" "$seconds"
        mkdir -p "$folder/corpus/$target" "fuzz/artifacts/$target"
        "$folder/$host/debug/$target" "$folder/corpus/$target" "fuzz/seeds/$target" -artifact_prefix="fuzz/artifacts/$target/" \
            -max_total_time="$seconds" -timeout=25 -rss_limit_mb=2048 -verbosity=0 -print_final_stats=1
    done
}

case "${1:-}" in
    build) build ;;
    run)
        build
        shift
        run "${1:?usage: scripts/fuzz.sh run SECONDS [TARGET...]}" "${@:2}"
        ;;
    *)
        echo "usage: scripts/fuzz.sh build | run SECONDS [TARGET...]" >&2
        exit 2
        ;;
esac

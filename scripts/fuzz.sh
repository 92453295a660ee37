#!/usr/bin/env bash
# The fuzz targets, with a stable compiler: scripts/fuzz.sh build | run SECONDS [TARGET...] | minimise [TARGET...]   (make fuzz-build, make fuzz)
#
# A run begins with fuzz/seeds/, what the program itself writes, and fuzz/minimised/, the fewest small inputs that reach what earlier runs reached. It
# keeps what it learns outside the checkout, and leaves an input that breaks something in fuzz/artifacts/. minimise makes fuzz/minimised/ anew of that.
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
        mkdir -p "$folder/corpus/$target" "fuzz/artifacts/$target" "fuzz/minimised/$target"
        "$folder/$host/debug/$target" "$folder/corpus/$target" "fuzz/seeds/$target" "fuzz/minimised/$target" -artifact_prefix="fuzz/artifacts/$target/" \
            -max_total_time="$seconds" -timeout=25 -rss_limit_mb=2048 -verbosity=0 -print_final_stats=1
    done
}

# Larger inputs, and more of them, would only make the repository larger.
MOST_BYTES=512 MOST_FILES=40

minimise() { # [TARGET...]
    local target kept
    [ $# -gt 0 ] || set -- $(cd fuzz/seeds && ls)
    for target; do
        kept=$(mktemp -d)
        find "$folder/corpus/$target" -type f -size -$((MOST_BYTES + 1))c -exec cp -t "$kept" {} +
        rm -rf "fuzz/minimised/$target"
        mkdir -p "fuzz/minimised/$target"
        "$folder/$host/debug/$target" -set_cover_merge=1 -timeout=25 -rss_limit_mb=2048 "fuzz/minimised/$target" "fuzz/seeds/$target" "$kept" >/dev/null 2>&1
        # What the seeds hold already is there, and the smallest inputs say most for their size.
        for file in "fuzz/minimised/$target"/*; do
            for seed in "fuzz/seeds/$target"/*; do if cmp -s "$file" "$seed"; then rm -f "$file"; fi; done
        done
        find "fuzz/minimised/$target" -type f -printf '%s %p\n' | sort -n | tail -n +$((MOST_FILES + 1)) | cut -d' ' -f2 | xargs -r rm -f
        rm -rf "$kept"
        printf '%s: %d inputs\n' "$target" "$(find "fuzz/minimised/$target" -type f | wc -l)"
    done
}

case "${1:-}" in
    build) build ;;
    run)
        build
        shift
        run "${1:?usage: scripts/fuzz.sh run SECONDS [TARGET...]}" "${@:2}"
        ;;
    minimise)
        build
        minimise "${@:2}"
        ;;
    *)
        echo "usage: scripts/fuzz.sh build | run SECONDS [TARGET...] | minimise [TARGET...]" >&2
        exit 2
        ;;
esac

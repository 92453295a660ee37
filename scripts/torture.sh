#!/usr/bin/env bash
# The long run, in steps: kills, power cuts, the full sweeps, orders of GC and pruning, an hour for each fuzz target.
#
#   scripts/torture.sh [--anew]       (make torture)
#
# What a step did is noted in $CARGO_TARGET_DIR/torture, outside the checkout: who interrupts it loses one step, and who calls it again
# goes on; --anew begins again, and keeps what was noted beside. After each step the table in docs/reliability.md says what ran
# so far and what it found. A step that fails is noted, its log kept, and the others go on; the status is 1 then.
#
# How much there is to do can be set in the environment, for a short try of all of it: KILLS=10 CUTS=5 SWEEPS=0 STORE_ORDERS=100
# FARM_ORDERS=10 FUZZ_SECONDS=2 TARGETS="tree commit" scripts/torture.sh
set -euo pipefail
cd "$(dirname "$0")/.."
need="build disks"
# shellcheck source=scripts/setup.sh
. scripts/setup.sh

KILLS=${KILLS:-1000} CUTS=${CUTS:-300} SWEEPS=${SWEEPS:-1} STORE_ORDERS=${STORE_ORDERS:-10000} FARM_ORDERS=${FARM_ORDERS:-1000}
FUZZ_SECONDS=${FUZZ_SECONDS:-3600}
TARGETS=${TARGETS:-$(sed -n '/^\[\[bin\]\]/,/^name/s/^name = "\(.*\)"/\1/p' fuzz/Cargo.toml)}

state=$CARGO_TARGET_DIR/torture
page=docs/reliability.md
failed=0

if [ "${1:-}" = --anew ] && [ -d "$state" ]; then
    mv "$state" "$state.$(date -u +%Y%m%dT%H%M%S)"
elif [ $# -gt 0 ] && [ "$1" != --anew ]; then
    echo "usage: scripts/torture.sh [--anew]" >&2
    exit 2
fi
mkdir -p "$state/logs"
# One line a step: part, how much was to be done, how much was, what came of it, day, commit, and sums as KEY=NUMBER.
notes=$state/steps.tsv
touch "$notes"

# ---- what was done ----

done_of() { awk -F '\t' -v part="$1" '$1 == part { sum += $2 } END { print sum + 0 }' "$notes"; }
steps_of() { awk -F '\t' -v part="$1" '$1 == part { n++ } END { print n + 0 }' "$notes"; }
commit_now() { printf '%s%s' "$(git rev-parse --short HEAD)" "$(git diff --quiet HEAD -- src tests fuzz scripts Cargo.lock || echo ' and changes')"; }

# The table, from all that was noted. A part of which nothing ran has no line.
table() {
    awk -F '\t' '
        function label(part) {
            if (part in labels) return labels[part]
            sub(/^fuzz-/, "", part)
            return "fuzz target `" part "`"
        }
        BEGIN {
            labels["kills"] = "`kill -9` of real processes"; labels["cuts"] = "power cuts"; labels["sweep"] = "full sweeps, a cut and a failure at each call"
            labels["store"] = "orders of GC"; labels["farm"] = "orders of pruning"
        }
        !($1 in seen) { seen[$1] = 1; order[++parts] = $1 }
        {
            planned[$1] += $2; made[$1] += $3; last[$1] = $5
            if (!(($1, $6) in known)) { known[$1, $6] = 1; commits[$1] = commits[$1] (commits[$1] == "" ? "" : ", ") $6 }
            if ($4 ~ /^FAILED/) { found[$1] = found[$1] (found[$1] == "" ? "" : ", ") substr($4, 8) }
            if ($4 == "skipped") skipped[$1] = 1
            count = split($7, sums, " ")
            for (at = 1; at <= count; at++) {
                split(sums[at], pair, "=")
                if (!(($1, pair[1]) in sum)) keys[$1] = keys[$1] " " pair[1]
                sum[$1, pair[1]] += pair[2]
            }
        }
        END {
            print "| what | how often | found | last | on commit |"
            print "| --- | --- | --- | --- | --- |"
            for (at = 1; at <= parts; at++) {
                part = order[at]
                unit = part ~ /^fuzz-/ ? " s" : ""
                often = made[part] unit
                if (made[part] != planned[part]) often = often " of " planned[part] unit " tried"
                count = split(keys[part], names, " ")
                for (key = 1; key <= count; key++) {
                    name = names[key]; gsub("-", " ", name)
                    often = often (key == 1 ? ": " : ", ") sum[part, names[key]] " " name
                }
                result = found[part] == "" ? "nothing" : "failed: " found[part]
                if (skipped[part]) result = result "; skipped in part, for want of root or a file system"
                print "| " label(part) " | " often " | " result " | " last[part] " | " commits[part] " |"
            }
        }' "$notes"
}

publish() {
    table >"$state/table.md"
    awk -v table="$state/table.md" '
        /<!-- the long run begins/ { print; print ""; while ((getline line < table) > 0) print line; print ""; skip = 1; next }
        /<!-- the long run ends/ { skip = 0 }
        !skip' "$page" >"$state/page.md"
    cmp -s "$state/page.md" "$page" || cat "$state/page.md" >"$page"
}

# ---- steps ----

# The numbers of a log, as KEY=NUMBER: what the tests and libFuzzer print. The first one is how much was done.
sums() { # PART LOG
    awk -v part="$1" '
        /^torture: kills / { made += $3; sum["with-a-flush-owed"] += $4; for (i = 1; i < NF; i++) if ($(i + 1) == "commits") sum["commits-acknowledged"] += $i
                             else if ($(i + 1) == "catalogs") sum["catalogs-whole"] += $i }
        /^torture: cuts / { gsub(",", ""); made += $3; sum["on-" $5] += $3; sum["commits-acknowledged"] += $6 }
        / distinct states tried in / { for (i = 2; i <= NF; i++) { if ($(i) == "operations,") sum["calls-cut-after"] += $(i - 1); if ($(i) == "of" && $(i + 2) == "distinct") sum["states"] += $(i - 1) } }
        / faults, .* failed it/ { for (i = 2; i <= NF; i++) if ($(i) == "faults,") sum["faults"] += $(i - 1) }
        / orders of .* steps: / { made += $1; for (i = 6; i < NF; i += 2) { name = $(i + 1); gsub(",", "", name); if (name == "generations") name = "generations-pruned"; sum[name] += $i } }
        /stat::number_of_executed_units:/ { sum["inputs"] += $2 }
        /^test result: ok/ && part == "sweep" { made = 1 }
        END { printf "%d", made; for (key in sum) printf " %s=%d", key, sum[key] }' "$2"
}

step() { # PART HOW-MUCH LIMIT-SECONDS COMMAND...
    local part=$1 planned=$2 limit=$3 name status=0 outcome=ok made more
    shift 3
    name=$part-$(($(steps_of "$part") + 1))
    printf '%s  %s: %s ... ' "$(date -u +%H:%M:%S)" "$name" "$planned"
    timeout -k 30 "$limit" "$@" >"$state/logs/$name.log" 2>&1 </dev/null || status=$?
    # Somebody pressed ^C: nothing is noted.
    if [ "$status" = 130 ]; then exit 130; fi
    read -r made more <<<"$(sums "$part" "$state/logs/$name.log")"
    case $part in fuzz-*) made=$planned ;; esac
    if [ "$status" != 0 ]; then
        outcome="FAILED $name" made=0 failed=1
    elif [ "$made" != "$planned" ] && grep -q '^skipped' "$state/logs/$name.log"; then
        outcome=skipped
    elif [ "$made" = 0 ] && [ "$planned" != 0 ]; then
        # Nothing ran, and nobody says why: the test has another name by now, perhaps.
        outcome="FAILED $name" failed=1
    fi
    printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$part" "$planned" "$made" "$outcome" "$(date -u +%F)" "$(commit_now)" "$more" >>"$notes"
    echo "$outcome${more:+ ($more)}"
    [ "${outcome#FAILED}" = "$outcome" ] || echo "  see $state/logs/$name.log"
    publish
}

in_steps() { # PART ALL EACH LIMIT-SECONDS VARIABLE SEEDS-A-UNIT COMMAND...
    local part=$1 all=$2 each=$3 limit=$4 variable=$5 seeds=$6 left
    shift 6
    while left=$((all - $(done_of "$part"))) && [ "$left" -gt 0 ]; do
        [ "$left" -le "$each" ] || left=$each
        # Other numbers in each step.
        export SCENESHIFT_SEED=$((seeds == 0 ? $(steps_of "$part") + 100 : $(done_of "$part") * seeds + 1))
        step "$part" "$left" "$limit" env "$variable=$left" "$@"
    done
}

# ---- the parts ----

test_it=(cargo test --locked --test it --)
test_lib=(cargo test --locked --lib --)

echo "building"
cargo test --locked --test it --lib --no-run --quiet

in_steps kills "$KILLS" 50 1800 SCENESHIFT_KILLS 0 "${test_it[@]}" --nocapture torture::kills
in_steps cuts "$CUTS" 20 1800 SCENESHIFT_CUTS 0 "${test_it[@]}" --nocapture torture::cuts
unset SCENESHIFT_SEED
while [ "$(done_of sweep)" -lt "$SWEEPS" ]; do
    step sweep 1 14400 env SCENESHIFT_SWEEP=full "${test_lib[@]}" --nocapture fsck::tests::crash fsck::tests::faults
done
in_steps store "$STORE_ORDERS" 500 7200 SCENESHIFT_INTERLEAVINGS 1 "${test_lib[@]}" --nocapture store::tests::interleaved
in_steps farm "$FARM_ORDERS" 50 7200 SCENESHIFT_INTERLEAVINGS 1 "${test_lib[@]}" --nocapture farm::tests::interleaved
unset SCENESHIFT_SEED
if [ "$FUZZ_SECONDS" -gt 0 ]; then
    scripts/fuzz.sh build >"$state/logs/fuzz-build.log" 2>&1 || { echo "the fuzz targets cannot be built; see $state/logs/fuzz-build.log" >&2; exit 1; }
    for target in $TARGETS; do
        while left=$((FUZZ_SECONDS - $(done_of "fuzz-$target"))) && [ "$left" -gt 0 ]; do
            [ "$left" -le 600 ] || left=600
            step "fuzz-$target" "$left" $((left + 600)) scripts/fuzz.sh run "$left" "$target"
        done
    done
fi

publish
echo "all of it is done; the table stands in $page, the logs in $state/logs"
if awk -F '\t' '$4 ~ /^FAILED/ { found = 1 } END { exit !found }' "$notes"; then failed=1; fi
exit "$failed"

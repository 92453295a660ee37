#!/usr/bin/env bash
# Where the time goes, path by path: perf watches a primary and a client do their work on a large staging tree, and the tables in
# docs/performance.md are written anew.
#
#   scripts/profile.sh PROGRAM        (make profile builds the program, optimised, and calls this)
#
# Everything lies on a fresh ext4 file system in memory, where it may be mounted (root), else in a temporary folder. In the environment:
# ENVIRONMENTS=16, how many hold Debian's modules; ROUNDS=50, how often short paths are gone; MODULES, a folder of other modules; KEEP=1, to keep
# what perf recorded; PAGE, a file to write in place of the page.
set -euo pipefail
program=$(readlink -f "${1:?usage: scripts/profile.sh PROGRAM}")
cd "$(dirname "$0")/.."
page=${PAGE:-docs/performance.md} environments=${ENVIRONMENTS:-16} rounds=${ROUNDS:-50}
modules=${MODULES:-/usr/share/puppet/modules.available}
# Samples a second and CPU.
frequency=1999

[ -d "$modules" ] || { echo "profile: $modules is missing; install Debian's puppet-module-* packages, or set MODULES" >&2; exit 1; }
command -v perf >/dev/null || { echo "profile: perf is missing (Debian: linux-perf)" >&2; exit 1; }
perf record -q -e cpu-clock -o /dev/null true >/dev/null 2>&1 || { echo "profile: perf may not record here (/proc/sys/kernel/perf_event_paranoid, or no privilege)" >&2; exit 1; }

work=$(mktemp -d "${TMPDIR:-/tmp}/sceneshift-profile.XXXXXX")
image=/dev/shm/${work##*/}.ext4
disk=$work/disk
pids=()

cleanup() {
    local status=$? pid
    trap - EXIT
    for pid in "${pids[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
    if mountpoint -q "$disk"; then umount "$disk" || umount -l "$disk"; fi
    rm -f "$image"
    if [ "${KEEP:-0}" = 1 ]; then echo "kept: $work" >&2; else rm -rf "$work"; fi
    exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

say() { echo "profile: $*" >&2; }
now() { date +%s%N; }
fail() { say "FAILED: $*"; tail -n 5 "$work"/*.log >&2; exit 1; }

await() { # SECONDS WHAT COMMAND...
    local deadline=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$deadline" ] || fail "$what did not come in time"
        sleep 0.02
    done
}

# ---- the stage ----

mkdir "$disk"
if [ "$(id -u)" = 0 ] && command -v mkfs.ext4 >/dev/null && truncate -s 6G "$image" &&
    mkfs.ext4 -q -N 600000 -E lazy_itable_init=0,lazy_journal_init=0 "$image" && mount -o loop "$image" "$disk" 2>/dev/null; then
    medium="ext4 in memory"
else
    rm -f "$image"
    medium=$(stat -f -c %T "$disk")
fi

# Each environment holds all modules, and one manifest in fifty is its own.
say "$environments environments of $modules, on $medium"
staging=$disk/staging
for ((at = 0; at < environments; at++)); do
    name=env_$(printf %03d "$at")
    mkdir -p "$staging/environments/$name/manifests"
    cp -rL --no-preserve=mode "$modules" "$staging/environments/$name/modules"
    echo "node default { notify { 'hello from $name': } }" >"$staging/environments/$name/manifests/site.pp"
    find "$staging/environments/$name/modules" -name '*.pp' | LC_ALL=C sort | awk -v k=$((at % 50)) 'NR % 50 == k' |
        while IFS= read -r file; do echo "# $name" >>"$file"; done
done
edited=$(find "$staging/environments/env_000/modules" -name '*.pp' -size +0 | LC_ALL=C sort | sed -n 1p)
sync -f "$disk"

cat >"$work/primary.toml" <<END
data-dir = "$disk/primary"
listen = "127.0.0.1:0"
[scrub]
per-day = "off"
[repos.puppet-code]
staging-dir = "$staging"
END

start() { # NAME ARGUMENT...: in the background, its log in NAME.log; waits until it listens
    local name=$1
    shift
    "$program" "$@" >"$work/$name.log" 2>&1 &
    pids+=($!)
    await 60 "$name" grep -q "listening on" "$work/$name.log"
}

# ---- watching ----

# What a path is called, how often it was gone, and how long that took, in nanoseconds.
note() { printf '%s\t%s\t%s\n' "$1" "$2" "$3" >>"$work/paths"; }

watch() { # FILE PID: perf begins, and is ready when this returns
    mkfifo "$work/control" "$work/ack"
    perf record -q -e cpu-clock -F $frequency -g -p "$2" -o "$work/$1.perf" -D -1 --control "fifo:$work/control,$work/ack" >>"$work/perf.log" 2>&1 &
    watcher=$!
    exec 8<>"$work/control" 9<>"$work/ack"
    echo enable >&8
    read -r -t 30 <&9 || fail "perf did not begin"
}

unwatch() {
    echo stop >&8
    wait "$watcher" || true
    exec 8>&- 9>&-
    rm -f "$work/control" "$work/ack"
}

along() { # PATH-NAME FILE PID ROUNDS COMMAND...
    local path=$1 file=$2 pid=$3 times=$4 began round spent=0
    shift 4
    say "$path, $times times"
    watch "$file" "$pid"
    for ((round = 0; round < times; round++)); do
        before_round
        began=$(now)
        "$@" >/dev/null || fail "$path"
        spent=$((spent + $(now) - began))
    done
    unwatch
    note "$path" "$times" "$spent" && echo "$file" >>"$work/files"
}

alone() { # PATH-NAME FILE ROUNDS COMMAND...: a program that ends by itself
    local path=$1 file=$2 times=$3
    shift 3
    say "$path, $times times"
    # Timed inside: perf takes a while to begin and to end. What the shell needs for it is left out of the sums.
    # shellcheck disable=SC2016 # the inner shell's
    perf record -q -e cpu-clock -F $frequency -g -o "$work/$file.perf" -- bash -c 'began=$(date +%s%N)
        for ((round = 0; round < $2; round++)); do "${@:3}" >/dev/null || exit; done
        echo $(($(date +%s%N) - began)) >"$1"' bash "$work/spent" "$times" "$@" >>"$work/perf.log" 2>&1 || fail "$path"
    note "$path" "$times" "$(cat "$work/spent")" && echo "$file" >>"$work/files"
}

nothing() { :; }
edit() {
    echo "# $((edits = ${edits:-0} + 1))" >>"$edited"
    # What is younger is waited for by a commit; that wait is not what is watched.
    sleep 0.03
}
edit_and_commit() {
    edit
    "$program" commit -r puppet-code -e env_000 >/dev/null
}

# ---- the play ----

start primary serve --config "$work/primary.toml"
primary=${pids[-1]}
SCENESHIFT_SERVER=http://$(sed -n 's/.*listening on \([0-9.:]*\).*/\1/p' "$work/primary.log" | head -n 1)
export SCENESHIFT_SERVER
cat >"$work/client.toml" <<END
data-dir = "$disk/client"
server = "$SCENESHIFT_SERVER"
name = "compile1"
listen = "127.0.0.1:0"
[scrub]
per-day = "off"
[repos.puppet-code]
END

before_round() { nothing; }
along "cold commit" cold "$primary" 1 "$program" commit -r puppet-code
along "commit, no change" same "$primary" $((rounds / 5 + 1)) "$program" commit -r puppet-code
before_round() { edit; }
along "commit, one file" edit "$primary" "$rounds" "$program" commit -r puppet-code -e env_000

before_round() { nothing; }
watch serving "$primary"
alone "first sync" first 1 "$program" client --once --config "$work/client.toml"
unwatch
note "first sync, primary" 1 "$(tail -n 1 "$work/paths" | cut -f3)" && echo serving >>"$work/files"

start client client --config "$work/client.toml"
client=${pids[-1]}
before_round() { edit_and_commit; }
along "sync, one file" sync "$client" "$rounds" "$program" sync --data-dir "$disk/client"

for pid in "$client" "$primary"; do
    kill -TERM "$pid"
    wait "$pid" || fail "a daemon did not end well"
done
pids=()
alone "fsck, client" fsck-client 5 "$program" fsck "$disk/client"
alone "fsck, primary" fsck-primary 5 "$program" fsck "$disk/primary"

# ---- telling ----

say "reading what perf recorded"
paste "$work/paths" "$work/files" >"$work/all"
while IFS=$'\t' read -r path times spent file; do
    perf script -i "$work/$file.perf" -F comm,ip,sym,dso --no-inline 2>/dev/null | awk -f scripts/profile.awk >"$work/$file.sums"
    awk -v path="$path" -v times="$times" -v spent="$spent" 'BEGIN { FS = OFS = "\t"; print path, "times", times; print path, "spent", spent } { print path, $0 }' "$work/$file.sums"
done <"$work/all" >"$work/sums"

{
    echo
    echo "Written by \`make profile\` on $(date -u +%F), at commit $(git rev-parse --short HEAD), on $(nproc) cores, kernel $(uname -r | sed 's/-.*//'): $environments environments of Debian's modules," \
        "$(find "$staging" -type f | wc -l) files, on $medium, the cache warm. perf took $frequency samples a second of the daemon's (fsck: the program's) time on a CPU; what the kernel does in threads of its own is not in it." \
        "The time in all holds the start of the command that asks, and waiting; that of a sync begins with the commit's answer, when the client knows already. On two CPUs it may be less than the CPU time."
    echo
    awk -v frequency=$frequency -f scripts/profile-table.awk "$work/sums"
    echo
} >"$work/table.md"

[ -e "$page" ] || printf '# Performance\n' >"$page"
grep -q '<!-- profile: begin -->' "$page" || printf '\n## Where the time goes\n\n<!-- profile: begin -->\n<!-- profile: end -->\n' >>"$page"
awk -v table="$work/table.md" '
    /<!-- profile: begin -->/ { print; while ((getline line < table) > 0) print line; skip = 1; next }
    /<!-- profile: end -->/ { skip = 0 }
    !skip' "$page" >"$work/page.md"
cat "$work/page.md" >"$page"
say "the tables stand in $page"

#!/usr/bin/env bash
# A primary and two clients on this machine, in a temporary folder: commit, deploy, edit, deploy again, damage, repair.
#
#   scripts/demo.sh PROGRAM        (make demo builds the program and calls this)
#
# Every wait is bounded. Whatever happens, what was started is stopped, by its process id, and the folder removed.
# KEEP=1 keeps the folder. MODULES names a folder of Puppet modules other than Debian's.
set -euo pipefail

program=$(readlink -f "${1:?usage: scripts/demo.sh PROGRAM}")
cd "$(dirname "$0")/.."
work=$(mktemp -d "${TMPDIR:-/tmp}/sceneshift-demo.XXXXXX")
modules=${MODULES:-/usr/share/puppet/modules.available}
pids=()
begun=$(date +%s%N)

# ---- telling ----

say() { printf '[%7.2f s] %s\n' "$(elapsed)" "$*"; }
more() { printf '            %s\n' "$@"; }
elapsed() { awk -v now="$(date +%s%N)" -v begun="$begun" 'BEGIN { print (now - begun) / 1e9 }'; }
fail() {
    printf 'demo: FAILED: %s\n' "$*" >&2
    for log in "$work"/*.log; do
        [ -s "$log" ] && { printf -- '--- the end of %s\n' "$(basename "$log")" && tail -n 15 "$log"; } >&2
    done
    exit 1
}

cleanup() {
    local status=$? pid tries
    trap - EXIT
    for pid in "${pids[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do
        for ((tries = 0; tries < 100; tries++)); do
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.1
        done
        kill -KILL "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    if [ "${KEEP:-0}" = 1 ]; then echo "kept: $work"; else rm -rf "$work"; fi
    exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# ---- doing ----

free_port() {
    local port
    for _ in $(seq 100); do
        port=$((RANDOM % 20000 + 20000))
        case " ${taken:-} " in *" $port "*) continue ;; esac
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo "$port"
            return
        fi
    done
    fail "no free port found"
}

start() { # NAME ARGUMENT...: in the background, its log in NAME.log
    local name=$1
    shift
    "$program" "$@" >"$work/$name.log" 2>&1 &
    pids+=($!)
}

await() { # SECONDS WHAT COMMAND...
    local deadline=$((SECONDS + $1)) what=$2 pid
    shift 2
    until "$@" >/dev/null 2>&1; do
        for pid in "${pids[@]}"; do kill -0 "$pid" 2>/dev/null || fail "a daemon ended while the demo waited for $what"; done
        [ "$SECONDS" -lt "$deadline" ] || fail "$what did not come in time"
        sleep 0.1
    done
}

# One field of a JSON document that has a field a line, as ours have: the first of that name.
field() { sed -n "s/^ *\"$1\": *\"\{0,1\}\([^\",]*\)\"\{0,1\},\{0,1\}\$/\1/p" | sed -n 1p; }
human() { awk -v n="$1" 'BEGIN { split("B KiB MiB GiB", u); i = 1; while (n >= 1024 && i < 4) { n /= 1024; i++ } printf(i == 1 ? "%d %s" : "%.1f %s", n, u[i]) }'; }
client_dir() { echo "$work/compile$1"; }
reported() { [ "$("$program" clients --json | grep -c '"name": "compile')" -ge 2 ]; }
same_as_staging() { diff -r "$work/staging" "$(client_dir "$1")/repos/puppet-code/current" >/dev/null; }

figures() { # of the last deploy of client N
    local status
    status=$("$program" status --data-dir "$(client_dir "$1")" --json)
    printf 'compile%d: %s and %d blobs received, %d trees and %d hard links made; fetch %.3f s, build %.3f s, paused %.4f s, in all %.3f s' "$1" \
        "$(human "$(field received-bytes <<<"$status")")" "$(field blobs <<<"$status")" "$(field trees-built <<<"$status")" "$(field linked <<<"$status")" \
        "$(field fetch-seconds <<<"$status")" "$(field build-seconds <<<"$status")" "$(field paused-seconds <<<"$status")" "$(field seconds <<<"$status")"
}

commit_and_deploy() { # MESSAGE
    local answer
    answer=$("$program" commit -m "$1" --author "demo" --json --wait 120s 2>"$work/wait") || {
        cat "$work/wait" >&2
        fail "the commit was not deployed everywhere"
    }
    say "committed #$(field sequence <<<"$answer"): $(field files <<<"$answer") files, $(human "$(field bytes <<<"$answer")");" \
        "+$(field added <<<"$answer") ~$(field modified <<<"$answer") -$(field removed <<<"$answer"), in $(printf %.3f "$(field seconds <<<"$answer")") s"
    more "$(cat "$work/wait")" "$(figures 1)" "$(figures 2)"
    for client in 1 2; do same_as_staging "$client" || fail "compile$client does not show what staging holds"; done
    more "both show, through current, exactly what staging holds (diff -r)"
}

fsck() { # EXPECTED-STATUS ARGUMENT...
    local expected=$1 status=0
    shift
    "$program" fsck "$@" >"$work/fsck" 2>&1 || status=$?
    sed 's/^/            | /' "$work/fsck"
    [ "$status" = "$expected" ] || fail "fsck $* ended with $status, not with $expected"
}

# ---- the stage ----

say "building a control repo with two environments in $work"
mkdir -p "$work/staging/environments"
if [ -d "$modules" ]; then
    for environment in production testing; do
        mkdir -p "$work/staging/environments/$environment/manifests"
        cp -rL --no-preserve=mode "$modules" "$work/staging/environments/$environment/modules"
        echo "node default { notify { 'hello from $environment': } }" >"$work/staging/environments/$environment/manifests/site.pp"
    done
    more "from Debian's Puppet modules"
else
    cp -r examples/control-repo/. "$work/staging"
    more "from examples/control-repo, which is small; install Debian's puppet-module-* packages for a real one"
fi

primary_port=$(free_port)
taken=$primary_port
export SCENESHIFT_SERVER=http://127.0.0.1:$primary_port
cat >"$work/primary.toml" <<END
data-dir = "$work/primary"
listen = "127.0.0.1:$primary_port"
[repos.puppet-code]
staging-dir = "$work/staging"
END
for client in 1 2; do
    port=$(free_port)
    taken="$taken $port"
    cat >"$work/compile$client.toml" <<END
data-dir = "$(client_dir $client)"
server = "$SCENESHIFT_SERVER"
name = "compile$client"
listen = "127.0.0.1:$port"
[repos.puppet-code]
END
done

start primary serve --config "$work/primary.toml"
await 30 "the primary" "$program" clients
say "the primary answers at $SCENESHIFT_SERVER"
for client in 1 2; do start "compile$client" client --config "$work/compile$client.toml"; done
await 30 "both clients" reported
say "two clients have reported"

# ---- the play ----

commit_and_deploy "the first commit"
current=$(client_dir 1)/repos/puppet-code/current
links=$(find -L "$current" -type f -links +1 | wc -l)
inodes=$(find -L "$current" -type f -printf '%i\n' | sort -u | wc -l)
more "compile1 shows $links files that are hard links, to $inodes distinct inodes; blobs and trees take $(cd "$(client_dir 1)" && du -shc blobs trees | tail -n 1 | cut -f1) on disk"

victim=$(cd "$work/staging" && find environments/production/modules -name '*.pp' -size +0 | sort | sed -n 1p)
echo "# edited by the demo" >>"$work/staging/$victim"
say "edited one file, $victim"
commit_and_deploy "one file changed"
"$program" diff | sed 's/^/            | /'

commit_again=$("$program" commit --json)
say "committed again: created $(field created <<<"$commit_again"), in $(printf %.3f "$(field seconds <<<"$commit_again")") s"

live=$current/$victim
say "flipping a bit in compile1's live tree, size and time stamp kept, as a bad disk does"
touch -r "$live" "$work/stamp"
chmod u+w "$live"
first=$(head -c 1 "$live" | od -An -tu1 | tr -d ' ')
# shellcheck disable=SC2059 # an octal escape is built
printf "\\$(printf %03o $((first ^ 1)))" | dd of="$live" bs=1 conv=notrunc status=none
chmod u-w "$live"
touch -r "$work/stamp" "$live"
same_as_staging 1 && fail "the damage did not take"

say "fsck finds it, while the client runs"
fsck 1 "$(client_dir 1)"
say "fsck --repair fetches it again and builds anew what held it"
fsck 0 --repair "$(client_dir 1)"
same_as_staging 1 || fail "compile1 does not show what staging holds after the repair"
more "compile1 shows again exactly what staging holds (diff -r)"
say "fsck once more, and on the primary"
fsck 0 "$(client_dir 1)"
fsck 0 "$work/primary"

say "the fleet"
"$program" clients | sed 's/^/            | /'
say "done"

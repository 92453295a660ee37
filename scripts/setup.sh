# Sourced by the Makefile, .ci/run and the scripts: what the build needs, and where it goes. Set `need` before, to
# words of these: "build" (the default), "modules" (Puppet modules, where they are of use), "puppet" (a Puppet Server, an
# agent and r10k, for the tests that need real ones), "disks" (what makes and breaks file systems, for the tests that need their own; without
# it, or without root, these are skipped and say so), "guards" (what counts system calls, for the tests that bound them; skipped likewise),
# "perf" (what watches where time goes, for profiles), "peers" (what `make bench-peers` measures beside us; one that is missing is left out, and named).
#
#   CARGO_TARGET_DIR   a folder outside the checkout, so that RocksDB (ten minutes of C++) survives `git clean`
#   CC, CXX            through ccache, so that it survives a new profile, too
#
# As root on Debian and its kin, missing packages are installed; elsewhere what is missing is named.

need=${need:-build}
: "${XDG_CACHE_HOME:=${HOME:-/root}/.cache}"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$XDG_CACHE_HOME/sceneshift/target}"

setup_missing=""
setup_want() { # PACKAGE CONDITION...: the package, unless the condition holds
    setup_package=$1
    shift
    "$@" >/dev/null 2>&1 || setup_missing="$setup_missing $setup_package"
}
setup_has() { command -v "$1"; }
setup_has_libclang() {
    [ -z "${LIBCLANG_PATH:-}" ] || return 0
    for setup_file in /usr/lib/llvm-*/lib/libclang*.so* /usr/lib/*/libclang*.so* /usr/lib64/libclang*.so*; do
        [ ! -e "$setup_file" ] || return 0
    done
    return 1
}

case " $need " in *" build "*)
    setup_want build-essential setup_has c++
    setup_want build-essential setup_has make
    setup_want ccache setup_has ccache
    setup_want libclang-dev setup_has_libclang
    ;;
esac

case " $need " in *" puppet "*)
    setup_want puppetserver [ -e /usr/share/puppetserver/puppetserver.jar ]
    setup_want puppet-agent setup_has puppet
    setup_want r10k setup_has r10k
    setup_want git setup_has git
    ;;
esac

case " $need " in *" disks "*)
    setup_want mount setup_has mount
    setup_want e2fsprogs setup_has mkfs.ext4
    setup_want xfsprogs setup_has mkfs.xfs
    setup_want xfsprogs setup_has xfs_io
    setup_want btrfs-progs setup_has mkfs.btrfs
    ;;
esac

case " $need " in *" guards "*)
    setup_want strace setup_has strace
    ;;
esac

case " $need " in *" perf "*)
    setup_want linux-perf setup_has perf
    setup_want e2fsprogs setup_has mkfs.ext4
    ;;
esac

# Debian starts the daemons of what it installs unless it is told not to, as it is in containers. Here tests start their own.
setup_install() ( # PACKAGE...
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        trap 'rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@"
)

if [ -n "$setup_missing" ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "setup: installing$setup_missing" >&2
        # shellcheck disable=SC2086 # a list of words
        setup_install $setup_missing >&2
    else
        echo "setup: please install:$setup_missing (names are Debian's)" >&2
    fi
fi

# Puppet's modules as Debian packages them: some 6,000 files of real code. Nice to have, so a failure is none.
case " $need " in *" modules "*)
    if [ ! -d /usr/share/puppet/modules.available ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "setup: installing Debian's Puppet modules" >&2
        # shellcheck disable=SC2046
        setup_install $(apt-get update -qq && apt-cache pkgnames puppet-module-) >/dev/null 2>&1 ||
            echo "setup: they could not be installed; examples/control-repo is used" >&2
    fi
    ;;
esac

# One after another: what cannot be had is left out, and the rest is measured.
case " $need " in *" peers "*)
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        for setup_package in git ostree rsync casync restic borgbackup mount e2fsprogs; do
            case $setup_package in borgbackup) setup_file=borg ;; e2fsprogs) setup_file=mkfs.ext4 ;; *) setup_file=$setup_package ;; esac
            if ! setup_has "$setup_file" >/dev/null; then
                echo "setup: installing $setup_package" >&2
                setup_install "$setup_package" >/dev/null 2>&1 || echo "setup: $setup_package could not be installed" >&2
            fi
        done
    fi
    ;;
esac

if command -v ccache >/dev/null 2>&1; then
    export CC="${CC:-ccache cc}" CXX="${CXX:-ccache c++}"
fi
command -v cargo >/dev/null 2>&1 || [ ! -f "${CARGO_HOME:-${HOME:-/root}/.cargo}/env" ] || . "${CARGO_HOME:-${HOME:-/root}/.cargo}/env"
command -v cargo >/dev/null 2>&1 || { echo "setup: cargo is missing; install Rust 1.91 or newer (https://rustup.rs)" >&2; exit 1; }
unset setup_missing setup_package setup_file

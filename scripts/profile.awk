# Reads `perf script -F comm,ip,sym,dso`: for each sample a line with the thread's name, then its stack, the innermost frame first. Prints lines of three fields, split by tabs:
#   part CATEGORY SAMPLES     where time went: what the kernel was asked for, or whose code ran
#   symbol NAME SAMPLES       the innermost frame

BEGIN {
    FS = "\t"
    calls("paths", "stat newstat fstat newfstat lstat newlstat newfstatat statx open openat openat2 readlink readlinkat access faccessat faccessat2 close fcntl lseek getdents64 statfs fstatfs iterate_dir")
    calls("read", "read pread64 readv preadv preadv2 fadvise64 readahead")
    calls("write", "write pwrite64 writev pwritev pwritev2 fallocate ftruncate")
    calls("create", "link linkat symlink symlinkat mkdir mkdirat rename renameat renameat2 unlink unlinkat rmdir chmod fchmod fchmodat chown fchown fchownat utimensat")
    calls("sync", "fsync fdatasync syncfs sync sync_file_range")
    calls("memory", "mmap munmap mremap madvise mprotect brk exit exit_group")
    calls("threads", "futex sched_yield epoll_wait epoll_pwait epoll_ctl poll clone clone3 nanosleep clock_nanosleep eventfd2 membarrier")
    calls("network", "sendto recvfrom sendmsg recvmsg accept4 accept connect socket shutdown sendfile setsockopt getsockopt")
}

function calls(part, names,   each, count, at) {
    count = split(names, each, " ")
    for (at = 1; at <= count; at++) part_of[each[at]] = part
}

# A sample's stack has ended.
function classify(   at, name, part) {
    if (depth == 0) return
    symbols[(in_kernel[1] ? "[k] " : "") symbol[1]]++
    parts[in_kernel[1] ? of_kernel() : of_program()]++
    depth = 0
}

# What the kernel was asked for: its frame next to the entry tells, by whatever name the compiler left it there.
function of_kernel(   at, name, creates) {
    for (at = 1; at <= depth && in_kernel[at]; at++) {
        name = symbol[at]
        if (name ~ /exc_page_fault$/) return "memory"
        if (name ~ /_create$|_mknod$/) creates = 1
        if (name ~ /^(do_syscall_64|x64_sys_call|invoke_syscall|el0_svc)/) break
    }
    if (at > 1 && at <= depth && in_kernel[at]) {
        name = symbol[at - 1]
        sub(/^(__(x64|arm64|se|do)_sys_|ksys_|__sys_|do_sys_|do_|vfs_|vm_)/, "", name)
        sub(/_pgoff$|_pkey$/, "", name)
        if (name in part_of) return creates && part_of[name] == "paths" ? "create" : part_of[name]
        unknown[name]++
    }
    return "kernel"
}

function of_program(   name) {
    name = symbol[1]
    if (name ~ /blake3/) return "hashing"
    if (name ~ /^_?(ZSTD|HUF|HIST|FSE|LZ4|XXH)|^ZDICT/) return "compression"
    if (name ~ /^(__libc_)?(malloc|free|calloc|realloc|cfree)$|_int_(malloc|free|realloc|memalign)|^malloc_|unlink_chunk|sysmalloc|tcache|posix_memalign|aligned_alloc|^operator (new|delete)|__rust_|__rdl_|^arena_get|systrim/) return "allocation"
    if (name ~ /mem(cpy|move|set|cmp|chr)|bcmp/) return "copying"
    if (name ~ /rocksdb|^std::(_|basic_|unordered|map|vector|string|function|unique|shared|mutex|lock|condition)|crc32c/ && name !~ /^sceneshift/) return "rocksdb"
    return "ours"
}

/^[[:space:]]*$/ { classify(); next }
# A frame begins with an address and ends with a file.
!/^[[:space:]]+[0-9a-f]+ .*\(.*\)$/ { classify(); watched = !/^[[:space:]]*(bash|date)[[:space:]]*$/; next }
watched {
    # "  7f12 symbol (dso)"; the symbol may hold blanks.
    line = $0
    sub(/^[[:space:]]+/, "", line)
    dso = line
    sub(/.*\(/, "", dso)
    sub(/^[0-9a-f]+ /, "", line)
    sub(/ \([^(]*\)$/, "", line)
    depth++
    symbol[depth] = line
    in_kernel[depth] = dso ~ /^\[/ && dso !~ /vdso/
}
END {
    classify()
    for (name in parts) print "part\t" name "\t" parts[name]
    if (debug) for (name in unknown) print "unknown\t" name "\t" unknown[name]
    for (name in symbols) print "symbol\t" name "\t" symbols[name]
}

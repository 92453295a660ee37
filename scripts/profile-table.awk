# Reads what scripts/profile.awk found for each path, and writes a table of shares and the ten symbols that took most.

BEGIN {
    FS = "\t"
    rows = split("paths read write create sync memory threads network kernel hashing rocksdb compression allocation copying ours", row, " ")
    label["paths"] = "kernel: finding, opening, looking, listing"
    label["read"] = "kernel: reading"
    label["write"] = "kernel: writing"
    label["create"] = "kernel: creating, linking, renaming, removing"
    label["sync"] = "kernel: syncing"
    label["memory"] = "kernel: page faults, memory"
    label["threads"] = "kernel: threads, waiting"
    label["network"] = "kernel: network"
    label["kernel"] = "kernel: the rest"
    label["hashing"] = "BLAKE3"
    label["rocksdb"] = "RocksDB"
    label["compression"] = "zstd, LZ4"
    label["allocation"] = "allocation"
    label["copying"] = "copying, comparing bytes"
    label["ours"] = "the rest of the program"
}
!($1 in seen) { seen[$1] = 1; path[++paths] = $1 }
$2 == "times" { times[$1] = $3 }
$2 == "spent" { spent[$1] = $3 }
$2 == "part" { part[$1, $3] = $4; samples[$1] += $4 }
$2 == "symbol" { symbol[$1, ++symbols[$1]] = $3; weight[$1, symbols[$1]] = $4 }

function line(head, which,   at, text) {
    text = "| " head " |"
    for (at = 1; at <= paths; at++) text = text " " cell(path[at], which) " |"
    print text
}

function milliseconds(value) { return value < 10 ? sprintf("%.1f ms", value) : sprintf("%d ms", value + 0.5) }

function cell(name, which) {
    if (which == "name") return name
    if (which == "rule") return "--:"
    if (which == "times") return times[name]
    if (which == "spent") return milliseconds(spent[name] / times[name] / 1e6)
    if (which == "cpu") return milliseconds(samples[name] / times[name] / frequency * 1000)
    if (which == "samples") return samples[name] + 0
    return samples[name] ? sprintf("%.0f", part[name, which] * 100 / samples[name]) : "-"
}

END {
    line("% of the CPU time", "name")
    line("---", "rule")
    for (at = 1; at <= rows; at++) line(label[row[at]], row[at])
    line("times", "times")
    line("samples", "samples")
    line("CPU, each time", "cpu")
    line("in all, each time", "spent")
    print ""
    print "The ten symbols that took most, in percent (`[k]`: the kernel's):"
    print ""
    for (at = 1; at <= paths; at++) {
        name = path[at]
        text = ""
        for (place = 1; place <= 10; place++) {
            best = 0
            for (one = 1; one <= symbols[name]; one++) if (weight[name, one] > (best ? weight[name, best] : 0)) best = one
            if (!best) break
            shown = symbol[name, best]
            if (length(shown) > 70) shown = substr(shown, 1, 67) "..."
            text = text (place > 1 ? ", " : "") sprintf("`%s` %.1f", shown, weight[name, best] * 100 / samples[name])
            weight[name, best] = 0
        }
        print "- **" name "**: " text
    }
}

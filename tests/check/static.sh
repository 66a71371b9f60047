#!/bin/sh
# The static command: it is small, needs no other file, and works in a root folder that holds nothing but itself and a script.
set -u
wf=build/static/wf
limit=1200000 # bytes
root=build/check/root

skip() {
    for n in 1 2 3 4; do echo "ok $n - static command # SKIP $1"; done
    exit 0
}
verdict() { # number, text, findings: none is well
    if [ -z "$3" ]; then echo "ok $1 - $2"; else printf '%s\n' "$3" | head -n 20 | sed 's/^/#   /'; echo "not ok $1 - $2"; fi
}
alone() { # command in the empty root
    if [ "$(id -u)" = 0 ]; then chroot $root "$@"; else unshare --map-root-user --root=$root "$@"; fi
}

echo 1..4
[ -z "${SYSTEM:-}" ] || skip "made from pinned sources alone, and SYSTEM is set"
.ci/deps static >/dev/null 2>&1 || skip "musl cannot be had here"
unset MAKEFLAGS MFLAGS
log=$(make -s static 2>&1) && log=
verdict 1 "it is built with musl" "$log"

size=$(wc -c <$wf)
verdict 2 "it is at most $limit bytes (it has $size)" "$([ "$size" -gt 0 ] && [ "$size" -le $limit ] || echo "$size bytes")"
verdict 3 "it asks for no interpreter and no library" \
    "$(readelf -lWd $wf 2>&1 | grep -E 'INTERP|NEEDED|Error' ; readelf -h $wf >/dev/null 2>&1 || echo "no ELF file")"

rm -rf $root
mkdir -p $root
cp $wf $root/wf
echo 'meta = { name = "alone", description = "one agent" } return agent("Say hello")' >$root/script.lua
if ! { [ "$(id -u)" = 0 ] || unshare --map-root-user true; } 2>/dev/null; then
    echo "ok 4 - it works in an empty root # SKIP this system lets users change no root"
    exit 0
fi
log=$(alone /wf version 2>&1 && alone /wf check /script.lua 2>&1) && log=
verdict 4 "it works in an empty root" "$log"

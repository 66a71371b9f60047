#!/bin/sh
# The POSIX port without what Linux alone has (WFI_PLAIN_POSIX): it compiles, and passes its tests.
set -u
: "${CC:=cc}" "${WARN:=-std=c11 -Wall -Wextra -Wpedantic -Wconversion -Wshadow ${WERROR--Werror}}" "${INC:=}"
dir=build/check/plain
rm -rf $dir
mkdir -p $dir
tests='test_sockets test_posix test_child test_tools test_write test_ignore'
plain="$WARN $INC -DWFI_PLAIN_POSIX -O1 -iquote ."

try() { # command: what it printed if it failed, else nothing
    out=$("$@" 2>&1) || printf '%s\n' "$out" "exit code $?"
}
verdict() { # text, log: empty is well
    number=$((number + 1))
    [ -z "$2" ] || printf '%s\n' "$2" | grep -v '^ok' | head -n 20 | sed 's/^/#   /'
    if [ -z "$2" ]; then echo "ok $number - $1"; else echo "not ok $number - $1"; fi
}

echo 1..7
number=0
# shellcheck disable=SC2086
log=$(for file in $(./amalgamate --list posix | grep '\.c$'); do
    try $CC $plain -c -o "$dir/$(echo "$file" | tr / _).o" "$file"
done)
verdict "the port compiles on plain POSIX" "$log"
for test in $tests; do
    # shellcheck disable=SC2086
    log=$(try $CC $plain -o $dir/$test "$(find tests/port -name "$test.c")" $dir/*.o build/libworkflow.a -lcmocka -pthread)
    [ -n "$log" ] || log=$(try $dir/$test)
    verdict "$test on plain POSIX" "$log"
done

#!/bin/sh
# The POSIX port without what Linux alone has (WFI_PLAIN_POSIX): it compiles, and passes its tests.
set -u
: "${CC:=cc}" "${WARN:=-std=c11 -Wall -Wextra -Wpedantic -Wconversion -Wshadow ${WERROR--Werror}}" "${INC:=}"
dir=build/check/plain
mkdir -p $dir
tests='test_sockets test_posix test_child test_tools test_write test_ignore'

echo 1..6
number=0
port=$(./amalgamate --list posix | grep '\.c$')
for test in $tests; do
    number=$((number + 1))
    # shellcheck disable=SC2086
    if ! log=$($CC $WARN $INC -DWFI_PLAIN_POSIX -O1 -iquote . -o $dir/$test "$(find tests/port -name "$test.c")" $port \
        build/libworkflow.a -lcmocka -pthread 2>&1); then
        printf '%s\n' "$log" | head -n 20 | sed 's/^/#   /'
        echo "not ok $number - $test compiles on plain POSIX"
    elif log=$($dir/$test 2>&1 || echo "exit code $?"); [ "${log##*exit code }" = "$log" ]; then
        echo "ok $number - $test on plain POSIX"
    else
        printf '%s\n' "$log" | grep -v '^ok' | head -n 20 | sed 's/^/#   /'
        echo "not ok $number - $test on plain POSIX"
    fi
done

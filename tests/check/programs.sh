#!/bin/sh
# workflow.h in whole programs: several files, C11 and C++17, optimised, without a warning; and which names it brings along.
set -u
: "${WARNINGS:=-Wall -Wextra -Wpedantic -Wconversion -Wshadow}" "${WERROR=-Werror}"
: "${WARN:=-std=c11 $WARNINGS $WERROR}" "${INC:=}"
dir=build/check/programs
rm -rf $dir
mkdir -p $dir
number=0
verdict() { # text, findings: none is well
    number=$((number + 1))
    if [ -z "$2" ]; then
        echo "ok $number - $1"
    else
        printf '%s\n' "$2" | head -n 40 | sed 's/^/#   /'
        echo "not ok $number - $1"
    fi
}
macros() { # flags: the macros that workflow.h itself leaves defined
    # shellcheck disable=SC2086
    gcc -std=c11 $INC "$@" -I. -E -dD -x c workflow.h 2>&1 | awk '
        /^# [0-9]+ "/ { own = $3 ~ /workflow\.h"$/ }
        own && /^#define/ { sub(/\(.*/, "", $2); name[$2] = 1 }
        own && /^#undef/ { delete name[$2] }
        END { for (n in name) print n }' | sort
}
modules=$(./amalgamate --list | sed -n 's|^src/.*/\([a-z]*\)[_a-z]*\.[ch]$|\1|p' | sort -u | tr '[:lower:]\n' '[:upper:]|')

echo 1..8
verdict "a plain include defines macros that begin with WF_ alone" "$(macros | grep -v -E '^(WORKFLOW_H|WFI?_[A-Z0-9_]+)$')"
# HEAP_ belongs to arena.c, META_ to records.c.
verdict "the implementation's macros begin with WF or with their module's name" \
    "$(macros -DWORKFLOW_IMPLEMENTATION -DWF_PORT_POSIX -DWF_PORT_MBEDTLS -DWF_PORT_LUA -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 |
        grep -v -E "^(WORKFLOW_H|WFI|WFI?_[A-Z0-9_]+|(${modules}HEAP|META)_[A-Z0-9_]+)\$")"

cpp="-std=c++17 $WARNINGS $WERROR"
lua=$(ls build/liblua.a 2>/dev/null || pkg-config --libs lua5.4 2>/dev/null || echo -llua5.4)
mbedtls=$(ls build/libmbedtls.a 2>/dev/null || echo -lmbedtls -lmbedx509 -lmbedcrypto)
for pair in gcc:g++ clang:clang++; do
    cc=${pair%:*} cxx=${pair#*:}
    # shellcheck disable=SC2086
    log=$($cc $WARN -I. $INC -O2 -c -o $dir/impl-$cc.o tests/amalg/impl.c 2>&1) && log=
    verdict "all parts, optimised, $cc" "$log"
    if ! echo '#include <string>' | $cxx -fsyntax-only -x c++ - 2>/dev/null; then
        number=$((number + 2))
        echo "ok $((number - 1)) - C++17 program, $cxx # SKIP no $cxx"
        echo "ok $number - it runs, $cxx # SKIP no $cxx"
        continue
    fi
    # shellcheck disable=SC2086
    log=$($cc $WARN -I. -c -o $dir/user-$cc.o tests/amalg/user.c 2>&1 &&
        $cxx $cpp -I. -c -o $dir/program-$cc.o tests/amalg/program.cpp 2>&1 &&
        $cxx -o $dir/program-$cc $dir/program-$cc.o $dir/user-$cc.o $dir/impl-$cc.o $lua $mbedtls -lm -pthread 2>&1) && log=
    verdict "a C++17 main, a C11 file and the implementation make a program, $cxx" "$log"
    log=$($dir/program-$cc 2>&1)
    verdict "it runs, $cxx" "${log#ok}"
done

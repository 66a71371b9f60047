#!/bin/sh
# workflow.h compiles without a warning: alone, as C11 and as C++17; and as implementation, with each choice of parts.
set -u
: "${WARNINGS:=-Wall -Wextra -Wpedantic -Wconversion -Wshadow}" "${WERROR=-Werror}"
: "${WARN:=-std=c11 $WARNINGS $WERROR}" "${INC:=}"
number=0
try() { # text, program, compiler and flags
    number=$((number + 1))
    text=$1 program=$2
    shift 2
    if echo "$program" | "$@" -I. -fsyntax-only - 2>&1; then echo "ok $number - $text"; else echo "not ok $number - $text"; fi
}
# Behind a header of glibc the port is refused with one error, which names the mend; elsewhere it compiles.
late() { # compiler, standard
    number=$((number + 1))
    said=$(printf '#include <stdio.h>\n%s\n' "$posix" | $1 -x c -std=$2 -I. -fsyntax-only - 2>&1)
    errors=$(echo "$said" | grep -c 'error:')
    glibc=$(printf '#include <stdio.h>\n__GLIBC__\n' | $1 -E -x c - | grep -c '^__GLIBC__')
    text="posix behind another header, $1, $2"
    if [ "$glibc" = 1 ] && [ "$errors" = 0 ]; then echo "ok $number - $text"
    elif [ "$glibc" = 0 ] && [ "$errors" = 1 ] && echo "$said" | grep -q 'include it first.*-D_GNU_SOURCE'; then echo "ok $number - $text"
    else echo "$said" | head -n 9 | sed 's/^/# /'; echo "not ok $number - $text"; fi
}
include='#include "workflow.h"'
implement="#define WORKFLOW_IMPLEMENTATION
$include"
posix="#define WF_PORT_POSIX
$implement"
lua="#define WF_PORT_LUA
$implement"
mbedtls="#define WF_PORT_MBEDTLS
$implement"
all="#define WF_PORT_LUA
#define WF_PORT_MBEDTLS
$posix"
again="$include
$implement
$include
$implement"

echo 1..18
# shellcheck disable=SC2086
for cc in gcc clang; do
    try "header alone, C11, $cc" "$include" $cc -x c $WARN
    try "core, included again and again, freestanding, $cc" "$again" $cc -x c $WARN -ffreestanding
    try "core and posix, $cc" "$posix" $cc -x c $WARN
    try "core and lua, $cc" "$lua" $cc -x c $WARN $INC
    try "core and mbedtls, $cc" "$mbedtls" $cc -x c $WARN $INC
    try "core, posix, mbedtls and lua, $cc" "$all" $cc -x c $WARN $INC
    late $cc c11
    late $cc gnu17
    if [ $cc = clang ] || command -v g++ >/dev/null; then
        try "header alone, C++17, $cc" "$include" $cc -x c++ -std=c++17 $WARNINGS $WERROR
    else
        number=$((number + 1))
        echo "ok $number - header alone, C++17, $cc # SKIP no g++"
    fi
done

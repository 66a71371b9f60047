#!/bin/sh
# workflow.h compiles without a warning: alone, as C11 and as C++17; and as implementation, with each choice of parts.
set -u
: "${WARN:=-std=c11 -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror}" "${INC:=}"
number=0
try() { # text, compiler and flags; the program on stdin
    number=$((number + 1))
    text=$1
    shift
    if "$@" -I. -fsyntax-only - 2>&1; then echo "ok $number - $text"; else echo "not ok $number - $text"; fi
}
include='#include "workflow.h"'
implement="#define WORKFLOW_IMPLEMENTATION
$include"
posix="#define WF_PORT_POSIX
$implement"
lua="#define WF_PORT_LUA
$implement"
all="#define WF_PORT_LUA
$posix"

echo 1..12
# shellcheck disable=SC2086
for cc in gcc clang; do
    echo "$include" | try "header alone, C11, $cc" $cc -x c $WARN
    printf '%s\n' "$include" "$implement" "$include" "$implement" |
        try "core, included again and again, $cc, freestanding" $cc -x c $WARN -ffreestanding
    echo "$posix" | try "core and posix, $cc" $cc -x c $WARN
    echo "$lua" | try "core and lua, $cc" $cc -x c $WARN $INC
    echo "$all" | try "core, posix and lua, $cc" $cc -x c $WARN $INC
    if [ $cc = clang ] || command -v g++ >/dev/null; then
        echo "$include" | try "header alone, C++17, $cc" $cc -x c++ -std=c++17 -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror
    else
        number=$((number + 1))
        echo "ok $number - header alone, C++17, $cc # SKIP no g++"
    fi
done

#!/bin/sh
# Every gcc and clang that is installed, at -O0 to -O3, has nothing to say about the split tree, about
# workflow.h with all of its parts as a C11 program includes it, and about the plain header in C++11.
# What compilers warn of depends on what they inline, so both forms are tried. A warning is a failure
# unless WERROR is set and empty, as in a `make test` by hand.
set -u
: "${WARNINGS:=-Wall -Wextra -Wpedantic -Wconversion -Wshadow}" "${INC:=}" "${WERROR=-Werror}"
dir=build/check/compilers
levels='0 1 2 3'
rm -rf $dir
mkdir -p $dir

compilers() { # one name for each that works
    for folder in $(echo "$PATH" | tr ':' ' '); do
        ls "$folder" 2>/dev/null | grep -E '^(gcc|clang)(-[0-9]+)?$'
    done | sort -u | while read -r cc; do
        echo 'int main(void) { return 0; }' | $cc -x c -o $dir/try - 2>/dev/null || continue
        echo "$cc $($cc --version | sed -n '1s/^[^ ]*//p')"
    done | sort -t ' ' -k 2 -u | cut -d ' ' -f 1
}

split() { # compiler, level: each file of the split tree
    for file in $(./amalgamate --list | grep '\.c$'); do
        # shellcheck disable=SC2086
        $1 -std=c11 $WARNINGS $INC "-O$2" -c -o "$dir/$1-$2.o" "$file" 2>&1 ||
            echo "$file: error"
    done
}

product() { # compiler, level: workflow.h as the implementation, then as a plain header
    # shellcheck disable=SC2086
    $1 -std=c11 $WARNINGS $INC -I. "-O$2" -c -o "$dir/$1-$2-product.o" tests/amalg/impl.c 2>&1 ||
        echo "impl.c: error"
    echo '#include <cstddef>' | $1 -x c++ -fsyntax-only - 2>/dev/null || return 0
    # shellcheck disable=SC2086
    echo '#include "workflow.h"' |
        $1 -x c++ -std=c++11 $WARNINGS -I. "-O$2" -fsyntax-only - 2>&1 || echo "C++11: error"
}

verdict() { # text, log: empty is well
    number=$((number + 1))
    if [ ! -s "$2" ]; then
        echo "ok $number - $1"
        return
    fi
    grep -E 'warning|error' "$2" | sort -u | head -n 20 | sed 's/^/#   /'
    if [ -z "$WERROR" ] && ! grep -q 'error' "$2"; then
        echo "ok $number - $1 # SKIP it warns"
    else
        echo "not ok $number - $1"
    fi
}

found=$(compilers)
echo "1..$(($(echo "$found" | wc -w) * 8))"
number=0
for cc in $found; do
    for level in $levels; do
        split "$cc" "$level" >$dir/split &
        product "$cc" "$level" >$dir/product
        wait
        verdict "the split tree, $cc -O$level" $dir/split
        verdict "workflow.h, $cc -O$level" $dir/product
    done
done

#!/bin/sh
# The include graph points downward only. Order inside src/ is ./amalgamate's business: it refuses a part that includes a
# header not listed above it. Here: which folder may know which, and which system headers it may use.
set -u
LC_ALL=C
export LC_ALL

edges() { # "file include" for each #include; local ones resolved to a path, system ones in angle brackets
    find src cli -name '*.[ch]' 2>/dev/null | sort | while read -r file; do
        awk -v file="$file" '
            /^[ \t]*#[ \t]*include/ {
                if (match($0, /<[^>]*>/)) { print file, substr($0, RSTART, RLENGTH); next }
                split($0, quoted, "\"")
                path = file
                sub(/[^\/]*$/, "", path)
                path = path quoted[2]
                while (match(path, /[^\/]+\/\.\.\//)) path = substr(path, 1, RSTART - 1) substr(path, RSTART + RLENGTH)
                print file, path
            }' "$file"
    done
}

number=0
rule() { # what, files, allowed includes: both extended regular expressions
    number=$((number + 1))
    bad=$(edges | awk -v files="^($2)\$" -v allowed="^($3)\$" '$1 ~ files && $2 !~ allowed { print "#   " $1 " includes " $2 }')
    if [ -z "$bad" ]; then
        echo "ok $number - $1"
    else
        printf '%s\n' "$bad"
        echo "not ok $number - $1"
    fi
}

free='<(stdint|stddef|stdbool|stdarg|limits)\.h>'
public=$(./amalgamate --list public | tr '\n' '|' | sed 's/|$//; s/\./[.]/g')
system='<[^>]*>'
no_lua='<[^l][^>]*>|<l[^u][^>]*>'

echo 1..7
rule "api.h: the freestanding headers only" 'src/api[.]h' "$free"
rule "core: itself, api.h and the freestanding headers" 'src/core/.*' "$free|src/api[.]h|src/core/[a-z_0-9]+[.]h"
rule "core: the log knows of no agent, provider or scheduler" 'src/core/(log|records)[.].*' \
    "$free|src/core/(base|arena|json|log|records|env)[.]h"
rule "port: itself, public headers and the system's, no Lua" 'src/port/.*' "$no_lua|$public|src/port/[a-z_0-9]+[.]h"
rule "script: itself, public headers, libc and Lua" 'src/script/.*' "$system|$public|src/script/[a-z_0-9]+[.]h"
rule "cli: itself, public headers, libc" 'cli/.*' "$no_lua|$public|cli/[a-z_0-9]+[.]h"
rule "everywhere: no header of another project" '.*' "$system|(src|cli)/[a-z_0-9/]+[.]h"

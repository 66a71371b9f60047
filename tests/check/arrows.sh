#!/bin/sh
# Which folder may know which, as the list in ./amalgamate has it, proved twice: by what each file includes, and by what the
# objects of each folder call. Between core, port, script and cli only public functions (wf_..., declared in src/api) are
# called. Order inside src/ is ./amalgamate's business: it refuses a part that includes a header not listed above it.
# Then both proofs are proved: forbidden calls and includes are planted, and have to be found.
set -u
LC_ALL=C
export LC_ALL
: "${CC:=cc}"
dir=build/check/arrows
rm -rf $dir
mkdir -p $dir
./amalgamate --folders >$dir/folders

number=0
verdict() { # what, findings: none is well
    number=$((number + 1))
    if [ -z "$2" ]; then
        echo "ok $number - $1"
    else
        printf '%s\n' "$2" | sed 's/^/#   /'
        echo "not ok $number - $1"
    fi
}

# ---- includes ----

edges() { # FILE...: "file include" for each #include; local ones resolved to a path, system ones in angle brackets
    awk '
        /^[ \t]*#[ \t]*include/ {
            if (match($0, /<[^>]*>/)) { print FILENAME, substr($0, RSTART, RLENGTH); next }
            split($0, quoted, "\"")
            path = FILENAME
            sub(/[^\/]*$/, "", path)
            path = path quoted[2]
            while (match(path, /[^\/]+\/\.\.\//)) path = substr(path, 1, RSTART - 1) substr(path, RSTART + RLENGTH)
            print FILENAME, path
        }' "$@"
}

judge_includes() { # "file include" lines: those that no rule allows
    awk -v folders=$dir/folders '
        function folder(path) { sub(/\/[^\/]*$/, "", path); return path }
        function storey(f) { return f ~ /^src\/(core|port)/ ? substr(f, 1, 8) : f ~ /^src\/script/ ? "src/script" : f ~ /^cli/ ? "cli" : f }
        BEGIN {
            while ((getline line < folders) > 0) {
                n = split(line, word, " ")
                for (i = 3; i <= n; i++) knows[word[1], word[i]] = 1
            }
        }
        $2 ~ /^</ || $2 ~ /\/gen_[a-z]+\.h$/ { next }
        {
            from = folder($1); to = folder($2)
            near = from == to || ((from, to) in knows && (to == "src/api" || storey(from) == storey(to)))
            if (!near) print $1 " includes " $2
        }'
}

sources() { find src cli -name '*.[ch]' ! -name 'mbedtls_*' | sort; }
# shellcheck disable=SC2046
edges $(sources) >$dir/edges

rule() { # what, files, allowed includes: both extended regular expressions
    verdict "$1" "$(awk -v files="^($2)\$" -v allowed="^($3)\$" '$1 ~ files && $2 !~ allowed { print $1 " includes " $2 }' $dir/edges)"
}

free='<(stdint|stddef|stdbool|stdarg|limits)\.h>'
no_lua='<[^l][^>]*>|<l[^u][^>]*>'
local='(src|cli)/.*'

# ---- calls ----

symbols() { # folder FILE.o...: "folder D|U name" for each global symbol
    of=$1
    shift
    nm -g "$@" | awk -v of="$of" 'NF >= 2 { print of, $(NF - 1) == "U" ? "U" : "D", $NF }'
}

judge_calls() { # "folder D|U name" lines: the calls that no rule allows
    awk -v folders=$dir/folders '
        function storey(f) { return f ~ /^src\/(core|port)/ ? substr(f, 1, 8) : f ~ /^src\/script/ ? "src/script" : "cli" }
        BEGIN {
            while ((getline line < folders) > 0) {
                n = split(line, word, " ")
                for (i = 3; i <= n; i++) knows[word[1], word[i]] = 1
            }
        }
        $2 == "D" { home[$3] = $1; next }
        { called[$1 " " $3] = 1 }
        END {
            for (c in called) {
                split(c, part, " ")
                from = part[1]; name = part[2]; to = home[name]
                if (to == "" || to == from) continue
                near = (from, to) in knows || (storey(from) == "cli" && storey(to) != "cli")
                if (storey(from) != storey(to) && name !~ /^wf_/) near = 0
                if (!near) print from " calls " name " of " to
            }
        }' | sort
}

objects() { # all symbols of the split tree
    while read -r folder section rest; do
        : "$section $rest"
        set -- $(./amalgamate --list | grep "^$folder/[^/]*\.c\$" | sed 's|^\(.*\)\.c$|build/obj/\1.o|')
        [ $# = 0 ] || symbols "$folder" "$@"
    done <$dir/folders
}

echo 1..12
rule "public headers: the freestanding headers and each other" 'src/api/.*' "$free|src/api/.*"
rule "core: the freestanding headers" 'src/core/.*' "$free|$local"
rule "core: the log knows of no agent, provider or scheduler" 'src/core/run/(log|records)[.].*' \
    "$free|src/core/(base|run)/(base|heap|json|log|records)[.]h"
rule "port, cli: no Lua" '(src/port|cli)/.*' "$no_lua|$local"
verdict "every folder includes only what it may know" "$(judge_includes <$dir/edges)"

objects >$dir/symbols
verdict "there is something to look at" "$([ "$(grep -c ' D wf' $dir/symbols)" -gt 300 ] || echo 'build/obj holds no objects: run make first')"
verdict "every folder calls only what it may know" "$(judge_calls <$dir/symbols)"
verdict "no folder has more than 30 C files" \
    "$(sources | sed 's|/[^/]*$||' | sort | uniq -c | awk '$1 > 30 { print $2 ": " $1 }')"
verdict "no two files of one name" \
    "$(git ls-files src cli tests | grep -v '^tests/audit/' | grep '\.[ch]$\|\.lua$' | sed 's|.*/||' | sort | uniq -d)"

planted() { # what, folder, C text: has to be found as a forbidden call
    printf '%s\n' "$3" >$dir/planted.c
    $CC -c -o $dir/planted.o $dir/planted.c || return
    { cat $dir/symbols; symbols "$2" $dir/planted.o; } | judge_calls >$dir/found
    verdict "$1 is found" "$([ -s $dir/found ] || echo 'it was not')"
}
planted "a planted call from base to run" src/core/base 'void wf_step(void); void wfi_x(void); void wfi_x(void) { wf_step(); }'
planted "a planted call from jail to a private function of the core" src/port/jail \
    'void wfi_str_eq(void); void wfi_x(void); void wfi_x(void) { wfi_str_eq(); }'
verdict "a planted include of an agent by the HTTP client is found" \
    "$([ -n "$(echo 'src/core/http/pool.c src/core/run/agent.h' | judge_includes)" ] || echo 'it was not')"

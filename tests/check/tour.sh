#!/bin/sh
# The pages for readers of the code name files that exist, and every source file is in the tour; so do the comments.
set -u
LC_ALL=C
export LC_ALL
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
dir=build/check/tour
rm -rf $dir
mkdir -p $dir

git ls-files >$dir/paths
sed 's|.*/||' $dir/paths | sort -u >$dir/names
file='[A-Za-z0-9_./-]*[A-Za-z0-9_]\.\(c\|h\|lua\|jsonl\|sh\|py\|md\)'

missing() { # lines "where name": those whose name is neither a path of the tree nor the last part of one
    while read -r where name; do
        case $name in
        */*) grep -q "\(^\|/\)${name#./}\$" $dir/paths || echo "$where: $name" ;;
        *) grep -q -x -F "$name" $dir/names || echo "$where: $name" ;;
        esac
    done
}

echo 1..4
for page in docs/TOUR.md docs/HACKING.md; do
    grep -o "\`$file\`" $page | tr -d '`' | sed "s|^|$page |" >$dir/told
    verdict "$page: the files that it names exist" "$([ -s $dir/told ] || echo 'it names none')$(missing <$dir/told)"
done

sed '1,/^## Every file/d' docs/TOUR.md | grep -o "\`$file\`" | tr -d '`' | sort >$dir/listed
grep -E '^(src|cli)/.*\.(c|h|lua|jsonl)$' $dir/paths | sed 's|.*/||' | sort >$dir/sources
verdict "docs/TOUR.md: every source file is named once" "$(diff $dir/sources $dir/listed | grep '^[<>]')"

# What a comment calls "name.h" or "name.c" is ours, or a header of the system, which stands in angle brackets somewhere, or a
# file of Lua's or mbedTLS's.
system=$(git grep -h -o '<[a-z0-9_/]*\.h>' -- src cli tests | tr -d '<>' | sed 's|.*/||' | sort -u | tr '\n' '|')
git grep -n '\(^\|[^"]\)\(/\*\|^ \*\|//\|--\).*[a-z0-9_]\.[ch]\b' -- 'src/*.[ch]' 'cli/*.[ch]' 'src/*.lua' |
    grep -v '#include' |
    awk -F: '{ rest = $0; sub(/^[^:]*:[^:]*:/, "", rest)
               while (match(rest, /[a-z0-9_]+\.(c|h|lua)/)) {
                   after = substr(rest, RSTART + RLENGTH, 1)
                   if (after !~ /[a-z_(]/) print $1 ":" $2, substr(rest, RSTART, RLENGTH)
                   rest = substr(rest, RSTART + RLENGTH) } }' |
    grep -v -E " (${system}ecp\.c|ssl_tls12_client\.c|ecdh\.c|hello\.[a-z]*|[a-z]+\.lua)\$" >$dir/comments
verdict "comments name files that exist" "$(missing <$dir/comments)"

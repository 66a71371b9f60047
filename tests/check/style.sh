#!/bin/sh
# Format and size of our C: clang-format has nothing to say, and no function is longer than 70 lines.
set -u
files=$(find src cli tests examples -name '*.[ch]' 2>/dev/null | sort)

echo 1..2
# Releases of clang-format disagree about details; the tree follows this one.
want=14
format=clang-format
command -v clang-format-$want >/dev/null && format=clang-format-$want
version=$($format --version 2>&1 | sed 's/.*version \([0-9]*\).*/\1/')
if [ "$version" != $want ]; then
    echo "ok 1 - clang-format # SKIP version $version here, $want wanted"
elif log=$($format --dry-run -Werror $files 2>&1); then
    echo "ok 1 - clang-format"
else
    printf '%s\n' "$log" | grep -E '^[^ ]+:[0-9]+:[0-9]+: error' | head -n 20 | sed 's/^/#   /'
    echo "not ok 1 - clang-format (mend: $format -i FILE)"
fi

# A function runs from the last line at the left margin before its body to a lone closing brace there. Tests, which hold
# tables of cases, are exempt.
long=$(find src cli examples -name '*.c' 2>/dev/null | sort | xargs awk 'FNR == 1 { start = 0 }
    /^[A-Za-z_].*[^:]$/ { start = FNR; name = $0 }
    /^}$/ && start { if (FNR - start + 1 > 70) printf "#   %s:%d: %d lines: %s\n", FILENAME, start, FNR - start + 1, name; start = 0 }' /dev/null)
if [ -z "$long" ]; then
    echo "ok 2 - no function longer than 70 lines"
else
    printf '%s\n' "$long"
    echo "not ok 2 - no function longer than 70 lines"
fi

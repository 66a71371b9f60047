#!/bin/sh
# The core on a microcontroller: compiled for a Cortex-M3 (Thumb-2, 32 bits) it asks for nothing but the four memory functions
# and the compiler's own helpers (long division and the like; the ABI names them __aeabi_), and needs no RAM of its own.
# Says how much code it is and which functions take most stack.
set -u
dir=build/check/cortex-m3
target=thumbv7m-none-eabi
werror=${WERROR--Werror}
limit=126500 # bytes of code and constants, of the whole core: HTTP client, codec and price list included

echo 1..5
if ! echo 'int x;' | clang --target=$target -c -x c -o /dev/null - 2>/dev/null; then
    for n in 1 2 3 4 5; do echo "ok $n - core for Cortex-M3 # SKIP this clang has no ARM back end"; done
    exit 0
fi

rm -rf $dir
mkdir -p $dir
log=$(for file in $(./amalgamate --list core | grep '\.c$'); do
    clang --target=$target -std=c11 -Wall -Wextra -Wpedantic -Wconversion -Wshadow $werror -ffreestanding -Ibuild/gen -Oz -fstack-usage \
        -c -o "$dir/$(basename "$file" .c).o" "$file" 2>&1
done)
verdict() { # number, text, findings: none is well
    if [ -z "$3" ]; then echo "ok $1 - $2"; else printf '%s\n' "$3" | sed 's/^/#   /'; echo "not ok $1 - $2"; fi
}
[ -n "$werror" ] || log=$(printf '%s\n' "$log" | grep error)
verdict 1 "core compiles for Cortex-M3 without a warning" "$log"

foreign=$(nm $dir/*.o 2>&1 | awk '
    NF == 2 && $1 == "U" { wanted[$2] = 1 }
    NF == 3 { defined[$3] = 1 }
    END { for (name in wanted) if (!(name in defined) && name !~ /^(memcpy|memmove|memset|memcmp|__aeabi_[a-z0-9]+)$/) print name }')
verdict 2 "core for Cortex-M3 asks for the memory functions and compiler helpers alone" "$foreign"

code=$(size $dir/*.o | awk 'NR > 1 { code += $1; ram += $2 + $3 } END { print code + 0, ram + 0 }')
ram=${code#* } code=${code% *}
verdict 3 "core for Cortex-M3 has no RAM of its own" "$([ "$ram" = 0 ] || echo "$ram bytes of data and bss")"
verdict 4 "core for Cortex-M3 is at most $limit bytes" "$([ "$code" -gt 0 ] && [ "$code" -le $limit ] || echo "$code bytes")"
frame=$(awk -F '\t' '$2 > most { most = $2 } END { print most + 0 }' $dir/*.su)
verdict 5 "core for Cortex-M3 has no stack frame above 4096 bytes" "$([ "$frame" -gt 0 ] && [ "$frame" -le 4096 ] || echo "$frame bytes")"
echo "# $code bytes of code and constants; the largest stack frames:"
sort -t "$(printf '\t')" -k 2 -n -r $dir/*.su | awk -F '\t' 'NR <= 3 { sub(/.*:/, "", $1); print "#   " $2 " " $1 }'

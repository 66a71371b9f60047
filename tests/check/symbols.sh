#!/bin/sh
# What the objects ask of the outside, and what they show to it, read with nm.
#   - The core, freestanding, with each compiler at each level: asks for no more than the four memory functions that a
#     compiler may call by itself, defines only wf_ and wfi_ names, and has no mutable static data.
#   - The product: exports only wf_ names, and has no mutable static data but tls_now: mbedTLS's allocator has no context.
set -u
dir=build/check
mkdir -p $dir
core=$(./amalgamate --list core | grep '\.c$')
number=0
verdict() { # text, findings: none is well
    number=$((number + 1))
    if [ -z "$2" ]; then
        echo "ok $number - $1"
    else
        printf '%s\n' "$2" | sed 's/^/#   /'
        echo "not ok $number - $1"
    fi
}
# Position-independent code would put constant tables of pointers among the writable data.
plain="-std=c11 -ffreestanding -fno-pie -fno-stack-protector -Ibuild/gen"
data='$(NF-1) ~ /^[bBdDCsS]$/ { print "mutable static data: " $NF }'

echo 1..14
for cc in gcc clang; do
    for level in -O0 -O2 -Os; do
        all=$dir/core-$cc$level.o
        objects=""
        log=""
        for file in $core; do
            object=$dir/$(basename "$file" .c)-$cc$level.o
            objects="$objects $object"
            log=$log$($cc $plain $level -c -o "$object" "$file" 2>&1)
        done
        # shellcheck disable=SC2086
        log=$log$(ld -r -o "$all" $objects 2>&1)
        verdict "core, $cc $level: no symbol undefined but mem{cpy,move,set,cmp}" \
            "$log$(nm -u "$all" 2>&1 | awk '!/ (memcpy|memmove|memset|memcmp)$/')"
        verdict "core, $cc $level: wf_ and wfi_ names only, no mutable static data" \
            "$(nm --defined-only "$all" 2>&1 | awk '$(NF-1) ~ /^[A-Z]$/ && $NF !~ /^wfi?_/ { print "foreign name: " $NF } '"$data")"
    done
done

product=$dir/product.o
log=$(gcc -std=c11 -O2 -fno-pie ${INC:-} -c -o $product tests/amalg/impl.c 2>&1)
verdict "product: exports wf_ names only" "$log$(nm -g --defined-only $product 2>&1 | awk '$NF !~ /^wf_/ { print "foreign name: " $NF }')"
verdict "product: no mutable static data but tls_now" "$(nm --defined-only $product 2>&1 | grep -v ' tls_now$' | awk "$data")"

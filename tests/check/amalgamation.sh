#!/bin/sh
# The committed workflow.h is what ./amalgamate makes of the parts.
echo 1..1
if ./amalgamate --check 2>&1; then echo "ok 1 - workflow.h is up to date"; else echo "not ok 1 - workflow.h is up to date"; fi

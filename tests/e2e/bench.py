#!/usr/bin/env python3
"""That the bench itself works: every scene of it once, with few agents. What it measures says nothing then."""
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MAY_LACK = ("static wf", "system calls") # what is not built, or not installed

done = subprocess.run([sys.executable, "tests/bench/bench.py"], cwd=ROOT, env=dict(os.environ, WF_BENCH="smoke"),
                      stdout=subprocess.PIPE, stderr=subprocess.PIPE)
rows = [line for line in done.stdout.decode().splitlines() if line.startswith("| ")][1:]
missing = [row for row in rows if "not measured" in row and not row.startswith(tuple("| " + what for what in MAY_LACK))]

print("1..2")
print("%s 1 - every scene of the bench runs" % ("ok" if done.returncode == 0 else "not ok"))
if done.returncode != 0:
    for line in done.stderr.decode(errors="replace").splitlines()[-20:]:
        print("# " + line)
print("%s 2 - its table has a number in every row" % ("ok" if len(rows) > 30 and not missing else "not ok"))
for row in missing:
    print("# " + row)

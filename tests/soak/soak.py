#!/usr/bin/env python3
"""soak.py [SECONDS [LANES]]: many kinds of work and faults in one run over TLS, for long. Fails if anything grows.

A row per round, or each so many: every round ends in the same state, so the blocks of each heap must be what they were.
"""
import json
import os
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "server"))
from server import Server # noqa: E402

PROGRAM = os.path.join(ROOT, "build", "test", "soak")
HEAPS = ("script", "messages", "TLS")

# By what a prompt begins with; what no line names is answered well. Every second or third is answered well, so that retries do
# their work.
SCENARIO = r"""
set latency=5
accept every=97 : reset
accept every=89 : garbage
accept every=83 : close
on body="k01 " every=2 : status=500
on body="k02 " every=2 : status=503
on body="k03 " every=50 : status=429 header="retry-after-ms: 20"
on body="k04 " every=2 : reset-at=10
on body="k05 " every=2 : reset-at=600
on body="k06 " every=2 : close-at=20
on body="k07 " every=2 : close-at=500
on body="k08 " every=3 : hang-at=300
on body="k09 " every=3 : hang
on body="k10 " every=2 : bad-json
on body="k11 " every=2 : bad-utf8
on body="k12 " every=2 : no-stop
on body="k13 " every=2 : sse-error=2
on body="k14 " every=2 : gzip
on body="k15 " every=2 : status=502 html
on body="k16 " : big-header=4000
on body="k17 " : framing=chunked extensions trailers
on body="k18 " every=2 : framing=chunked bad-chunk
on body="k19 " : framing=close
on body="k20 " : close
on body="k21 " : interim=103
on body="k22 " every=2 : early status=503
on body="k23 " : status=400
on body="k24 " : stop=refusal
on body="k25 " : size=200000
on body="k26 " : piece=100 piece-gap=1
on body="k27 " turn=0 : tool=read input='{"path":"notes.txt"}'
on body="k28 " turn=0 : tool=grep input='{"pattern":"soak"}'
on body="k29 " turn=0 : tool=write input='{"path":"out/made.txt","content":"made"}'
on body="k30 " : tool=result input='{"n":1}'
on body="k31 " : tool=result input='{"n":"x"}'
on body="k33 " : hang
on body="k44 " turn=0 : tool=bash input='{"command":"echo x"}'
on body="k45 " : idle-close=1
on body="k46 " : status=413
"""


def rows_of(seconds, lanes, out):
    """The rounds as the program told them, and its exit code."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="wf-soak-") as root, Server(SCENARIO) as server:
        with open(os.path.join(root, "notes.txt"), "w", encoding="utf-8") as f:
            f.write("a line for the soak\n" * 50)
        script = os.path.join(ROOT, "tests", "soak", "soak.lua")
        command = [PROGRAM, root, server.url("https"), server.ca, script, str(seconds), str(lanes)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        for line in process.stdout:
            row = json.loads(line)
            if "round" not in row:
                continue
            rows.append(row)
            out(row)
        code = process.wait()
    return rows, code


def shown(row):
    heaps = ", ".join("%s %d blocks %d bytes" % (name, *row[name]) for name in HEAPS)
    return ("round %d: %d requests, %d connections; agents: %d done, %d failed, %d cancelled; %s; resident %d KB, %d descriptors"
            % (row["round"], row["requests"], row["connections"], row["done"], row["failed"], row["cancelled"], heaps,
               row["resident_kb"], row["files"]))


def faults(rows, code):
    """What is wrong, in words. The first quarter is a warm-up: tables take the room that they keep."""
    wrong = []
    if code != 0:
        wrong.append("the program ended with exit %d" % code)
    if len(rows) < 4:
        return wrong + ["only %d rounds" % len(rows)]
    warm, last = rows[len(rows) // 4], rows[-1]
    for name in HEAPS:
        if last[name][0] > max(row[name][0] for row in rows[:len(rows) // 4 + 1]):
            wrong.append("%s: blocks grew from %d to %d" % (name, warm[name][0], last[name][0]))
        if last[name][1] > warm[name][1] * 1.1 + 16384:
            wrong.append("%s: bytes grew from %d to %d" % (name, warm[name][1], last[name][1]))
    if last["resident_kb"] > warm["resident_kb"] * 1.05 + 4096:
        wrong.append("resident memory grew from %d to %d KB" % (warm["resident_kb"], last["resident_kb"]))
    for row in rows:
        if row["running"] or row["queued"] or row["agents"] != sum(row[k] for k in ("done", "failed", "cancelled", "not_run")):
            wrong.append("round %d: an agent has no named state: %s" % (row["round"], row))
        if not row["still"] or row["files"] > rows[0]["files"]:
            wrong.append("round %d: descriptors or children are left: %d" % (row["round"], row["files"]))
    return wrong


def main(seconds, lanes, every):
    def out(row):
        if row["round"] % every == 0 or row["round"] == 1:
            print("# " + shown(row), flush=True)

    rows, code = rows_of(seconds, lanes, out)
    wrong = faults(rows, code)
    if rows:
        print("# the last: " + shown(rows[-1]))
    for line in wrong[:20]:
        print("#   " + line)
    print("%s 1 - nothing grows in %d rounds of %d lanes" % ("not ok" if wrong else "ok", len(rows), lanes))
    print("1..1", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    given = [int(text) for text in sys.argv[1:]] + [600, 1000][len(sys.argv) - 1:]
    sys.exit(main(given[0], given[1], max(1, given[0] // 60)))

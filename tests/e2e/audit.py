#!/usr/bin/env python3
"""The audit workflow, with its offline model, over a tree with planted defects: counts found, refuted and missed.

tests/audit/tree        the sources, which carry no marks that could help a model
tests/audit/expected.json
    defects   must be reported and survive
    hard      real, but beyond the offline model: only counted
    decoys    look like a defect: must be refuted or never be reported
The binary is taken from $WF, else build/wf. Output: TAP.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WF = os.path.abspath(os.environ.get("WF", os.path.join(ROOT, "build", "wf")))
TREE = os.path.join(ROOT, "tests", "audit", "tree")
SCRIPT = os.path.join(ROOT, "examples", "audit", "audit.lua")
MODEL = "rules:" + os.path.join(ROOT, "examples", "audit", "model.lua")
BIG_FUNCTIONS = 3400  # about 300 KB: far more than one answer of a tool can hold

count = failed = 0


def check(good, text, *notes):
    global count, failed
    count += 1
    failed += not good
    print("%sok %d - %s" % ("" if good else "not ", count, text))
    if not good:
        for note in notes:
            for line in str(note).splitlines()[:20]:
                print("#   " + line)
    return good


def run(root, *args, options=()):
    log = os.path.join(os.path.dirname(root), "after-check-%d.wflog" % count) # a fresh name for each run
    command = [WF, "run", SCRIPT, "--model", MODEL, "--root", root, "--log", log, "--yes", "--quiet", *options, "--"]
    return subprocess.run(command + list(args), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=300, universal_newlines=True)


def key(finding):
    return (finding["file"], finding["line"], finding["rule"])


def keys(findings):
    return {key(f) for f in findings}


def line_of(tree, path, number):
    with open(os.path.join(tree, path)) as source:
        return source.read().split("\n")[number - 1].strip()


def plant_big(tree):
    """A long file whose only defect is in its last function. Answers where."""
    lines = ["#include <string.h>"]
    for n in range(BIG_FUNCTIONS):
        lines += ["int big_%d(int a) {" % n, "    /* strcpy(a, b) */ return a + %d; // gets" % n, "}"]
    lines += ["void big_last(char *to, const char *from) {", "    strcpy(to, from);", "}", ""]
    with open(os.path.join(tree, "src", "big.c"), "w") as out:
        out.write("\n".join(lines))
    return ("src/big.c", len(lines) - 2, "banned-call")


def check_manifest(expected):
    wrong = [e for kind in expected.values() for e in kind if line_of(TREE, e["file"], e["line"]) != e["text"]]
    check(not wrong, "the manifest quotes the planted lines", wrong)


def check_files(expected, kept):
    for path in sorted({e["file"] for kind in expected.values() for e in kind}):
        wanted = {k for k in keys(expected["defects"]) if k[0] == path}
        decoys = {k for k in keys(expected["decoys"]) if k[0] == path}
        missed, false = wanted - kept, decoys & kept
        check(not missed and not false, "%s: %d defects kept, %d decoys not" % (path, len(wanted), len(decoys)),
              "missed: %s" % sorted(missed), "kept, but a decoy: %s" % sorted(false))


def check_report(expected, result, tree, big):
    kept = keys(result["findings"])
    refuted = {key(entry["claim"]) for entry in result["refuted"]}
    defects, decoys, hard = (keys(expected[kind]) for kind in ("defects", "decoys", "hard"))
    check_files(expected, kept)
    extra = kept - defects - hard - {big}
    check(not extra, "nothing else is kept", sorted(extra))
    check(big in kept, "a defect at the end of a file of 300 KB is found")
    lost = refuted & (defects | hard)
    check(not lost, "no planted defect is refuted", sorted(lost))
    check(len(refuted & decoys) >= len(decoys) // 2, "the refuters had work: %d of %d decoys were reported, and refuted"
          % (len(refuted & decoys), len(decoys)))
    check(not result["unverified"] and not result["failed"], "every file was audited, every finding verified",
          result["unverified"], result["failed"])
    total = len(result["findings"]) + len(result["refuted"])
    check(result["found"] == total, "found = kept + refuted", result["found"], total)
    misquoted = [f for f in result["findings"] if f["evidence"] != line_of(tree, f["file"], f["line"])]
    check(not misquoted, "every finding quotes its line", misquoted)
    print("# found %d, refuted %d, missed %d" % (len(defects & kept), len(refuted), len(defects - kept)))
    print("# beyond the offline model: %d of %d found" % (len(hard & kept), len(hard)))


def check_text(text, result):
    check(("%d findings" % result["found"]) in text.split("\n")[0], "the text report begins with the counts", text)
    places = [text.find("\n%s (" % severity) for severity in ("HIGH", "MEDIUM")]
    check(0 < places[0] < places[1], "findings are grouped by severity, the worst first", text)
    absent = [f for f in result["findings"] if "%s:%d  %s" % key(f) not in text]
    check(not absent, "every kept finding is in the text report", absent)


def main():
    with open(os.path.join(ROOT, "tests", "audit", "expected.json")) as source:
        expected = json.load(source)
    check_manifest(expected)
    with tempfile.TemporaryDirectory() as work:
        tree = os.path.join(work, "tree")
        shutil.copytree(TREE, tree)
        big = plant_big(tree)
        done = run(tree, "dir=src", "format=json")
        if check(done.returncode == 0, "the audit completes", "exit %d" % done.returncode, done.stderr):
            result = json.loads(done.stdout)
            check_report(expected, result, tree, big)
            done = run(tree)
            check(done.returncode == 0, "the audit completes again, as text", done.stderr)
            check_text(done.stdout, result)
        done = run(tree, "dir=nowhere")
        check(done.returncode == 4 and "nowhere/**/*.c" in done.stderr, "a directory without sources is named",
              "exit %d" % done.returncode, done.stderr)
    print("1..%d" % count)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Every example does its work offline with its rules model: dry run, run, the same again from the log; those that only read are
resumed besides after their log was cut short. examples/review finds what was planted, examples/fix mends it. Output: TAP."""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WF = os.path.abspath(os.environ.get("WF", os.path.join(ROOT, "build", "wf")))

# Where each example that only reads runs, and with which args.
EXAMPLES = {"audit": ("tests/audit/tree", ["dir=src"]), "review": ("src", ["glob=core/run/*.h"])}

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


def wf(*args):
    return subprocess.run([WF, *args], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=200, universal_newlines=True)


def run(name, root, log, args=(), allow="read"):
    folder = os.path.join("examples", name)
    return wf("run", os.path.join(folder, name + ".lua"), "--model", "rules:" + os.path.join(folder, "model.lua"), "--yes",
              "--root", root, "--log", log, "--allow", allow, "--", *args)


def turns(log):
    """Replies that models gave, so that what was asked twice would show."""
    records = [json.loads(line) for line in wf("log", log, "--json").stdout.splitlines()]
    return sum(record.get("type") == "turn" for record in records)


def example(name):
    root, args = EXAMPLES[name]
    with tempfile.TemporaryDirectory() as folder:
        log, cut = os.path.join(folder, "run.wflog"), os.path.join(folder, "cut.wflog")
        dry = wf("check", "examples/%s/%s.lua" % (name, name), "--root", root, "--", *args)
        check(dry.returncode == 0 and not os.listdir(folder), name + ": dry run", dry.stderr)
        first = run(name, root, log, args)
        check(first.returncode == 0 and first.stdout.strip(), name + ": runs offline", first.stderr)
        asked = turns(log)
        again = wf("resume", log)
        check(again.returncode == 0 and again.stdout == first.stdout, name + ": the log gives the same result", again.stderr)
        check(asked > 0 and turns(log) == asked, name + ": and nothing was asked again", asked, turns(log))
        with open(log, "rb") as whole, open(cut, "wb") as half:
            data = whole.read()
            half.write(data[:len(data) * 2 // 3])
        kept = turns(cut)
        resumed = wf("resume", cut)
        check(resumed.returncode == 0 and resumed.stdout == first.stdout, name + ": cut at two thirds and resumed, the same",
              resumed.stderr)
        check(0 < kept < asked and turns(cut) == asked, name + ": and only what was lost was asked again", asked, kept, turns(cut))


def review_finds():
    """What is planted is reported; what only looks like it is not."""
    planted = ("Fine so far, and that that is not.\n"
               "`the the` is code, had, had is not one word twice\n"
               "TODO: end this sentence\n"
               "```\nfixed fixed TODO\n```\n"
               "TODOs are no mark of this kind\n")
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(os.path.join(folder, "docs"))
        with open(os.path.join(folder, "docs", "a.md"), "w") as to:
            to.write(planted)
        with open(os.path.join(folder, "docs", "long.md"), "w") as to: # more than one answer of the read tool
            to.write("".join("line number %d\n" % i for i in range(1, 901)) + "the end end\n")
        result = run("review", folder, os.path.join(folder, "log"), [])
        want = ["docs/a.md:1: a word stands twice: that that", "docs/a.md:3: a mark of unfinished work: TODO",
                "docs/long.md:901: a word stands twice: end end"]
        check(result.stdout.splitlines() == want, "review: reports what was planted, and no decoy", result.stdout, result.stderr)
        checked = re.search(r"(\d+) done, 0 failed", result.stderr)
        check(checked and int(checked.group(1)) == 2 + len(want) + 1, "review: a second reader saw each remark, and refuted one",
              result.stderr)


def fix_mends():
    """What is planted is mended, by one operator each; where that does not do, the report says so."""
    everything = "read,write,bash,exec"
    source = os.path.join(ROOT, "examples", "fix", "tree")
    with tempfile.TemporaryDirectory() as folder:
        tree, log = os.path.join(folder, "tree"), os.path.join(folder, "run.wflog")
        shutil.copytree(source, tree)
        dry = wf("check", "examples/fix/fix.lua", "--root", tree)
        check(dry.returncode == 0, "fix: dry run", dry.stderr)
        first = run("fix", tree, log, allow=everything)
        want = {"failing": [], "mended": {"tests/%s.c" % name: "src/text.c:%d: a wrong operator" % line
                                          for name, line in (("clip", 21), ("trim", 4), ("words", 14))}}
        check(first.returncode == 0 and json.loads(first.stdout) == want, "fix: mends what was planted", first.stdout, first.stderr)
        same = [name for name in os.listdir(source + "/tests") if open(source + "/tests/" + name).read() != open(tree + "/tests/" + name).read()]
        check(same == [] and "s[n - 1] == ' '" in open(tree + "/src/text.c").read(), "fix: and nothing else", same)
        asked = turns(log)
        again = wf("resume", log)
        check(again.stdout == first.stdout and turns(log) == asked > 0, "fix: the log gives the same result, nothing is asked again", again.stderr)
        os.rename(log, log + ".first")
        with open(os.path.join(tree, "tests", "never.c"), "w") as to:
            to.write('#include "check.h"\nint main(void) { CHECK(text_words("a-b") == 2); return 0; }\n')
        never = run("fix", tree, log, allow=everything)
        check(never.returncode == 3 and "1 failed" in never.stderr and json.loads(never.stdout) == {"failing": ["tests/never.c"], "mended": {}}, "fix: what no operator mends stays failing",
              never.stdout, never.stderr)
        os.rename(log, log + ".second")
        less = run("fix", tree, log, allow="read")
        check(less.returncode == 4 and "--allow read,exec" in less.stderr, "fix: without the right to run commands it says so", less.stderr)


def listed():
    folders = sorted(e.name for e in os.scandir(os.path.join(ROOT, "examples")) if e.is_dir())
    check(folders == sorted([*EXAMPLES, "fix"]), "all examples are tested here", folders)
    with open(os.path.join(ROOT, "examples", "README.md")) as page:
        named = re.findall(r"^\| \[(\w+)\]\(\1/\1\.lua\)", page.read(), re.M)
    check(sorted(named) == folders, "examples/README.md names each", named)


listed()
for each in sorted(EXAMPLES):
    example(each)
review_finds()
fix_mends()
print("1..%d" % count)
sys.exit(failed > 0)

#!/usr/bin/env python3
"""README.md tells the truth: its C program compiles against workflow.h alone and prints what the page says, its script is the
example's, its commands exist, its map agrees with the tree, its links lead somewhere. Output: TAP."""
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WF = os.path.abspath(os.environ.get("WF", os.path.join(ROOT, "build", "wf")))
WARN = ("-std=c11 -Wall -Wextra -Wpedantic -Wconversion -Wshadow " + os.environ.get("WERROR", "-Werror")).split()

with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as page:
    README = page.read()
SECTIONS = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", README, re.M | re.S))

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


def blocks(section, language):
    return re.findall(r"^```%s\n(.*?)^```$" % language, SECTIONS[section], re.M | re.S)


def call(*command, cwd=ROOT):
    return subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=120, universal_newlines=True)


def c_program():
    """The smallest complete program, with each compiler that is here, in a folder that has nothing but workflow.h."""
    source, expected = blocks("In a C program", "c")[0], blocks("In a C program", "text")[0]
    for compiler in ("gcc", "clang"):
        if not shutil.which(compiler):
            print("ok %d - C program, %s # SKIP it is not here" % (count + 1, compiler))
            continue
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(os.path.join(ROOT, "workflow.h"), folder)
            with open(os.path.join(folder, "hello.c"), "w", encoding="utf-8") as to:
                to.write(source)
            built = call(compiler, *WARN, "hello.c", "-pthread", "-o", "hello", cwd=folder)
            if not check(built.returncode == 0, "C program: compiles without a warning, " + compiler,
                         built.stderr):
                continue
            first, again = call("./hello", cwd=folder), call("./hello", "again", cwd=folder)
            check(first.returncode == again.returncode == 0, "C program: runs, and resumes, " + compiler,
                  first.stderr, again.stderr)
            check(first.stdout + again.stdout == expected, "C program: prints what the page says, " + compiler,
                  first.stdout + again.stdout)
            third = call("./hello", cwd=folder)
            check(third.returncode == 1 and "hello.wflog" in third.stderr, "C program: spares a log that is there, " + compiler,
                  third.stderr)


def script():
    with open(os.path.join(ROOT, "examples", "review", "review.lua"), encoding="utf-8") as example:
        check(blocks("A script", "lua") == [example.read()], "script: the one in examples/review, word for word")
    for line in blocks("A script", "sh")[0].splitlines():
        with tempfile.TemporaryDirectory() as folder:
            result = call(WF, *line.split()[1:6], "--log", os.path.join(folder, "log"), *line.split()[6:])
        check(line.split()[0] == "build/wf" and result.returncode == 0, "script: its command runs: " + line, result.stderr)
        check(result.stdout.strip() == "nothing to remark", "script: it finds nothing to remark in README.md", result.stdout)


def commands():
    told = re.findall(r"^\| `wf (\w+)", SECTIONS["Commands"], re.M)
    helped = re.findall(r"^  wf (\w+)", call(WF, "help").stdout, re.M)
    check(set(told) == set(helped[:helped.index("help") + 1]), "commands: those of `wf help`, no more and no less", told, helped)
    targets = re.findall(r"^make (\w+)", README, re.M)
    check(targets == ["run", "test"], "commands: make run, make test", targets)


def in_tree():
    """Files and folders that git knows, or would."""
    listed = call("git", "ls-files", "--cached", "--others", "--exclude-standard")
    if listed.returncode == 0:
        return listed.stdout.splitlines()
    return [os.path.relpath(os.path.join(at, name), ROOT) for at, _, names in os.walk(ROOT) for name in names]


def rooms():
    """The map names each top-level file and each folder that holds files, one below the top, or its parent as a whole."""
    told = re.findall(r"^(\S+)  +\S", blocks("Where things are", "text")[0], re.M)
    missing = [path for path in told if not os.path.exists(os.path.join(ROOT, path))]
    check(not missing, "map: all that it names is there", missing)
    check(len(told) == len(set(told)), "map: nothing is named twice", told)
    untold = set()
    for path in in_tree():
        parts = path.split("/")
        room = parts[0] if len(parts) == 1 else "/".join(parts[:2]) + "/" * (len(parts) > 2)
        if room in told or parts[0] + "/" in told or parts[0] in ("build", ".git", ".gitignore", ".clang-format", "README.md", "LICENSE"):
            continue
        untold.add(room)
    untold.discard("tests/run")
    untold.discard("examples/README.md")
    check(not untold, "map: every room is in it", sorted(untold))


def links():
    targets = re.findall(r"\]\(([^)#]+)\)", README) + re.findall(r"`((?:src|tests|examples|cli)/[\w./]+)`", README)
    dead = [t for t in targets if "://" not in t and not os.path.exists(os.path.join(ROOT, t))]
    check(targets and not dead, "links: all lead somewhere", dead)
    wide = [line for line in README.splitlines() if len(line) > 120 and not line.startswith("|")]
    check(not wide, "lines: at most 120 columns", *wide)


c_program()
script()
commands()
rooms()
links()
print("1..%d" % count)
sys.exit(failed > 0)

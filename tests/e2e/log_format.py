#!/usr/bin/env python3
"""docs/LOG.md says what a log is: its example is one, and a reader that was written from the page
alone (tests/logs/reader.py) says of every log what `wf log` says, whole, cut anywhere and with a bit
turned. WF is the command (build/wf)."""
import os
import random
import re
import subprocess
import sys
import tempfile

from lib.tap import case, done

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TESTS, "logs"))
import reader # noqa: E402

WF = os.path.abspath(os.environ.get("WF", "build/wf"))
SAMPLES = 60


def page():
    """The example's lines, and its bytes."""
    with open(os.path.join(os.path.dirname(TESTS), "docs", "LOG.md"), encoding="utf-8") as f:
        shown, dump = re.findall(r"^```text\n(.*?)^```", f.read(), re.S | re.M)[-2:]
    return shown, b"".join(bytes.fromhex(line[6:53]) for line in dump.splitlines())


def wf_log(path, *options):
    run = subprocess.run([WF, "log", path, *options], capture_output=True, check=False)
    return run.returncode, run.stdout.decode(), run.stderr.decode()


def by_reader(data):
    """What `wf log --json` should print; None: it should refuse."""
    try:
        return "".join(reader.line(r) + "\n" for r in reader.records(data))
    except reader.Damaged:
        return None


def both(path, data):
    """What differs between the two readers; empty: nothing."""
    with open(path, "wb") as f:
        f.write(data)
    want, (code, out, err) = by_reader(data), wf_log(path, "--json")
    if want is None:
        return "" if code == 74 else "it is damaged, and wf log exits %d" % code
    if want == "":
        return "" if code != 0 and "empty" in err else "it is empty, and wf log says: " + out + err
    return "" if (code, out) == (0, want) else "exit %d, %s\n%s\nwanted\n%s" % (code, err, out, want)


def spoilt(data, chance):
    for _ in range(SAMPLES):
        yield "cut at %d" % (at := chance.randrange(1, len(data))), data[:at]
        bad = bytearray(data)
        bad[(at := chance.randrange(8, len(data)))] ^= 1 << chance.randrange(8)
        yield "a bit turned at %d" % at, bytes(bad)
        yield "both", bytes(bad[:chance.randrange(at, len(data)) + 1])


def main():
    shown, data = page()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "hello.wflog")
        case(not (why := both(path, data)), "the page's example is a log", why)
        case(wf_log(path) == (0, shown, ""), "wf log shows it as the page does", wf_log(path))
        rules = reader.Rules()
        for record in reader.records(data):
            rules.check(record)
        case(rules.calls == 2, "it keeps the page's rules")
        wrong = [what + ": " + why for what, bytes_ in spoilt(data, random.Random(7)) if (why := both(path, bytes_))]
        case(not wrong, "cut or damaged, both readers say the same of it", "\n".join(wrong[:3]))
    return done()


sys.exit(main())

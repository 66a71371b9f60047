#!/usr/bin/env python3
"""Logs of earlier builds resume: no finished agent is asked again, and the result is the one that
the earlier build came to. tests/logs holds the logs and tells how they were made. WF is the
command (build/wf)."""
import json
import os
import sys

from lib.tap import case, done

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TESTS, "logs"))
import reader # noqa: E402
from cases import CASES, HERE, LOG, Place, went_on # noqa: E402

WF = os.path.abspath(os.environ.get("WF", "build/wf"))


def shown(place):
    """`wf show` and `wf runs` read it too."""
    show, runs = place.wf(WF, "show", LOG), place.wf(WF, "runs")
    fine = show[0] == 0 and b"\nagents:" in show[1]
    return fine and runs[0] == 0 and b"cannot be read" not in runs[1]


def reads_alike(place):
    """The log as it is now, by a reader that knows docs/LOG.md alone."""
    lines = "".join(reader.line(r) + "\n" for r in reader.read(os.path.join(place.root, LOG)))
    return lines == place.wf(WF, "log", LOG, "--json")[1].decode()


def main():
    with open(os.path.join(HERE, "expected.json")) as f:
        expected = json.load(f)
    for kept in CASES:
        with Place() as place:
            place.unpack(kept)
            case(shown(place), "the log '%s' of 7a63c90 is shown" % kept.name)
            want, (got, err) = expected[kept.name], went_on(place, WF, kept)
            case(reads_alike(place), "%s: the log is as docs/LOG.md says" % kept.name)
            case(got == want, "%s: %d finished, %d cached, %d new turns, the same result"
                 % (kept.name, want["finished"], want["cached"], want["turns"]),
                 "%s\nwanted %s\n%s" % (got, want, err))
    return done()


sys.exit(main())

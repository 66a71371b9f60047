#!/usr/bin/env python3
"""Measures build/wf as its users meet it, against the test server on this machine, and writes the table build/bench.md.

Every figure of a run is that of the whole process: start, checks, network, log on disk and synced, end. Figures that come from one
run of the bench can be compared with each other: what is measured takes turns. Medians, with the spread.

WF: the command (build/wf). WF_BENCH=smoke: every row once, with few agents and no peers, to see that
the bench itself works.
"""
import datetime
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile

import peers
import scenes
from table import Row, render
from world import STATIC, SYSTEM_BUNDLE, WF, Server, Wf

SMOKE = os.environ.get("WF_BENCH") == "smoke"
OUT = "build/bench.md"


def said_by(*command):
    try:
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=10).stdout.decode().strip()
    except OSError:
        return ""


def processor():
    try:
        with open("/proc/cpuinfo") as f:
            return re.search(r"model name\s*: (.*)", f.read()).group(1)
    except (OSError, AttributeError):
        return platform.machine()


def heading(remarks):
    commit = said_by("git", "describe", "--always", "--dirty") or "no commit"
    compiler = (said_by(os.environ.get("CC", "cc"), "--version").splitlines() or ["unknown compiler"])[0]
    node = said_by("node", "--version")
    return "\n".join([
        "# wf, measured", "",
        "%s, commit %s, %s, %d cores (%s), load %.1f at the start%s." % (
            datetime.date.today(), commit, compiler, os.cpu_count(), processor(), os.getloadavg()[0],
            ", Node " + node if node else ""), "",
        "Medians of whole processes; server, wf and peers share the cores. CPU is user and system time of the process with its children. "
        "A figure of a peer is how many times as much it takes as wf.", ""] + ["- " + remark for remark in remarks] +
        ([""] if remarks else []))


def binary_rows():
    note = "" if os.path.exists(STATIC) else "not built: make static"
    size = [os.path.getsize(STATIC) / 1e3] if os.path.exists(STATIC) else []
    return [Row("static wf, stripped", "KB", size, most=800, note=note), Row("build/wf, symbols and all", "KB", [os.path.getsize(WF) / 1e3])]


def main():
    remarks = [] if SYSTEM_BUNDLE else ["no CA bundle of the system here: the test authority alone was loaded"]
    scripts, skipped = peers.install() if not SMOKE else ({}, ["peers skipped: this only tries the bench"])
    top = heading(remarks + skipped)
    work = tempfile.mkdtemp(prefix="wf-bench-")
    sizes = scenes.Sizes.smoke() if SMOKE else scenes.Sizes()
    try:
        wf = Wf(work)
        rows = binary_rows()
        with Server(scenes.answers(0), record=True) as server:
            request = scenes.first_request(wf, server, rows)
            scenes.starts(wf, server, sizes, rows)
        with Server(scenes.answers(0)) as server:
            scenes.work_load(wf, server, scripts, request, sizes, rows)
            scenes.many_lanes(wf, server, sizes, rows)
            scenes.tool_loops(wf, server, sizes, rows)
            scenes.system_calls(wf, server, sizes, rows)
        scenes.commands(wf, sizes, rows)
        scenes.offline(wf, sizes, rows)
    finally:
        shutil.rmtree(work)
    table = top + "\n" + render(rows) + "\n"
    print(table)
    if not SMOKE:
        with open(OUT, "w") as f:
            f.write(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())

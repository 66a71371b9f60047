#!/usr/bin/env python3
"""Measures build/wf on rules models and prints a table; medians of several runs, with the spread.

Every figure comes from the command itself, as a user would run it: start of the process, log on disk, synced.
"""
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

WF = os.path.abspath(os.environ.get("WF", "build/wf"))
RUNS = int(os.environ.get("BENCH_RUNS", "5"))

SCRIPT = """
meta = { name = "bench", description = "independent agents" }
local n = args.n
local tasks = {}
for i = 1, n do tasks[i] = function() return agent("task " .. i) end end
local results, failures = parallel(tasks)
return #results .. " " .. #failures
"""

MODEL = """
return function() return { text = "ok", delay = %s, usage = { input_tokens = 10, output_tokens = 2 } } end
"""


def peak_of(pid):
    """KiB, or 0 when the process has gone."""
    try:
        with open("/proc/%d/status" % pid) as f:
            return next((int(line.split()[1]) for line in f if line.startswith("VmHWM:")), 0)
    except (OSError, ValueError):
        return 0


def run(args, cwd):
    """Wall seconds, CPU seconds, peak memory in KiB."""
    began = time.perf_counter()
    process = subprocess.Popen([WF, *args], cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    # the peak is read while it runs: what wait4 tells counts this interpreter's own memory, from before the exec
    peak, status = 0, None
    while status is None:
        peak = max(peak, peak_of(process.pid))
        pid, code, usage = os.wait4(process.pid, os.WNOHANG)
        status = code if pid else None
        if status is None:
            time.sleep(0.0005)
    wall = time.perf_counter() - began
    error = process.stderr.read()
    if status != 0:
        sys.exit("bench: %s: exit %d: %s" % (" ".join(args), os.waitstatus_to_exitcode(status), error.decode()))
    return wall, usage.ru_utime + usage.ru_stime, peak


def several(args, cwd, fresh_log=None):
    rows = []
    for _ in range(RUNS):
        if fresh_log and os.path.exists(fresh_log):
            os.remove(fresh_log)
        rows.append(run(args, cwd))
    return [(statistics.median(c), min(c), max(c)) for c in zip(*rows)]


def show(name, figure, unit, spread, note=""):
    print("%-52s %10.3f %-10s [%.3f .. %.3f] %s" % (name, figure, unit, spread[0], spread[1], note))


def main():
    work = tempfile.mkdtemp(prefix="wf-bench-")
    for name, text in (("run.lua", SCRIPT), ("slow.lua", MODEL % "0.05"), ("fast.lua", MODEL % "0")):
        with open(os.path.join(work, name), "w") as f:
            f.write(text)
    log = os.path.join(work, "log.wflog")

    def start(n, lanes, model):
        return ["run", "run.lua", "--quiet", "--yes", "--log", log, "--lanes", str(lanes), "--model", "rules:" + model, "--", "n=%d" % n]

    for lanes in (16, 250):
        ideal = -(-1000 // lanes) * 0.05
        wall, cpu, peak = several(start(1000, lanes, "slow.lua"), work, log)
        show("1,000 agents, 50 ms model, %d lanes: wall / ideal" % lanes, wall[0] / ideal, "x", (wall[1] / ideal, wall[2] / ideal),
             "(ideal %.2f s)" % ideal)
        show("  CPU", cpu[0], "s", cpu[1:])
        show("  peak memory", peak[0] / 1024, "MiB", (peak[1] / 1024, peak[2] / 1024))
        show("  log", os.path.getsize(log) / 1e6, "MB", (os.path.getsize(log) / 1e6,) * 2)
    for n in (100, 250, 500, 1000):
        wall, cpu, _ = several(start(n, 16, "fast.lua"), work, log)
        show("%d agents, no delay, 16 lanes: agents per second" % n, n / wall[0], "1/s", (n / wall[2], n / wall[1]))
        show("  CPU per agent, start of the process included", cpu[0] / n * 1e6, "us", (cpu[1] / n * 1e6, cpu[2] / n * 1e6))
    ended = log + ".ended"
    shutil.copy(log, ended)
    # the end record is cut off, so that the whole script runs again over 1,000 answers
    rows = []
    for _ in range(RUNS):
        shutil.copy(ended, log)
        with open(log, "r+b") as f:
            f.truncate(os.path.getsize(log) - 8)
        rows.append(run(["resume", log, "--quiet"], work)[0])
    show("resume of 1,000 finished agents, to the end", statistics.median(rows) * 1e3, "ms", (min(rows) * 1e3, max(rows) * 1e3))
    rows = [run(["version"], work)[0] for _ in range(RUNS * 4)]
    show("start of the process alone (wf version)", statistics.median(rows) * 1e3, "ms", (min(rows) * 1e3, max(rows) * 1e3))
    print("build/wf: %d bytes" % os.path.getsize(WF))
    shutil.rmtree(work)


main()

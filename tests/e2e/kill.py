#!/usr/bin/env python3
"""kill -9 at random moments of a real run of 200 agents, each time resumed.

After every kill: what the log says was finished is never started again, and the final result is, byte for byte, that
of a run that nobody disturbed. WF is the command (build/wf); WF_CAMPAIGN=full makes it 100 kills; WF_SEED another run.
"""
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

WF = os.path.abspath(os.environ.get("WF", "build/wf"))
KILLS = 100 if os.environ.get("WF_CAMPAIGN") == "full" else 12
SEED = int(os.environ.get("WF_SEED", "1"))

SCRIPT = """
meta = { name = "kill", description = "200 agents in nested fan-outs, some with tools and schemas" }
local NUMBER = { type = "object", properties = { n = { type = "integer" } }, required = { "n" } }
local seen = 0
local items = {}
for i = 1, 40 do items[i] = i end
local results, failures = pipeline(items,
    function(i) return agent("look at item " .. i, { label = "look " .. i }) end,
    function(text, i)
        seen = seen + 1 -- shared, but in no prompt: the result must not depend on timing
        return parallel({
            function() return agent("count " .. i .. " in " .. text, { schema = NUMBER }) end,
            function() return agent("count " .. i .. " again", { schema = NUMBER }) end,
            function() return race({
                function() return agent("quick " .. i) end,
                function() return agent("never " .. i) end }) end,
        })
    end)
return { results = results, failures = #failures, seen = seen, now = now() > 0, r = random(1, 1000000) > 0 }
"""

MODEL = """
return function(request)
    local first, last = request.messages[1].content[1], request.messages[#request.messages].content[1]
    local hash = 0
    for i = 1, #first.text do hash = (hash * 31 + string.byte(first.text, i)) % 1000003 end
    local delay = string.find(first.text, "^never") and 30 or (5 + hash % 25) / 1000
    if string.find(first.text, "^look") and last.type ~= "tool_result" then
        return { tool = { name = "read", input = { path = "note.txt" } }, delay = delay }
    end
    if string.find(first.text, "^count") then return { tool = { name = "result", input = { n = hash } }, delay = delay } end
    return { text = "seen " .. hash, delay = delay }
end
"""

cases = 0
failed = 0


def case(ok, text):
    global cases, failed
    cases += 1
    failed += not ok
    print("%s %d - %s" % ("ok" if ok else "not ok", cases, text), flush=True)


def command(*args):
    return [WF, *args, "--quiet"]


def records(log):
    out = subprocess.run([WF, "log", log, "--json"], capture_output=True, text=True, check=True).stdout
    return [json.loads(line) for line in out.splitlines()]


def finished(log):
    return {r["call"] for r in records(log) if r["type"] == "done"}


def run_to_end(args, cwd):
    done = subprocess.run(command(*args), cwd=cwd, capture_output=True, timeout=120)
    return done.returncode, done.stdout, done.stderr


def kill_after(args, cwd, seconds):
    process = subprocess.Popen(command(*args), cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
    process.communicate()
    return process.returncode


def turns_of(log, calls, after):
    return [r["call"] for r in records(log) if r["type"] == "turn" and r["call"] in calls and r["offset"] >= after]


def main():
    chance = random.Random(SEED)
    work = tempfile.mkdtemp(prefix="wf-kill-")
    for name, text in (("run.lua", SCRIPT), ("model.lua", MODEL), ("note.txt", "a note\n")):
        with open(os.path.join(work, name), "w") as f:
            f.write(text)
    start = ["run", "run.lua", "--model", "rules:model.lua", "--yes", "--log"]

    began = time.time()
    code, want, err = run_to_end(start + ["whole.wflog"], work)
    length = time.time() - began
    case(code == 0 and want, "undisturbed run: %.2f s, %d bytes of result" % (length, len(want)))
    if code != 0:
        sys.stderr.write(err.decode(errors="replace"))

    killed = 0
    lost = 0
    for i in range(KILLS):
        log = os.path.join(work, "k%d.wflog" % i)
        code = kill_after(start + [log], work, chance.uniform(0.0, length * 1.1))
        killed += code == -signal.SIGKILL
        if not os.path.exists(log):
            lost += 1  # killed before the log's header was on disk: nothing was asked of anybody
            continue
        while chance.random() < 0.4:  # and some are killed again while they resume
            kill_after(["resume", log], work, chance.uniform(0.0, length / 2))
        before, size = finished(log), os.path.getsize(log)
        code, got, err = run_to_end(["resume", log], work)
        again = turns_of(log, before, size)
        case(code == 0 and got == want and not again,
             "kill %d: %d finished, exit %d, result %s, asked again %s"
             % (i, len(before), code, "the same" if got == want else "DIFFERENT", again or "none"))
        if code != 0 or got != want:
            sys.stderr.write(err.decode(errors="replace")[-2000:])
    case(killed > KILLS // 3, "%d of %d runs were really killed (%d before their log had a name)" % (killed, KILLS, lost))
    shutil.rmtree(work)
    print("1..%d" % cases)
    return failed != 0


sys.exit(main())

#!/usr/bin/env python3
"""kill -9 at random moments of a run whose agents write, edit, run commands and read, each time resumed.

After every kill: no process is left, no turn that was finished is sent again, no tool or command that has run is run again,
and in the end the result and the files are those of a run that nobody disturbed. Every effect leaves a line of its own; the
model, told that one was interrupted, looks for that line before it goes on or does it again. WF is the command;
WF_CAMPAIGN=full makes it 100 kills; WF_SEED another run.
"""
import collections
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from lib.tap import case, done

WF = os.path.abspath(os.environ.get("WF", "build/wf"))
KILLS = 100 if os.environ.get("WF_CAMPAIGN") == "full" else 8
SEED = int(os.environ.get("WF_SEED", "1"))
AGENTS = 8
MARK = "WF_KILL_MARK=%d" % os.getpid()

SCRIPT = """
meta = { name = "kill", description = "agents with effects, and commands of the script between them" }

-- Runs the command, which leaves the line `name`, whatever happens: once.
local function once(name, command)
    local done, err = exec(command .. "; echo " .. name .. " >>effects/script")
    if done then return end
    if err.kind ~= "interrupted" then error(err) end
    log("interrupted: %s", name)
    if not string.find((read("effects/script")) or "", name .. "\\n", 1, true) then once(name, command) end
end

once("begin", "sleep 0.01; mkdir -p out")
local fns = {}
for i = 1, AGENTS do
    fns[i] = function()
        local text, err = agent("agent " .. i, { label = "agent " .. i })
        return text, err
    end
end
local results, failures = parallel(fns)
once("end", "sleep 0.01; cat out/*.txt >all")
return { results = results, failures = #failures, all = read("all") }
""".replace("AGENTS", str(AGENTS))

MODEL = """
local function has(text, what) return string.find(text, what, 1, true) end

return function(request)
    local i = string.match(request.messages[1].content[1].text, "%d+")
    local out, effects = "out/" .. i .. ".txt", "effects/" .. i
    local function bash(line, command) return { name = "bash", input = { command = command .. "; echo " .. line .. " >>" .. effects } } end
    local function read(path) return { name = "read", input = { path = path } } end
    local steps = { -- tools; and where the effect can be seen
        { { bash(i .. ".one", "sleep 0.01") }, effects, ".one" },
        { { read("note.txt"), read("note.txt") } },
        { { { name = "write", input = { path = out, content = "alpha " .. i .. "\\n" } } }, out, "alpha" },
        { { { name = "edit", input = { path = out, old = "alpha", new = "beta" } } }, out, "beta" },
        { { read(out), bash(i .. ".two", "sleep 0.01") }, effects, ".two" },
        { { bash(i .. ".three", "true") }, effects, ".three" },
        { { read(out) } },
    }
    local step, looking, told = 1, false, ""
    for m = 2, #request.messages do
        local message = request.messages[m]
        if message.role == "user" then
            told = ""
            for _, block in ipairs(message.content) do told = told .. (block.content or "") end
            if looking then
                looking = false
                if has(told, steps[step][3]) then step = step + 1 end
            elseif has(told, "interrupted, state unknown") then
                looking = true
            else
                step = step + 1
            end
        end
    end
    local delay = (3 + (step * 7 + i * 5) % 15) / 1000
    if looking then return { tool = read(steps[step][2]), delay = delay } end
    if steps[step] then return { tools = steps[step][1], delay = delay } end
    return { text = told, delay = delay }
end
"""

def environment():
    return {**os.environ, "NO_COLOR": "1", MARK.split("=")[0]: MARK.split("=")[1]}


def processes():
    found = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/environ" % pid, "rb") as f:
                found += MARK.encode() in f.read()
        except OSError:
            pass
    return found


class Run:
    """A run in a workspace of its own."""

    def __init__(self, work, name):
        self.folder = os.path.join(work, name)
        self.root = os.path.join(self.folder, "root")
        self.log = os.path.join(self.folder, "run.wflog")
        self.slowest = 0.0
        os.makedirs(os.path.join(self.root, "effects"))
        for name, text in (("run.lua", SCRIPT), ("model.lua", MODEL), ("root/note.txt", "a note\n")):
            with open(os.path.join(self.folder, name), "w") as f:
                f.write(text)

    def command(self):
        if os.path.exists(self.log):
            return [WF, "resume", self.log, "--quiet"]
        return [WF, "run", "../run.lua", "--model", "rules:../model.lua", "--allow", "read,write,bash,exec", "--yes", "--quiet",
                "--log", self.log]

    def to_end(self):
        done = subprocess.run(self.command(), cwd=self.root, capture_output=True, timeout=120, env=environment())
        return done.returncode, done.stdout, done.stderr.decode(errors="replace")

    def kill_after(self, seconds):
        """Whether it was killed; all that it had started is gone soon after."""
        process = subprocess.Popen(self.command(), cwd=self.root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   env=environment())
        try:
            process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        process.wait()
        began = time.time()
        while processes() > 0 and time.time() - began < 60:
            time.sleep(0.002)
        self.slowest = max(self.slowest, time.time() - began)
        return process.returncode == -signal.SIGKILL

    def records(self):
        out = subprocess.run([WF, "log", self.log, "--json"], capture_output=True, text=True, check=True).stdout
        return [json.loads(line) for line in out.splitlines()]

    def files(self):
        found = {}
        for folder, _, names in os.walk(self.root):
            for name in names:
                path = os.path.join(folder, name)
                with open(path) as f:
                    found[os.path.relpath(path, self.root)] = f.read()
        return found


def repeated(records):
    """Turns, tools and effects of the script that the log has twice."""
    seen = collections.Counter()
    turns = collections.Counter(r["call"] for r in records if r["type"] == "turn")
    for r in records:
        meta = r.get("meta", r)
        if r["type"] in ("intent", "block") and meta.get("id"):
            seen[(r["type"], r["call"], meta["id"])] += 1
        elif r["type"] == "intent":
            seen[("intent", r["call"])] += 1
        elif r["type"] == "done" and meta.get("turns", 0) != turns[r["call"]]:
            seen[("turns", r["call"], turns[r["call"]], meta.get("turns"))] += 2
    return [key for key, count in seen.items() if count > 1]


def interrupted(records):
    return sum(1 for r in records if r["type"] in ("block", "done") and "state unknown: " in json.dumps(r))


def main():
    chance = random.Random(SEED)
    work = tempfile.mkdtemp(prefix="wf-kill-tools-")
    whole = Run(work, "whole")
    began = time.time()
    code, want, err = whole.to_end()
    length = time.time() - began
    files = whole.files()
    lines = {"effects/%d" % i: "".join("%d.%s\n" % (i, n) for n in ("one", "two", "three")) for i in range(1, AGENTS + 1)}
    lines["effects/script"] = "begin\nend\n"
    records = whole.records()
    turns = sum(1 for r in records if r["type"] == "turn")
    case(code == 0 and all(files.get(name) == text for name, text in lines.items()) and turns == 8 * AGENTS and not repeated(records),
         "undisturbed run: %.2f s, %d turns, %d effects" % (length, turns, sum(text.count("\n") for text in lines.values())),
         err or (repeated(records), turns, files))

    killed = reported = nameless = 0
    slowest = 0.0
    for i in range(KILLS):
        run = Run(work, "k%d" % i)
        killed += run.kill_after(chance.uniform(0.0, length * 1.1))
        nameless += not os.path.exists(run.log)
        while chance.random() < 0.4:  # and some are killed again while they resume
            killed += run.kill_after(chance.uniform(0.0, length))
        code, got, err = run.to_end()
        records = run.records()
        again = repeated(records)
        told = interrupted(records)
        reported += told
        slowest = max(slowest, run.slowest)
        case(code == 0 and got == want and run.files() == files and not again and processes() == 0,
             "kill %d: exit %d, %s result, %s files, repeated %s, %d interrupted"
             % (i, code, "the same" if got == want else "ANOTHER", "the same" if run.files() == files else "OTHER", again or "none", told),
             "%s\n%s\n%s" % (err[-2000:], got.decode(errors="replace")[-500:],
                             {k: v for k, v in run.files().items() if files.get(k) != v}))
        shutil.rmtree(run.folder)
    case(killed > KILLS // 3, "%d kills of %d runs (%d before their log had a name); %d effects reported as interrupted; "
         "all processes gone after %.0f ms at most" % (killed, KILLS, nameless, reported, slowest * 1000))
    shutil.rmtree(work)
    return done()


sys.exit(main())

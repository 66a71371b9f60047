#!/usr/bin/env python3
"""A run that has too little memory pauses, and loses nothing. Each script here runs at several sizes of --memory. It ends
with the complete result and exit 0, or with 75 and a printed command. That command, pasted into a shell, goes on until the
result is there: the same bytes as with plenty of memory, and no finished agent asked again. WF is the command."""
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from lib.tap import case, done, write

WF = os.path.abspath(os.environ.get("WF", "build/wf"))
META = 'meta = { name = "t", description = "d" }\n'
ROOMY = "1G"
SIZES = ("8M", "16M", "64M")
MODEL = r"""
-- "size=N": an answer of N bytes; with a schema: the fields that it requires, and lists of lists for "deep".
local function value(name, prompt)
    if name == "refuted" then return prompt:find("Claim:\nwrong", 1, true) ~= nil end
    if name == "answer" then return "yes" end
    if name == "deep" then
        local v = { "end" }
        for i = 1, 50 do v = { v, i } end
        return v
    end
    return ("r"):rep(tonumber(prompt:match("size=(%d+)")) or 10)
end

return function(request)
    local prompt = request.messages[1].content[1].text
    for _, tool in ipairs(request.tools or {}) do
        if tool.name == "result" then
            local input = {}
            for _, name in ipairs(tool.input_schema.required) do input[name] = value(name, prompt) end
            return { tool = { name = "result", input = input } }
        end
    end
    local n = tonumber(prompt:match("size=(%d+)")) or 0
    return { text = "re " .. #prompt .. " " .. prompt:sub(-9):gsub("%s", "_") .. ("x"):rep(n) }
end
"""
LIB = """
local function text(i, kb) return "p" .. i .. (" abcdefghijklmno"):rep(kb * 64) .. " " .. i end
local function times(n, f)
    local fns = {}
    for i = 1, n do fns[i] = function() return f(i) end end
    return fns
end
"""
# Each returns a value that does not depend on the order in which agents finish.
SCRIPTS = {
    "prompts of 300 KB": """
        local r, f = parallel(times(100, function(i) return agent(text(i, 300)) end))
        return { r, #f }""",
    "prompts that are kept": """
        local r, f = parallel(times(60, function(i)
            local p = text(i, 200)
            local a = agent(p)
            return { a, agent(p .. "again") }
        end))
        return { r, #f }""",
    "nested fan-outs": """
        local r, f = parallel(times(12, function(i)
            local r, f = parallel(times(12, function(k) return agent(text(i .. "." .. k, 100)) end))
            return { r, #f }
        end))
        return { r, #f }""",
    "pipelines": """
        local r, f = pipeline(range_of(60), function(i) return agent("size=100000 " .. i) end,
            function(a, i) return agent(a .. i) .. #a end)
        return { r, #f }""",
    "races": """
        local n = 0
        local r, f = parallel(times(20, function(i)
            local w, k = race(times(3, function(k) return agent("same " .. text(i, 100)) end))
            return w
        end))
        return { r, #f }""",
    "verify": """
        local claims = {}
        for i = 1, 100 do claims[i] = (i % 7 == 0 and "wrong " or "right ") .. text(i, 40) end
        local kept, rest = verify(claims, { lenses = { "one", "two" } })
        local out = {}
        for i, r in ipairs(rest) do out[i] = r.verdict .. #r.claim .. #r.reasons end
        return { #kept, kept[1], json.array(out) }""",
    "vote": """
        local out = {}
        for i = 1, 10 do out[i] = vote(text(i, 300), { voters = 5 }) end
        return out""",
    "workflows": """
        local r, f = parallel(times(10, function(i) return workflow("inner.lua", { i = i }) end))
        return { r, #f }""",
    "check functions": """
        local r, f = parallel(times(30, function(i)
            local n = 0
            return agent(text(i, 200), { check = function(a) n = n + 1 return n > 1, "not yet " .. #a end })
        end))
        return { r, #f }""",
    "answers that are kept": """
        local r, f = parallel(times(60, function(i) return agent("size=500000 " .. i) end))
        local n = 0
        for i = 1, #r do n = n + #(r[i] or "") end
        return { n, #f, r[7] }""",
    "files and commands": """
        local r, f = parallel(times(30, function(i)
            return { read("big.txt"), exec("cat big.txt").out, #files("*.txt") }
        end))
        local n = {}
        for i = 1, #r do n[i] = r[i] and #r[i][1] + #r[i][2] + r[i][3] end
        return { n, #f }""",
    "deep JSON": """
        local S = { type = "object", properties = { deep = { type = "array" }, s = { type = "string" } },
                    required = { "deep", "s" } }
        local r, f = parallel(times(60, function(i) return agent("size=100000 " .. i, { schema = S }) end))
        return { r, #f }""",
    "a large result": """
        local r, f = parallel(times(20, function(i) return agent("size=1000000 " .. i) end))
        return { r, #f }""",
    "errors caught": """
        local out = {}
        for i = 1, 40 do
            local ok, a = pcall(function()
                local c <close> = setmetatable({}, { __close = function() log("closed %d", i) agent("closing " .. i) end })
                return (agent(text(i, 20)) .. "x"):rep(20000)
            end)
            out[i] = ok and a or "LOST " .. tostring(a)
        end
        local n = 0
        for i = 1, #out do n = n + #out[i] end
        return { n, out[40]:sub(1, 50) }""",
    "texts": """
        local out = {}
        for i = 1, 30 do
            local ok, s = pcall(function()
                local t = text(i, 300)
                return t:upper() .. t:reverse():gsub("a", "b"):sub(1, 9) .. json.encode(json.decode(json.encode({ t })))
            end)
            out[i] = ok and s or "LOST " .. s
            log("%d", #out[i])
        end
        table.sort(out, function(a, b) return a .. "x" < b .. "x" end)
        local n = 0
        for i = 1, #out do n = n + #out[i] end
        return { agent(out[1]), agent(out[30]), n }""",
}
INNER = META + LIB + """
local r, f = parallel(times(8, function(k) return agent(text(args.i .. "." .. k, 150)) end))
return { r, #f }
"""
RANGE = "local function range_of(n) local t = {} for i = 1, n do t[i] = i end return t end\n"


class Place:
    """A folder that goes away, with a script, the model, and wf in its PATH."""

    def __init__(self, body):
        self.dir = tempfile.mkdtemp(prefix="wf-memory-")
        os.makedirs(os.path.join(self.dir, "bin"))
        os.symlink(WF, os.path.join(self.dir, "bin/wf"))
        ours = ("ANTHROPIC_", "XDG_CONFIG", "WF_")
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
        self.env.update(NO_COLOR="1", HOME=self.dir)
        self.env["PATH"] = os.path.join(self.dir, "bin") + ":" + self.env["PATH"]
        write(self.dir, "model.lua", MODEL)
        write(self.dir, "inner.lua", INNER)
        write(self.dir, "big.txt", "0123456789abcde\n" * 16000)
        self.script(body)

    def __enter__(self):
        return self

    def __exit__(self, *why):
        shutil.rmtree(self.dir)

    def script(self, body):
        write(self.dir, "s.lua", META + LIB + RANGE + body)

    def shell(self, command):
        ran = subprocess.run(["sh", "-c", command], cwd=self.dir, env=self.env, capture_output=True,
                             stdin=subprocess.DEVNULL, timeout=600)
        return ran.returncode, ran.stdout, ran.stderr.decode()

    def start(self, size, log="x.wflog"):
        return ("wf run s.lua --model rules:model.lua --yes --sync off --allow read,exec --log %s --memory %s"
                % (log, size))

    def killed(self, command, after):
        """kill -9 after so many seconds, unless it has ended before."""
        with subprocess.Popen(command.split(), cwd=self.dir, env=self.env, stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            time.sleep(after)
            process.send_signal(signal.SIGKILL)

    def finished(self):
        """The places of the calls that the log holds answers of: each once, or it was asked again."""
        path, seen = {}, []
        for line in self.shell("wf log x.wflog --json")[1].splitlines():
            record = json.loads(line)
            if record["type"] == "call":
                path[record["call"]] = record["meta"]["path"]
            if record["type"] == "done" and not record["meta"].get("kind"):
                seen.append(path[record["call"]])
        return seen


def census(err):
    found = re.findall(r"^(?:done|paused|completed before): (\d+) done, (\d+) failed, (\d+) cached", err, re.M)
    return [int(n) for n in found[-1]] if found else None


def advice(err):
    found = re.findall(r"go on: (wf resume x\.wflog --memory \d+M)$", err, re.M)
    return found[0] if len(found) == 1 and "needs more memory than --memory" in err else None


def wrong(place, got, want, before):
    """What is wrong with a run that has ended; None: nothing. before: calls that had finished."""
    code, out, err = got
    count = census(err)
    if code not in (0, 75) or not count or (code == 0 and count[1] > 0) or "endless" in err:
        return "exit %d, %s" % (code, count)
    seen = place.finished()
    if len(seen) != len(set(seen)):
        return "asked again: %s" % sorted(p for p in set(seen) if seen.count(p) > 1)
    if not set(before) <= set(seen):
        return "lost: %s" % sorted(set(before) - set(seen))
    if code == 0 and out != want:
        return "another result: %d bytes, wanted %d" % (len(out), len(want))
    if code == 75 and not advice(err):
        return "no advice"
    return None


def go_on(place, got, want):
    """Follows the printed commands. The fault met on the way, if any, and how often it paused."""
    pauses, before = 0, []
    while True:
        fault = wrong(place, got, want, before)
        if not fault and pauses > 5:
            fault = "it pauses again and again"
        if fault or got[0] == 0:
            return fault and "%s\n%s" % (fault, got[2]), pauses
        pauses, before = pauses + 1, place.finished()
        got = place.shell(advice(got[2]))


def sizes(name, body):
    with Place(body) as place:
        want = place.shell(place.start(ROOMY))
        case(want[0] == 0 and census(want[2])[1] == 0 and b"LOST" not in want[1], "%s, %s" % (name, ROOMY),
             want[2])
        for size in SIZES:
            os.remove(os.path.join(place.dir, "x.wflog"))
            got = place.shell(place.start(size))
            fault, pauses = go_on(place, got, want[1])
            case(not fault, "%s, %s: complete after %d pauses" % (name, size, pauses),
                 fault)


def killed(name, body, seed):
    """kill -9 at any moment, and too little memory, one after the other."""
    dice = random.Random(seed)
    with Place(body) as place:
        want = place.shell(place.start(ROOMY))[1]
        os.remove(os.path.join(place.dir, "x.wflog"))
        place.killed(place.start(dice.choice(SIZES)), 0.1 + dice.random())
        if not os.path.exists(os.path.join(place.dir, "x.wflog")):
            place.shell(place.start("8M"))
        before, fault = place.finished(), None
        for _ in range(3):
            command = "wf resume x.wflog --memory " + dice.choice(SIZES)
            place.killed(command, dice.random())
            got = place.shell(command)
            fault = fault or wrong(place, got, want, before)
            before = place.finished()
        got = place.shell("wf resume x.wflog --memory " + ROOMY)
        fault = fault or wrong(place, got, want, before)
        case(not fault and got[0] == 0, "%s, killed and starved, seed %d" % (name, seed), "%s\n%s" % (fault, got[2]))


def edited():
    """Paused, the same size again, then edited: what had finished stays an answer."""
    body = SCRIPTS["prompts that are kept"]
    with Place(body) as place:
        first = place.shell(place.start("16M"))
        again = place.shell("wf resume x.wflog --memory 16M")
        less = place.shell("wf resume x.wflog --memory 8M")
        case(first[0] == again[0] == less[0] == 75 and census(again[2])[2] >= census(first[2])[0] > 0,
             "resumed with the same memory and with less: what is there is kept", again[2] + less[2])
        before = place.finished()
        place.script(body.replace("return { r, #f }", 'return { r, #f, agent("more") }'))
        got = place.shell(place.start(ROOMY))
        fault = wrong(place, got, got[1], before)
        case(got[0] == 0 and not fault and census(got[2])[0] == 121 and census(got[2])[2] == len(before),
             "edited after a pause: %d answers are taken over" % len(before), "%s\n%s" % (fault, got[2]))


ONLY = sys.argv[1:]
for NAME, BODY in SCRIPTS.items():
    if not ONLY or NAME in ONLY:
        sizes(NAME, BODY)
if not ONLY or "killed" in ONLY:
    for SEED, NAME in enumerate(("prompts of 300 KB", "nested fan-outs", "answers that are kept", "verify")):
        killed(NAME, SCRIPTS[NAME], SEED)
if not ONLY or "edited" in ONLY:
    edited()
sys.exit(done())

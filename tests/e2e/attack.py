#!/usr/bin/env python3
"""What hostile and clumsy users found: each case was a bug once.

WF is the command (build/wf).
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

from lib.tap import case, done

WF = os.path.abspath(os.environ.get("WF", "build/wf"))
OK = 'return function(request) return { text = "ok" } end\n'
META = 'meta = { name = "attack", description = "a test" }\n'
ROOT = tempfile.mkdtemp(prefix="wf-attack-")

def workspace(script, model=OK):
    folder = tempfile.mkdtemp(dir=ROOT)
    for name, text in (("s.lua", META + script), ("m.lua", model)):
        with open(os.path.join(folder, name), "w") as f:
            f.write(text)
    return folder


def arguments(*options):
    return [WF, "run", "s.lua", "--yes", "--model", "rules:m.lua", *options]


def wf(folder, args, timeout=120):
    began = time.time()
    p = subprocess.run(args, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout)
    return p.returncode, p.stdout, p.stderr, time.time() - began


def census(err):
    for line in err.splitlines():
        if " done, " in line and " not run" in line:
            words = line.split(": ", 1)[1].split(", ")
            return {name: int(n.replace(",", "")) for n, name in (w.split(" ", 1) for w in words)}
    return {}


def test_stop_does_not_wait_for_a_backoff():
    folder = workspace(
        'parallel({ function() return agent("a") end, function() return agent("b") end })',
        """return function(r)
            if r.messages[1].content[1].text == "a" then return { error = { status = 529, retry_after = 100 } } end
            return { delay = 0.2, error = { status = 401, message = "no" } }
        end""")
    code, _, err, seconds = wf(folder, arguments("--log", "l.wflog"))
    case(code == 78 and seconds < 60, "a refused key ends the run though another agent waits to retry", err[-300:])


def test_requests_behind_a_bad_one():
    folder = workspace(
        """local _, failures = parallel({ function() return agent("busy") end, function() return agent("one") end,
            function() return agent("two") end, function() return agent("three") end })
        return #failures""",
        """return function(r)
            if r.messages[1].content[1].text == "busy" then
                for i = 1, 3000000 do end
                return { text = "b" }
            end
            local input = {}
            local at = input
            for i = 1, 123 do at.a = {} at = at.a end
            if #r.messages == 1 then return { tool = { name = "read", input = input } } end
            return { text = "fin" }
        end""")
    code, out, err, seconds = wf(folder, arguments("--stall", "200s"))
    case(code in (0, 3) and seconds < 60, "a request that a rules model cannot take up holds up no other", err[-300:])


def test_broken_fan_out():
    folder = workspace(
        """local hold, fns, ok = {}, {}, nil
        for i = 1, 1000 do fns[i] = function() return agent("p" .. i) end end
        parallel({ function()
            pcall(function() while true do hold[#hold + 1] = string.rep("q" .. #hold, 4000) end end)
            for i = 1, 30 do hold[#hold] = nil end
            ok = pcall(parallel, fns)
            hold = nil
            return true
        end })
        for i = 1, 3 do agent("more " .. i) end
        return ok""",
        'return function(r) return { text = "ok", delay = 0.02 } end')
    code, out, err, _ = wf(folder, arguments("--memory", "8M"))
    case(code == 75 and out == "" and "--memory 32M" in err and census(err).get("done") == 0,
         "a script that is out of memory begins no more agents", out + err[-300:])


def test_result_over_the_log():
    folder = workspace('return agent("x")')
    wf(folder, arguments("--log", "l.wflog"))
    before = open(os.path.join(folder, "l.wflog"), "rb").read()
    os.symlink("l.wflog", os.path.join(folder, "link"))
    codes = [wf(folder, [WF, "resume", "l.wflog", "-o", name])[0] for name in ("l.wflog", "./l.wflog", "link")]
    codes.append(wf(folder, arguments("-o", "s.lua"))[0])
    codes.append(wf(folder, arguments("--log", "new.wflog", "-o", "new.wflog"))[0])
    after = open(os.path.join(folder, "l.wflog"), "rb").read()
    case(codes == [2] * 5 and before == after and not os.path.exists(os.path.join(folder, "new.wflog")),
         "-o never overwrites the run's log or script", "exits %s" % codes)


def test_same_second():
    folder = workspace('return agent("x")', 'return function(r) return { text = "ok", delay = 0.2 } end')
    runs = [subprocess.Popen(arguments("--quiet"), cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL) for _ in range(8)]
    codes = [p.wait(timeout=120) for p in runs]
    logs = os.listdir(os.path.join(folder, ".wf", "runs"))
    case(codes == [0] * 8 and len(logs) == 8, "runs of one folder and second have logs of their own", "exits %s" % codes)


def test_refused_requests_cost_nothing():
    folder = workspace(
        """local fns = {}
        for i = 1, 5 do fns[i] = function() return agent("p" .. i) end end
        parallel(fns)
        agent("last")
        return 1""",
        """return function(r)
            if r.messages[1].content[1].text == "last" then return { text = "x", delay = 0.4 } end
            return { error = { status = 400, message = "no" } }
        end""")
    p = subprocess.Popen(arguments("--budget-tokens", "60000", "--lanes", "1", "--log", "l.wflog", "--quiet"), cwd=folder,
                         stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(0.2)
    p.kill()
    p.wait()
    code, _, err, _ = wf(folder, [WF, "resume", "l.wflog"])
    case(code == 3, "after a kill, requests that were refused are not counted against the budget", err[-300:])


def test_agent_cap():
    folder = workspace("""local fns = {}
        for i = 1, 10 do fns[i] = function() return agent("p" .. i) end end
        local results, failures = parallel(fns)
        return #failures""")
    code, out, err, _ = wf(folder, arguments("--agents", "4", "--log", "l.wflog"))
    case((code, out) == (5, "6\n") and census(err).get("not run") == 6, "agents beyond the cap are counted as not run", err[-300:])
    code, out, err, _ = wf(folder, [WF, "resume", "l.wflog", "--agents", "10"])
    counted = census(err)
    case((code, out) == (0, "0\n") and (counted.get("done"), counted.get("cached")) == (10, 4),
         "and a resume with a higher cap runs them", err[-300:])


def test_census_at_a_deadline():
    folder = workspace("""local fns = {}
        for i = 1, 300 do fns[i] = function() return agent("p" .. i) end end
        parallel(fns)""", 'return function(r) return { text = "ok", delay = 0.1 } end')
    code, _, err, _ = wf(folder, arguments("--deadline", "150ms"))
    counted = census(err)
    case(code == 7 and sum(counted.get(k, 0) for k in ("done", "failed", "cancelled", "not run")) == 300,
         "at a deadline the census adds up to all that was asked", str(counted))


def test_budgets_of_every_size():
    folder = workspace("""local fns = {}
        for i = 1, 12 do fns[i] = function() return agent("p" .. i) end end
        local _, failures = parallel(fns)
        return #failures""", """return function(r)
            return { text = "text", delay = 0.005, usage = { input_tokens = 200, output_tokens = 100 } }
        end""")
    over = []
    for i, budget in enumerate((1, 299, 16000, 17200, 17500, 18000, 19000, 33000, 36000, 60000)):
        log = "b%d.wflog" % i
        code, _, _, _ = wf(folder, arguments("--budget-tokens", str(budget), "--lanes", "3", "--log", log, "--quiet"))
        lines = wf(folder, [WF, "log", log, "--json"])[1].splitlines()
        turns = [r["meta"] for r in map(json.loads, lines) if r["type"] == "turn"]
        spent = sum(t.get("in", 0) + t.get("out", 0) for t in turns)
        if spent > budget or code != (0 if len(turns) == 12 else 5):
            over.append((budget, spent, code))
    case(not over, "no token budget, however small, is overshot", str(over))


def test_memory_message():
    folder = workspace("local t = {} while true do t[#t + 1] = #t end")
    code, _, err, _ = wf(folder, arguments("--quiet", "--memory", "16M"))
    case(code == 75 and "--memory 64M" in err, "a script out of memory is told what to do", err[-300:])


def test_huge_error():
    folder = workspace('error(string.rep("e", 3000000))')
    code, _, err, seconds = wf(folder, arguments("--quiet"))
    case(code == 4 and len(err) < 100000, "an error of megabytes is cut",
         "%d bytes, %.1f s" % (len(err), seconds))


def main():
    for name, test in sorted(globals().items()):
        if name.startswith("test_"):
            try:
                test()
            except subprocess.TimeoutExpired as e:
                case(False, "%s ends" % name, str(e))
    shutil.rmtree(ROOT, ignore_errors=True)
    return done()


sys.exit(main())

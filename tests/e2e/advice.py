#!/usr/bin/env python3
"""What a run that ended short says: the cause once, and the command that goes on, chosen by the cause.

Each printed command is run by a shell, as a user would paste it, after the cause was removed. WF is the command."""
import os
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
MODEL = """
return function(request)
    local prompt = request.messages[1].content[1].text
    if BROKEN then return BROKEN end
    return { text = "did " .. prompt, usage = { input_tokens = 1, output_tokens = 1 } }
end
"""
FAULT = '{ error = { status = 400, message = "the cause" } }'
QUOTA = '{ error = { status = 402, message = "the cause" } }'
ASK = 'return assert(agent("one"))'


class Place:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="wf-advice-")
        os.makedirs(os.path.join(self.dir, "bin"))
        os.symlink(WF, os.path.join(self.dir, "bin/wf"))
        ours = ("ANTHROPIC_", "XDG_CONFIG", "WF_")
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
        self.env.update(NO_COLOR="1", HOME=self.dir)
        self.env["PATH"] = os.path.join(self.dir, "bin") + ":" + self.env["PATH"]

    def __enter__(self):
        return self

    def __exit__(self, *why):
        shutil.rmtree(self.dir)

    def model(self, broken="nil"):
        write(self.dir, "model.lua", "local BROKEN = %s\n%s" % (broken, MODEL))

    def script(self, text):
        write(self.dir, "s.lua", META + text + "\n")

    def shell(self, command):
        ran = subprocess.run(["sh", "-c", command], cwd=self.dir, env=self.env, capture_output=True,
                             stdin=subprocess.DEVNULL, timeout=120)
        return ran.returncode, ran.stdout.decode(), ran.stderr.decode()

    def run(self, more="", log="x.wflog"):
        return self.shell("wf run s.lua --model rules:model.lua --yes --log %s %s" % (log, more))

    def interrupt(self, more):
        """Ctrl-C, once a command of the script is under way."""
        command = "wf run s.lua --model rules:model.lua --yes --log x.wflog " + more
        process = subprocess.Popen(command.split(), cwd=self.dir, env=self.env, stderr=subprocess.PIPE,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        while not os.path.exists(os.path.join(self.dir, "begun")) and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
        return process.returncode, out.decode(), err.decode()


def commands(err):
    """What may be pasted: the rest of each line from "wf resume" or "wf run" on."""
    return re.findall(r"^.*: (wf (?:resume|run) .*?)(?: \(the key .*)?$", err, re.M)


def check(what, got, code, advice, cause=None):
    """advice: the commands, as they are printed. cause: it stands once."""
    fine = got[0] == code and commands(got[2]) == advice
    if cause:
        fine = fine and got[2].count(cause) == 1
    case(fine, what, "exit %d, wanted %d %s\n%s" % (got[0], code, advice, got[2]))
    return commands(got[2])


def goes_on(p, command, want, what):
    code, out, err = p.shell(command)
    case(code == 0 and out == want, what + ": the command goes on", "%s\n%d %s %s" % (command, code, out, err))


def failures():
    """An agent's failure, however the script passes it on: the script is not blamed, and the cause stands once."""
    for name, text in (("assert", ASK), ("nil, err", 'return agent("one")'),
                       ("error", 'local a, e = agent("one") if not a then error(e) end return a')):
        with Place() as p:
            p.model(FAULT)
            p.script(text)
            got = p.run()
            advice = check("a failed request, " + name, got, 4, ["wf resume x.wflog --retry-failed"], "the cause")
            case("the script failed" not in got[2], name + ": the script is not said to have failed", got[2])
            p.model()
            goes_on(p, advice[0], "did one\n", name)


def kept_failures():
    """One that a resumed run would have from its log."""
    with Place() as p:
        p.model('{ tool = { name = "result", input = { n = "x" } } }')
        p.script('return assert(agent("one", { schema = { type = "object", required = { "m" } } })).m')
        advice = check("a kept failure", p.run(), 4, ["wf resume x.wflog --retry-failed"])
        p.model('{ tool = { name = "result", input = { m = "y" } } }')
        goes_on(p, advice[0], "y\n", "a kept failure")


def agents_budget():
    """A limit that the script sets is the script's to raise."""
    with Place() as p:
        p.model()
        text = 'return assert(agent("one", { budget = { tokens = %d } }))'
        p.script(text % 100)
        advice = check("an agent's own budget", p.run(), 4, ["wf run s.lua --log x.wflog --retry-failed --yes"])
        p.script(text % 100000)
        goes_on(p, advice[0], "did one\n", "an agent's own budget")


def effects():
    """A file that is not there: create it, or change the script."""
    with Place() as p:
        p.model()
        p.script('return assert(read("a.txt"))')
        advice = check("a missing file", p.run(), 4,
                       ["wf resume x.wflog --retry-failed", "wf run s.lua --log x.wflog --yes"], "no such file")
        write(p.dir, "a.txt", "text")
        goes_on(p, advice[0], "text\n", "a missing file")


    with Place() as p:
        p.model()
        p.script('local got = { files = files("{") }\nreturn got.files and "some" or "none"')
        got = p.run()
        check("a list that cannot be had", got, 4,
              ["wf resume x.wflog --retry-failed", "wf run s.lua --log x.wflog --yes"])
        case("the script failed: s.lua:2: files: " in got[2] and "\n2 | local got" in got[2],
             "a list that cannot be had is an error of the script, with its line", got[2])
        p.script('local ok, e = pcall(files, "{")\nreturn tostring(ok) .. e.kind .. #files("*.lua")')
        os.remove(os.path.join(p.dir, "x.wflog"))
        got = p.run()
        case(got[:2] == (0, "falsescript2\n"), "pcall takes it", got)


def scripts():
    """Only an error of the script's own is its to fix; its name and its args are in the command."""
    with Place() as p:
        p.model()
        p.script('return agent(args.who) .. nothing.x')
        got = p.run("-- who=\"it's me\"", log="'it''s \"a\" log'")
        name = "'its \"a\" log'"
        advice = check("an error of the script", got, 4,
                       ["wf run s.lua --log %s --args '{\"who\":\"it'\\''s me\"}' --yes" % name])
        p.script('return agent(args.who)')
        goes_on(p, advice[0], "did it's me\n", "an error of the script")
    with Place() as p:
        p.model(FAULT)
        p.script('local a, e = agent("one") if not a then error("no: " .. tostring(e)) end return a')
        advice = check("an error that may be the script's or the agent's", p.run(), 4,
                       ["wf run s.lua --log x.wflog --yes", "wf resume x.wflog --retry-failed"])
        p.model()
        goes_on(p, advice[1], "did one\n", "an error that may be either's")


def some_failed():
    with Place() as p:
        p.model(FAULT)
        p.script('local r = parallel({ function() return agent("one") end }) return r[1] or "none"')
        advice = check("completed, an agent failed", p.run(), 3, ["wf resume x.wflog --retry-failed"], "the cause")
        again = p.shell("wf resume x.wflog")
        check("completed before, an agent failed", again, 3, ["wf resume x.wflog --retry-failed"])
        p.model()
        goes_on(p, advice[0], "did one\n", "completed, an agent failed")


def stops():
    ten = 'local t = {} for i = 1, 10 do t[i] = assert(agent("a" .. i)) end return #t .. ""'
    for what, more, code, log_more in (("budget", "--budget-tokens 5000", 5, " --budget-tokens 10000"),
                                       ("the agents' number", "--agents 5", 5, " --agents 10")):
        with Place() as p:
            p.model('{ text = "x", usage = { input = 10, output = 30 } }')
            p.script(ten)
            got = p.run(more)
            advice = check("stopped, " + what, got, code, ["wf resume x.wflog" + log_more])
            case("the script failed" not in got[2], what + ": the script is not said to have failed", got[2])
            goes_on(p, advice[0], "10\n", what)
    with Place() as p:
        p.model('{ text = "x", usage = { input = 10, output = 30 } }')
        write(p.dir, "s.lua", META.replace(" }", ", budget = { tokens = 5000 } }") + ten)
        check("stopped by the script's own budget", p.run(), 5, ["wf run s.lua --log x.wflog --yes"])
    with Place() as p:
        p.model(QUOTA)
        p.script(ASK)
        got = p.run()
        advice = check("paused", got, 75, ["wf resume x.wflog"], "the cause")
        p.model()
        goes_on(p, advice[0], "did one\n", "paused")


def cancelled():
    with Place() as p:
        p.model()
        for text in ('return exec("touch begun; sleep 100")', 'assert(exec("touch begun; sleep 100"))'):
            p.script(text)
            got = p.interrupt("--allow read,exec")
            check("Ctrl-C during exec", got, 6, ["wf resume x.wflog"], "cancelled by a signal")
            case("the script failed" not in got[2] and "\ncancelled: " in got[2], "it is cancelled, not failed", got[2])
            os.remove(os.path.join(p.dir, "begun"))
            os.remove(os.path.join(p.dir, "x.wflog"))


def quiet():
    """Nothing told it before: the summary does."""
    with Place() as p:
        p.model(FAULT)
        p.script(ASK)
        check("quiet", p.run("--quiet"), 4, ["wf resume x.wflog --retry-failed"], "the cause")


for part in (failures, kept_failures, agents_budget, effects, scripts, some_failed, stops, cancelled, quiet):
    part()
sys.exit(done())

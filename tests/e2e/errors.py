#!/usr/bin/env python3
"""An error that a script raises in a branch is never silent: it is printed once with its file and
line, counted in the census, sets exit code 3 at least, and is told by wf show, wf runs and a later
wf resume; wf check fails with 4. An agent's error that is raised on stays the agent's. WF is the
command."""
import json
import os
import shutil
import subprocess
import sys
import tempfile

from lib.tap import case, done, write

WF = os.path.abspath(os.environ.get("WF", "build/wf"))
META = 'meta = { name = "t", description = "d" } '
MODEL = """
return function(request)
    local prompt = request.messages[1].content[1].text
    if prompt:find("FAIL", 1, true) then return { error = { status = 400, message = "the cause" } } end
    if prompt:find("Try to refute", 1, true) then
        return { tool = { name = "result", input = { refuted = false, reason = "r" } } }
    end
    return { text = "did " .. prompt, delay = SLOW and prompt == "slow" and 3600 or 0 }
end
"""
BAD = "local function bad()\n  %s\nend\n"  # the body is on line 2
TYPO = 'return agnet("x")'
TYPO_SAID = "s.lua:2: undefined global 'agnet' (did you mean 'agent'?)"


class Place:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="wf-errors-")
        ours = ("ANTHROPIC_", "XDG_CONFIG", "WF_")
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
        self.env.update(NO_COLOR="1", HOME=self.dir)
        self.model()

    def __enter__(self):
        return self

    def __exit__(self, *why):
        shutil.rmtree(self.dir)

    def model(self, slow=False):
        write(self.dir, "model.lua", "local SLOW = %s\n%s" % (str(slow).lower(), MODEL))

    def script(self, text, body=TYPO, name="s.lua"):
        write(self.dir, name, META + BAD % body + text + "\n")

    def wf(self, *args):
        ran = subprocess.run([WF, *args], cwd=self.dir, env=self.env, capture_output=True,
                             stdin=subprocess.DEVNULL, timeout=600)
        return ran.returncode, ran.stdout.decode(), ran.stderr.decode()

    def run(self, *more, script="s.lua", log="x.wflog"):
        place = ("--log", log) if log else ()
        return self.wf("run", script, "--model", "rules:model.lua", "--yes", *place, *more)


def counted(text, n):
    """Whether the text has a census with n script errors; 0: with none."""
    said = "%d %s failed: script errors" % (n, "branch" if n == 1 else "branches")
    return said in text if n > 0 else "script errors" not in text


def same(got, code, said, n):
    """said: the messages, each of which stands once on a line of its own."""
    lines = got[2].splitlines()
    fine = all(sum(line.startswith("script error: " + m) for line in lines) == 1 for m in said)
    fine = fine and sum(line.startswith("script error: ") for line in lines) == len(said)
    return got[0] == code and fine and counted(got[2], n)


def events(got, code, said, n):
    lines = [json.loads(line) for line in got[1].splitlines()]
    texts = [e["text"] for e in lines if e["event"] == "error"]
    fine = len(texts) == len(said) and all(any(t.startswith(m) for t in texts) for m in said)
    end = lines[-1]
    return fine and (end["exit"], end["census"]["script_errors"], got[0]) == (code, n, code)


def everywhere(p, what, code, said, n):
    """All that speaks of a run."""
    for option in ("", "--quiet"):
        got = p.run(*option.split(), log="x%s.wflog" % option)
        case(same(got, code, said, n), "%s: told and counted %s" % (what, option), got)
    got = p.run("--json", log="json.wflog")
    case(events(got, code, said, n), what + ": told by --json", got)
    got = p.wf("resume", "json.wflog", "--json")
    case(code == 4 or events(got, code, said, n), what + ": told by --json when it is resumed", got)
    got = p.wf("resume", "x.wflog")
    case(same(got, code, said, n), what + ": told by a resume", got)
    got = p.wf("show", "x.wflog")
    fine = got[0] == 0 and counted(got[1], n) and all(got[1].count("script error: " + m) == 1 for m in said)
    case(fine and (code == 0) == ("status:   done\n" in got[1]), what + ": told by wf show", got)
    p.run(log=None)
    got = p.wf("runs")
    case(got[0] == 0 and counted(got[1], n) and ("  done " in got[1]) == (code == 0), what + ": told by wf runs", got)
    got = p.wf("check", "s.lua")
    case(got[0] == (4 if code else 0) and all(m in got[2] for m in said), what + ": wf check fails", got)


KINDS = (
    ("an undefined global", TYPO, TYPO_SAID),
    ("an index of nil", "local t return t.x", "s.lua:2: attempt to index a nil value (local 't')"),
    ("a call of nil", "local t = {} return t.x()", "s.lua:2: attempt to call a nil value (field 'x')"),
    ("arithmetic on a text", 'return "x" + 1', "s.lua:2: attempt to perform arithmetic on a string value"),
    ("a comparison", "return {} < 1", "s.lua:2: attempt to compare table with number"),
    ("a wrong argument", 'return ("x"):rep({})', "s.lua:2: bad argument #1 to 'rep' (number expected, got table)"),
    ("a wrong option", 'return agent("x", { labell = "x" })',
     "s.lua:2: agent: there is no option 'labell' (did you mean 'label'?)"),
    ("a wrong option's value", 'return agent("x", { model = 3 })', "s.lua:2: agent: model takes a text, got number"),
    ("a wrong prompt", "return agent()", "s.lua:2: agent: the prompt takes a text, got nil"),
    ("a text", 'error("oops")', "s.lua:2: oops"),
    ("a text without a line", 'error("oops", 0)', "s.lua:2: oops"),
    ("an empty text", 'error("")', "s.lua:2: "),
    ("a number", "error(7)", "s.lua:2: an error without a message: 7"),
    ("a table", "error({ code = 3 })", "s.lua:2: an error without a message: a table"),
    ("a table with a message", 'error({ message = "oops" })', "s.lua:2: oops"),
    ("a table of the script's own kind", 'error({ kind = "mine", message = "oops" })', "s.lua:2: mine: oops"),
    ("a table that tells itself", 'error(setmetatable({}, { __tostring = function() return "oops" end }))',
     "s.lua:2: oops"),
    ("a table that cannot tell itself", "error(setmetatable({}, { __tostring = function() error({}) end }))",
     "s.lua:2: an error whose __tostring raises an error"),
    ("nil", "error(nil)", "s.lua:2: an error without a message: nil"),
    ("assert", "assert(false)", "s.lua:2: assertion failed!"),
    ("assert with a text", 'assert(nil, "oops")', "s.lua:2: oops"),
    ("a metamethod", 'return #setmetatable({}, { __len = function() error("oops", 0) end })', "s.lua:2: oops"),
    ("a __close", 'local x <close> = setmetatable({}, { __close = function() error("oops", 0) end }) return 1',
     "s.lua:2: oops"),
    ("a callback of gsub", 'return ("abc"):gsub("b", function(x) return x.y.z end)', "s.lua:2: attempt to index a nil"),
    ("a callback of sort", "table.sort({ 2, 1 }, function(a, b) return a.x < b.x end)",
     "s.lua:2: attempt to index a number value (local 'a')"),
    ("a recursion", "local function f() return 1 + f() end return f()", "s.lua:2: stack overflow"),
    ("a recursion of arguments", "local function f(...) return 1 + f(1, ...) end return f()",
     "s.lua:2: stack overflow"),
    ("a text that is too long", 'return (("x"):rep(12 << 20)) .. "x"', "s.lua:2: a text of more than 12582912 bytes"),
    ("a missing file", 'return assert(read("none"))', "s.lua:2: tool: no such file or directory: none"),
    ("a wrong glob", 'return files("{")', 's.lua:2: files: glob "{": a { is never closed'),
    ("a failure that was only returned",
     'local _, f = parallel({ function() return nil, "gave up" end }) error(f)', "s.lua:2: 1 of 1 failed: script: gave up"),
)

REFUTED = 'verify({ "a", "b" }, %s)'
PLACES = (
    ("parallel", 'return (parallel({ bad, function() return agent("b") end }))', 3, 1),
    ("parallel, failures taken", "local r, f = parallel({ bad }) return #f", 3, 1),
    ("two branches", "return (parallel({ bad, bad }))", 3, 2),
    ("a pipeline's first stage", 'return (pipeline({ "a", "b" }, bad))', 3, 2),
    ("a pipeline's last stage, one item",
     'return (pipeline({ "a", "b" }, function(x) return agent(x) end, function(r, item) if item == "b" then bad() end return r end))', 3, 1),
    ("race, a loser", 'return (race({ bad, function() return agent("b") end }))', 3, 1),
    ("race, all", 'local v, f = race({ bad, function() return agent("FAIL") end }) return v or "none"', 3, 1),
    ("verify, its context", "return (%s)" % REFUTED % "{ context = setmetatable({}, { __tostring = bad }) }", 3, 4),
    ("vote, its context", 'return (vote("q", { context = setmetatable({}, { __tostring = function() return bad() end }),'
     " voters = 2 }))", 4, 0),
    ("a check function", 'return (parallel({ function() return agent("a", { check = bad }) end }))', 3, 1),
    ("nested", 'return (race({ function() return pipeline({ "a" }, function() return parallel({ bad }) end) end }))', 3, 1),
    ("nested, failures raised on", "return (parallel({ function() local _, f = parallel({ bad }) error(f) end }))", 3, 1),
    ("nested, a failure raised on",
     "return (parallel({ function() local _, f = parallel({ bad }) error(f.at[1]) end }))", 3, 1),
    ("a workflow in a branch", 'return (parallel({ function() return workflow("w.lua") end }))', 3, 1),
    ("a workflow's branch", 'return workflow("w.lua", { inside = true })', 3, 1),
    ("the script too", "parallel({ bad }) return missing", 4, 1),
)
HANDLED = (
    ("a pcall in the branch", 'return (parallel({ function() return (select(2, pcall(bad))) and "x" end }))'),
    ("an xpcall in the branch", 'return (parallel({ function() xpcall(bad, function() end) return "x" end }))'),
    ("a pcall of an agent with a check",
     'return (parallel({ function() pcall(agent, "a", { check = bad }) return "x" end }))'),
    ("a pcall of a workflow", 'return (parallel({ function() pcall(workflow, "w.lua") return "x" end }))'),
    ("a drop", "return (parallel({ function() return nil end }))"),
)
AGENTS = (
    ("assert", 'assert(agent("FAIL"))', 1),
    ("error", 'local _, e = agent("FAIL") error(e)', 1),
    ("a pcall between", 'local _, e = pcall(function() return assert(agent("FAIL")) end) error(e)', 1),
    ("a list of failures", 'local _, f = parallel({ function() return agent("FAIL") end }) error(f)', 1),
    ("assert of a race", 'return assert(race({ function() return agent("FAIL") end }))', 1),
    ("an answer rejected for good", 'return assert(agent("a", { check = function() return false, "no" end }))', 1),
)


def kinds():
    """Whatever is raised, and however: with the line, although the raise may name none."""
    for what, body, said in KINDS:
        with Place() as p:
            p.script('return (parallel({ bad, function() return "fine" end }))', body)
            got = p.run("--quiet")
            case(same(got, 3, [said], 1) and got[1] == '[false,"fine"]\n', "raised: " + what, got)


def places():
    for what, text, code, n in PLACES:
        with Place() as p:
            p.script(text)
            inner = 'if args.inside then return (parallel({ bad })) end bad()'
            write(p.dir, "w.lua", META + BAD.replace("\n", " ", 1) % TYPO + inner)
            said = TYPO_SAID
            if "workflow" in text:
                said = said.replace("s.lua:2", "w.lua:1")
            if n == 0:
                got = p.run("--quiet")
                case(got[0] == code and said in got[2], what + ": the script fails", got)
                continue
            everywhere(p, what, code, [said], n)


def nothing_raised():
    for what, text in HANDLED:
        with Place() as p:
            p.script(text)
            write(p.dir, "w.lua", META + "return agnet()")
            everywhere(p, "handled by " + what, 0, [], 0)
    for what, body, failed in AGENTS:
        with Place() as p:
            p.script("return (parallel({ bad }))", body)
            got = p.run()
            case(same(got, 3, [], 0) and ", %d failed" % failed in got[2], "an agent's error raised on: " + what, got)


def stops():
    """What a stop leaves undone is no mistake of the script: a resumed run does it."""
    with Place() as p:
        p.script("return (parallel({ function() local r = parallel({ bad, bad }) return #r[1] + #r[2] end }))",
                 'return agent("a")')
        got = p.run("--agents", "1")
        case(same(got, 5, [], 0), "raised for want of what a stop refused", got)
        got = p.wf("resume", "x.wflog", "--agents", "2")
        case(got[0] == 0 and got[1] == "[10]\n", "the resumed run has it", got)


def workflow_fails():
    with Place() as p:
        p.script('return workflow("w.lua")')
        write(p.dir, "w.lua", META + '\nerror("deep", 0)')
        got = p.run()
        case(got[0] == 4 and "the script failed: w.lua:2: deep" in got[2] and counted(got[2], 0),
             "a workflow that fails the script, with its line", got)


def many():
    with Place() as p:
        p.script('local fns = {} for i = 1, 30 do fns[i] = function() error("oops " .. i) end end return (parallel(fns))')
        said = ["s.lua:4: oops %d" % i for i in (1, 2, *range(3, 21))]
        got = p.run()
        lines = [line for line in got[2].splitlines() if line.startswith("script error: ")]
        case(lines == ["script error: " + m for m in said] + ["script error: more of them, which are only counted"] and
             counted(got[2], 30), "many errors: twenty are told, all are counted", got)


def long_name():
    name = "a" * 80 + ".lua"
    with Place() as p:
        p.script("return (parallel({ bad }))", name=name)
        got = p.run(script=name)
        case(got[2].count(".lua:2: ") == 1, "a long name stands once", got)


def killed():
    """A resumed run meets the errors again, and tells them."""
    with Place() as p:
        p.model(slow=True)
        p.script('parallel({ bad, function() agent("a") return bad() end }) return agent("slow")')
        process = subprocess.Popen([WF, "run", "s.lua", "--model", "rules:model.lua", "--yes", "--log", "x.wflog"],
                                   cwd=p.dir, env=p.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE)
        with process:
            while process.poll() is None:
                line = process.stderr.readline()
                if line.startswith(b"     1 ok"):
                    break
            process.kill()
        p.model()
        for what in ("killed", "completed"):
            got = p.wf("resume", "x.wflog")
            case(same(got, 3, [TYPO_SAID], 2) and got[1] == "did slow\n", "resumed after it was " + what, got)


def changed():
    """After the script was changed, the errors of the old one are no longer told."""
    with Place() as p:
        p.script("return (parallel({ bad }))")
        p.run()
        p.script('return (parallel({ bad }))', 'error("another")')
        case(same(p.run(), 3, ["s.lua:2: another"], 1), "a changed script goes on, and has another error")
        got = p.wf("show", "x.wflog")
        case("s.lua:2: another" in got[1] and "agnet" not in got[1], "wf show has the errors of the last one", got)
        p.script('return (parallel({ bad }))', 'return "fine"')
        got = p.run()
        case(got[:2] == (0, '["fine"]\n') and counted(got[2], 0), "a script that was put right has none", got)
        got = p.wf("show", "x.wflog")
        case("script error" not in got[1] and "status:   done\n" in got[1], "wf show has none either", got)


for part in (kinds, places, nothing_raised, stops, workflow_fails, many, long_name, killed, changed):
    part()
sys.exit(done())

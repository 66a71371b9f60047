"""The command wf, as its users meet it: what it prints, where, and with which exit code; and every kind of bad input.
WF names the binary; default build/wf."""
import json
import os
import pty
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

WF = os.path.abspath(os.environ.get("WF", "build/wf"))
CASES = []


def case(function):
    CASES.append(function)
    return function


class Box:
    """A folder of its own, and wf run in it."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="wf-cli-")
        self.state = tempfile.mkdtemp(prefix="wf-cli-state-")
        self.write("hello.lua", HELLO)
        self.write("model.lua", MODEL)

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, text):
        with open(self.path(name), "wb") as f:
            f.write(text if isinstance(text, bytes) else text.encode())

    def read(self, name):
        with open(self.path(name), "rb") as f:
            return f.read()

    def start(self, *args, **more):
        strange = ("WF_", "NO_COLOR", "ANTHROPIC_", "XDG_CONFIG", "SSL_CERT", "HTTPS_PROXY", "NO_PROXY", "https_proxy",
                   "no_proxy")
        env = {k: v for k, v in os.environ.items() if not k.startswith(strange)}
        env["HOME"] = self.dir
        env["XDG_STATE_HOME"] = self.state
        env.update(more.pop("env", {}))
        return subprocess.Popen([WF, *args], cwd=more.pop("cwd", self.dir), env=env, stdin=more.pop("stdin", subprocess.DEVNULL),
                                stdout=more.pop("stdout", subprocess.PIPE), stderr=subprocess.PIPE, **more)

    def wf(self, *args, input=None, **more):
        """(exit code, stdout, stderr)"""
        if input is not None:
            more["stdin"] = subprocess.PIPE
        p = self.start(*args, **more)
        out, err = p.communicate(input, timeout=60)
        return p.returncode, (out or b"").decode(), err.decode()

    def run(self, script="hello.lua", *args, model="rules:model.lua", **more):
        return self.wf("run", script, "--model", model, "--yes", *args, **more)

    def logs(self):
        folder = self.path(".wf/runs")
        return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


HELLO = """meta = { name = "hello", description = "Greets", phases = { { title = "Greet" } } }
local who = args and args.who or "world"
local a = agent("greet " .. who, { label = "greeter", phase = "Greet" })
log("said %s", tostring(a))
return a
"""
MODEL = """return function(request)
  local text = request.messages[1].content
  if type(text) == "table" then text = text[1].text end
  if text:find("slow") then return { text = "slept", delay = 0.2 } end
  if text:find("sleep") then return { text = "slept", delay = 30 } end
  if text:find("fail") then return { error = { status = 400, message = "told to fail" } } end
  return { text = "did: " .. text }
end
"""
META = 'meta = { name = "t", description = "t" }\n'


def want(what, got, expected):
    if got != expected:
        raise AssertionError("%s: %r, wanted %r" % (what, got, expected))


def has(what, text, *parts):
    for part in parts:
        if part not in text:
            raise AssertionError("%s: %r is not in %r" % (what, part, text[-1500:]))


def usage(result, *parts):
    """Exit 2, nothing on stdout, one line that names the thing and the mend."""
    code, out, err = result
    want("exit", code, 2)
    want("stdout", out, "")
    want("lines", err.count("\n"), 1)
    has("stderr", err, "wf: ", *parts)


def trouble(result, code, *parts):
    want("exit", result[0], code)
    want("stdout", result[1], "")
    has("stderr", result[2], "wf: ", *parts)


# ---- what works ----

@case
def prints_the_result_and_nothing_else_on_stdout(b):
    code, out, err = b.run("hello.lua", "--", "who=you")
    want("exit", code, 0)
    want("stdout", out, "did: greet you\n")
    has("stderr", err, "greeter", "1 done, 0 failed, 0 cached", "log: .wf/runs/")
    want("logs", len(b.logs()), 1)
    want("gitignore", b.read(".wf/.gitignore"), b"*\n")


@case
def tables_come_as_json(b):
    b.write("t.lua", META + "return { list = { 1, 2 }, text = 'x' }")
    code, out, _ = b.run("t.lua")
    want("exit", code, 0)
    want("value", json.loads(out), {"list": [1, 2], "text": "x"})


@case
def large_results_arrive_whole(b):
    b.write("t.lua", META + "return ('x'):rep(3000000)")
    code, out, _ = b.run("t.lua")
    want("exit", code, 0)
    want("bytes", len(out), 3000001)


@case
def out_takes_the_result(b):
    b.write("r.txt", "older and much longer than the result is")
    code, out, _ = b.run("hello.lua", "-o", "r.txt")
    want("exit and stdout", (code, out), (0, ""))
    want("file", b.read("r.txt"), b"did: greet world")


@case
def args_are_json_or_pairs_or_both(b):
    b.write("t.lua", META + "return args")
    want("json", json.loads(b.run("t.lua", "--args", '{"a": [1]}')[1]), {"a": [1]})
    b.write("args.json", '{"a": {"b": null}, "c": 1}')
    want("file", json.loads(b.run("t.lua", "--args", "@args.json")[1])["c"], 1)
    pairs = json.loads(b.run("t.lua", "--args", '{"a": 1, "z": "old"}', "--", "n=3", "t=true", "s=x y", "z=new", "e=")[1])
    want("both", pairs, {"a": 1, "n": 3, "t": True, "s": "x y", "z": "new", "e": ""})


@case
def pairs_are_numbers_where_nothing_is_lost(b):
    b.write("t.lua", META + "return args")
    for text, value in (("4e92345", None), ("1.10", None), ("12345678901234567890", None), ("1e10", None), (" 1", None),
                        ("007", None), ("-0", None), ("+1", None), (".5", None), ("5.", None), ("0x10", None), ("inf", None),
                        ("nan", None), ("1.0", None), ("1 ", None), ("9223372036854775808", None), ("5", 5), ("-3", -3), ("0", 0),
                        ("0.5", 0.5), ("-1.25", -1.25), ("0.1", 0.1), ("9223372036854775807", 9223372036854775807),
                        ("true", True), ("True", None), ("", None)):
        code, out, err = b.run("t.lua", "--quiet", "--", "v=" + text)
        want(text, (code, json.loads(out)), (0, {"v": text if value is None else value}))
    want("null", json.loads(b.run("t.lua", "--", "v=null")[1]), {"v": None})
    usage(b.run("t.lua", "--args", '{"v": 4e92345}'), "--args", "4e92345", "in quotes")


@case
def files_may_begin_as_others_write_them(b):
    """a byte order mark and a line for the kernel; lines keep their numbers"""
    for head in ("\ufeff", "#!/usr/bin/env wf\n", "\ufeff#!wf\r\n", "#"):
        b.write("model.lua", head + "\nreturn function() return { text = 'x' } end")
        b.write("t.lua", head + "\n" + META + "return agent('a')")
        want(repr(head), b.run("t.lua", "--quiet"), (0, "x\n", ""))
        want("check", b.wf("check", "t.lua")[0], 0)
        b.write("t.lua", head + "\n" + META + "return nothing")
        has(repr(head), b.run("t.lua")[2], "t.lua:%d: undefined global" % (3 + head.count("\n")))
        b.write("model.lua", head + "\nreturn function(")
        has(repr(head), b.run("t.lua")[2], "model.lua:%d: " % (2 + head.count("\n")))


LIMITS = (
    ("return " + " .. ".join(['"a"'] * 300), "nested too deeply, or too many pieces", "table.concat"),
    ("return " + "f(" * 260 + "1" + ")" * 260, "nested too deeply", "table"),
    ("return " + "{" * 260 + "}" * 260, "nested too deeply", "table"),
    ("local " + ", ".join("a%d" % i for i in range(150)) + " local " + ", ".join("b%d" % i for i in range(99)),
     "too many local variables", "one table"),
    ("return f(" + ", ".join(["x"] * 300) + ")", "too many registers", "table"),
)


@case
def limits_of_lua_are_told_with_what_to_write(b):
    for line, what, mend in LIMITS:
        b.write("t.lua", META + "log('x')\n" + line)
        for result in (b.run("t.lua"), b.wf("check", "t.lua")):
            trouble(result, 4, "t.lua:3: ", what, mend, "\n3 | " + line[:50])
        b.write("model.lua", "\n" + line)
        b.write("t.lua", META + "return 1")
        usage(b.run("t.lua"), "model.lua:2: ", what, mend)
        b.write("model.lua", MODEL)


@case
def what_is_printed_goes_to_stderr(b):
    b.write("model.lua", "print('loaded') return function(r) print('asked', #r.messages) return { text = 'x' } end")
    b.write("t.lua", META + "print('script', 1) return agent('a')")
    code, out, err = b.run("t.lua")
    want("stdout", (code, out), (0, "x\n"))
    has("stderr", err, "model: loaded\n", "model: asked\t1\n", "   script 1\n")
    want("--quiet", b.run("t.lua", "--quiet")[2], "")


@case
def a_result_that_fails_leaves_no_old_one(b):
    b.write("t.lua", META + "error('no')")
    b.write("r.txt", "an older one")
    want("exit", b.run("t.lua", "-o", "r.txt")[0], 4)
    want("file", b.read("r.txt"), b"")
    b.write("r.txt", "an older one")
    want("exit", b.run("t.lua", "-o", "r.txt", "--root", "nowhere")[0], 2)
    want("nothing was run", b.read("r.txt"), b"an older one")


@case
def a_script_comes_from_standard_input(b):
    code, out, _ = b.run("-", input=(META + "return 'from a pipe'").encode())
    want("result", (code, out), (0, "from a pipe\n"))


@case
def json_events_are_ndjson_and_end_with_the_value(b):
    code, out, _ = b.run("hello.lua", "--json")
    events = [json.loads(line) for line in out.splitlines()]
    want("exit", code, 0)
    want("first and last", (events[0]["event"], events[-1]["event"]), ("run", "end"))
    want("value", events[-1]["value"], "did: greet world")
    want("census", events[-1]["census"]["done"], 1)
    want("kinds", {"start", "turn", "done", "note"} <= {e["event"] for e in events}, True)


@case
def quiet_is_quiet_when_all_is_well(b):
    want("all", b.run("hello.lua", "--quiet"), (0, "did: greet world\n", ""))


@case
def stats_tell_memory_log_and_time(b):
    has("stderr", b.run("hello.lua", "--stats")[2], "memory:", "syncs", "processor")


@case
def failed_agents_are_counted_even_if_handled(b):
    b.write("t.lua", META + "local r, e = agent('fail', {label = 'bad one'}) return e.kind")
    code, out, err = b.run("t.lua")
    want("result", (code, out), (3, "provider\n"))
    has("stderr", err, "0 done, 1 failed", "bad one: provider:", "told to fail")


@case
def answers_of_agents_that_saw_nothing_are_marked(b):
    b.write("model.lua", """return function(request)
  local prompt = request.messages[1].content[1].text
  if #request.messages == 1 then return { tool = { name = "read", input = { path = prompt } } } end
  return { text = "no findings" } end""")
    b.write("t.lua", META + "agent('t.lua', {label = 'sees'}) return agent('gone', {label = 'blind'})")
    code, out, err = b.run("t.lua", "--log", "t.wflog")
    want("result", (code, out), (0, "no findings\n"))
    has("stderr", err, "ok   sees (2 turns", "ok   blind: answered after tool errors only (2 turns",
        "2 done, 0 failed", "0 not run; 1 of those done answered after tool errors only\n")
    has("show", b.wf("show", "t.wflog")[1], "1 of those done answered after tool errors only",
        "  blind (answered after tool errors only)\n", "  sees\n")
    has("again", b.wf("resume", "t.wflog")[2], "1 of those done answered after tool errors only")


@case
def a_completed_run_prints_its_result_again(b):
    b.write("t.lua", META + "local r, e = agent('fail') return 'still'")
    first = b.run("t.lua")
    again = b.wf("resume")
    want("code and value", again[:2], first[:2])
    has("stderr", again[2], "completed before")
    want("exit of a failed one", again[0], 3)
    want("by name", b.wf("resume", ".wf/runs/" + b.logs()[0])[:2], first[:2])
    want("no log more", len(b.logs()), 1)


@case
def retry_failed_asks_again(b):
    b.write("t.lua", META + "local r, e = agent('fail') return r or 'nothing'")
    want("first", b.run("t.lua")[:2], (3, "nothing\n"))
    b.write("model.lua", "return function() return { text = 'mended' } end")
    want("again", b.wf("resume")[:2], (3, "nothing\n"))
    want("retried", b.wf("resume", "--retry-failed")[:2], (0, "mended\n"))


@case
def a_resume_finds_its_workspace(b):
    """from whatever folder it is asked for, and when log and workspace have moved together; else it asks"""
    os.makedirs(b.path("one"))
    os.makedirs(b.path("other"))
    b.write("one/there.txt", "")
    b.write("other/wrong.txt", "")
    b.write("t.lua", META + "agent('a') agent('b') return files('*.txt')")
    model = "rules:" + b.path("model.lua")

    def start(*more):
        want("stopped", b.wf("run", "t.lua", "--model", model, "--yes", "--agents", "1", "--root", "one", *more)[0], 5)

    def resume(cwd, log, *more):
        p = subprocess.run([WF, "resume", log, "--agents", "9", *more], cwd=b.path(cwd), env={"HOME": b.dir, "XDG_STATE_HOME": b.state}, capture_output=True, text=True)
        return p.returncode, p.stdout, p.stderr
    start()
    log = os.listdir(b.path("one/.wf/runs"))[0]
    want("from elsewhere", resume("other", "../one/.wf/runs/" + log)[:2], (0, '["there.txt"]\n'))
    start("--log", "x.wflog")
    want("a log that lies elsewhere", resume("other", "../x.wflog")[:2], (0, '["there.txt"]\n'))
    start("--log", "y.wflog")
    start()
    os.rename(b.path("one"), b.path("moved"))
    code, out, err = resume("other", "../y.wflog")
    want("a workspace that is gone", code, 2)
    has("a workspace that is gone", err, "y.wflog", b.path("one"), "--root DIR")
    want("told where it is", resume("other", "../y.wflog", "--root", "../moved")[:2], (0, '["there.txt"]\n'))
    want("moved with its log", resume("moved", "../moved/.wf/runs/" + max(os.listdir(b.path("moved/.wf/runs"))))[:2],
         (0, '["there.txt"]\n'))


@case
def a_resume_without_a_log_takes_what_has_not_ended(b):
    stop = META + "local a = agent('one') return %s .. agent('two')"
    b.write("a.lua", stop % "'a'")
    want("stopped", b.run("a.lua", "--agents", "1")[0], 5)
    b.write("b.lua", META + "return agent('b')")
    b.run("b.lua")
    os.utime(b.path(".wf/runs/" + b.logs()[0]), (1, 1))
    code, out, err = b.wf("resume", "--agents", "9")
    want("the older one goes on", (code, out), (0, "adid: two\n"))
    code, out, err = b.wf("resume")
    want("then the last one is told again", (code, out), (0, "adid: two\n"))
    has("and that none is left", err, "all runs have ended; the last result is that of .wf/runs/")
    b.write("c.lua", META + "agent('fail') return 'c'")
    want("one that failed", b.run("c.lua")[0], 3)
    want("with its code", b.wf("resume")[:2], (3, "c\n"))
    b.run("b.lua")
    b.write("model.lua", "return function() return { text = 'mended' } end")
    want("it is asked again where that is wanted", b.wf("resume", "--retry-failed")[:2], (0, "c\n"))
    b.write("model.lua", MODEL)
    b.write("s.lua", META + "return agent('sleep')")
    p = b.start("run", "s.lua", "--model", "rules:model.lua", "--yes")
    try:
        wait_for(lambda: "running" in b.wf("runs")[1])
        has("one that still runs is left alone", b.wf("resume")[2], "all runs have ended")
    finally:
        p.kill()
        p.communicate()


@case
def show_and_log_take_the_last_run(b):
    b.run("hello.lua", "--", "who=first")
    b.run("hello.lua", "--", "who=second")
    has("show", b.wf("show")[1], "name:     hello (hello.lua)\n", '{"who":"second"}', "did: greet second")
    want("log", json.loads(b.wf("log", "--json")[1].splitlines()[-1])["payload"], "did: greet second")
    want("elsewhere", b.wf("show", "--root", b.dir, cwd="/")[0], 0)


@case
def runs_are_listed_by_name_and_fit_a_terminal(b):
    for i, meta in enumerate(('meta = { name = "plain", description = "d" }', 'meta={description=[[ name = "no" ]],phases={{title="x",name="no"}},\n'
                              "-- name = 'no'\n name = 'the one'}", '\ufeff#!wf\nmeta = { name = "' + "\u65e5\u672c\u8a9e" * 20 + '", description = "d" }',
                              'meta = { name = "n" .. 1, description = "d" }', 'meta = {} meta.name = "x" meta.description = "d"')):
        b.write("f%d.lua" % i, meta + "\nagent('x', { label = 'y' }) error('no')" if i else meta + "\nreturn 1")
        b.run("f%d.lua" % i)
    code, out, _ = b.wf("runs")
    want("exit", code, 0)
    has("names", out, " done         plain: 0 done, 0 failed\n", " failed       the one: 1 done, 0 failed\n", " f4.lua: 1 done", " \u65e5\u672c\u8a9e")
    want("too wide", [line for line in out.splitlines() if sum(2 if c > "\u1100" else 1 for c in line) > 80], [])


@case
def help_fits_a_terminal(b):
    topics = [""] + "run check resume agent runs show log version help script models".split()
    for topic in topics:
        code, out, _ = b.wf("help", *topic.split())
        want("exit of " + topic, code, 0)
        want("wide lines of " + topic, [line for line in out.splitlines() if len(line) > 80], [])


@case
def the_examples_of_help_work(b):
    text = b.wf("help")[1]
    lines = text[text.index("  hello.lua   "):].split("\n")
    b.write("hello.lua", "\n".join(line[14:] for line in lines[:2]))
    b.write("model.lua", lines[2][14:])
    want("first steps", b.wf(*lines[4].split()[1:])[:2], (0, "hello\n"))
    text = b.wf("help", "models")[1]
    b.write("model.lua", text[text.index("  return function(request)\n"):])
    b.write("t.lua", META + """local S = { type = "object", properties = { bytes = { type = "integer" } }, required = { "bytes" } }
return { agent("How large is t.lua?", { schema = S }), agent("How large is t.lua?"), (verify({ "a", "b" })) }""")
    code, out, err = b.run("t.lua", "--quiet")
    want("exit", (code, err), (0, ""))
    schema, plain, kept = json.loads(out)
    want("what it read", (schema["bytes"] > 100, json.loads(plain)), (True, schema))
    want("verify", kept, ["a", "b"])


@case
def an_edited_script_goes_on_with_the_log(b):
    b.run("hello.lua", "--log", "x.wflog")
    b.write("model.lua", "return function() error('asked again') end")
    b.write("hello.lua", HELLO.replace("return a\n", "return a .. '!'\n"))
    code, out, err = b.wf("run", "hello.lua", "--yes", "--log", "x.wflog") # the model is the log's
    want("result", (code, out), (0, "did: greet world!\n"))
    has("stderr", err, "1 cached")


@case
def runs_show_and_log_look_back(b):
    b.write("t.lua", META + "agent('fail', {label = 'bad one', phase = 'P'}) return agent('fine', {phase = 'P'})")
    b.run("t.lua", "--log", "t.wflog")
    b.run()
    log = ".wf/runs/" + b.logs()[0]
    code, out, _ = b.wf("runs")
    want("exit", code, 0)
    has("runs", out, " s  done         hello: 1 done, 0 failed\n", "\n    " + log)
    code, out, _ = b.wf("show", "t.wflog")
    want("exit", code, 0)
    has("show", out, "status:   done, but 1 of 2 agents failed\n", "bad one", "told to fail", "1 done, 1 failed", "did: fine", "P")
    b.write("t.lua", META + "agent('fine', {check = function() return false, 'no' end}) return 'well'")
    b.run("t.lua", "--log", "c.wflog")
    code, out, _ = b.wf("show", "c.wflog")
    shutil.copy(b.path("c.wflog"), b.path(".wf/runs/c.wflog"))
    has("runs", b.wf("runs")[1], "  some failed  ")
    has("show", out, "2 done, 1 failed", "\nfailed:\n  1 more, whose answers the script's check rejected for good")
    code, out, _ = b.wf("log", log)
    want("exit", code, 0)
    has("log", out, "  run  ", "  call  ", "  turn  ", "  done  ", "  end  ")
    lines = [json.loads(line) for line in b.wf("log", log, "--json")[1].splitlines()]
    want("records", (lines[0]["type"], lines[-1]["type"], lines[-1]["payload"]), ("run", "end", "did: greet world"))
    want("script, whole", HELLO in lines[0]["payload"], True)


@case
def check_sends_nothing(b):
    b.write("t.lua", META + "local s = {type='object', properties={n={type='integer'}}, required={'n'}}\n"
            "for i = 1, 3 do agent('a' .. i, {phase='Ask', schema=s}) end return agent('b', {phase='Sum'})")
    code, out, err = b.wf("check", "t.lua")
    want("exit", code, 0)
    has("stdout", out, "t: t", "Ask", "Sum", "in all", "Nothing was sent")
    want("rows", [line.split()[0] for line in out.splitlines()[2:5]], ["3", "1", "4"])
    want("logs", b.logs(), [])
    b.write("t.lua", META + "return agent('a', {schema = {type='object', properties={['src/a.c']={type='string'}}}})")
    for result in (b.wf("check", "t.lua"), b.run("t.lua")):
        want("a name that the API refuses", result[0], 4)
        has("a name that the API refuses", result[2], "t.lua:2", 'named "src/a.c"', "#/properties/src~1a.c")


@case
def help_and_version(b):
    want("version", b.wf("version")[1][:3], "wf ")
    has("help", b.wf("help")[1], "wf run", "wf resume")
    for command in ("run", "check", "resume", "runs", "show", "log", "version", "help"):
        want("help " + command, b.wf("help", command)[0], 0)
        want("options of " + command, "--" in b.wf("help", command)[1].split("\n\n", 1)[1], command not in ("version", "help"))
        want("--help", b.wf(command, "--help")[1], b.wf("help", command)[1])
    has("help run", b.wf("help", "run")[1], "--lanes N", "(16)", "--memory SIZE", "75 paused")
    has("help sandbox", b.wf("help", "sandbox")[1], "HOME", "/tmp", "TAR_OPTIONS", "docs/SUPPORT.md", "\nHere\n  ")
    has("help script", b.wf("help", "script")[1], "agent(prompt, opts)", "pipeline", "race", "verify", "json.array")


@case
def a_script_that_is_known_needs_no_yes(b):
    usage(b.wf("run", "hello.lua", "--model", "rules:model.lua"), "hello.lua", "--yes")
    want("logs", b.logs(), [])
    b.run()
    want("then", b.wf("run", "hello.lua", "--model", "rules:model.lua")[:2], (0, "did: greet world\n"))


def all_of(master):
    """What a terminal has shown, whose other end is closed."""
    shown = b""
    while True:
        try:
            piece = os.read(master, 65536)
        except OSError: # Linux says EIO at the end
            piece = b""
        if not piece:
            return shown.decode()
        shown += piece


@case
def on_a_terminal_a_new_script_is_shown_and_asked_about(b):
    for answer, code, out in ((b"n\n", 6, b""), (b"y\n", 0, b"did: greet world\n")):
        master, slave = pty.openpty()
        p = subprocess.Popen([WF, "run", "hello.lua", "--model", "rules:model.lua"], cwd=b.dir, stdin=slave, stderr=slave,
                             env={**os.environ, "XDG_STATE_HOME": b.state, "CI": "", "TERM": "xterm"}, stdout=subprocess.PIPE)
        os.close(slave)
        os.write(master, answer)
        want("stdout", p.communicate(timeout=120)[0], out)
        want("exit", p.returncode, code)
        has("terminal", all_of(master), "hello: Greets", "Greet", "Run it? [y/N]")
        os.close(master)
    want("logs", len(b.logs()), 1)


# ---- the command line ----

@case
def unknown_things_are_named_with_the_near_one(b):
    code, out, err = b.wf()
    want("no command", (code, out, err.count("\n")), (2, "", 3))
    has("no command", err, "offline", "wf run SCRIPT", "wf help")
    usage(b.wf("rnu"), "rnu", "`wf run`")
    usage(b.wf("frobnicate"), "frobnicate", "wf help")
    usage(b.wf("plan", "x"), "plan", "not in this build")
    usage(b.wf("run", "hello.lua", "--lane", "3"), "--lane", "--lanes")
    usage(b.wf("run", "hello.lua", "--frobnicate"), "--frobnicate", "wf help run")
    usage(b.wf("show", "x", "--lanes", "3"), "--lanes", "wf help show")
    usage(b.wf("help", "runn"), "runn", "`wf run`")


@case
def operands_are_checked(b):
    usage(b.wf("run"), "SCRIPT")
    usage(b.wf("run", "hello.lua", "more"), "more", "--")
    for command in ("show", "log", "resume"):
        usage(b.wf(command), command, "no log", "wf run SCRIPT")
    usage(b.wf("runs", "x"), "x")
    usage(b.run("none.lua"), "none.lua", "No such file")
    usage(b.run("."), ".", "directory")
    usage(b.run("hello.lua", "--root", "none"), "none", "No such file")
    usage(b.run("hello.lua", "--root", "hello.lua"), "hello.lua", "Not a directory")
    usage(b.wf("show", "none.wflog"), "none.wflog")
    usage(b.wf("resume", "none.wflog"), "none.wflog")
    usage(b.wf("resume"), "wf run SCRIPT")


@case
def values_are_checked(b):
    for option, value, part in (
            ("--lanes", "0", "1 to 1,000"), ("--lanes", "1001", "1 to 1,000"), ("--lanes", "many", "whole number"),
            ("--lanes", "99999999999999999999999", "whole number"), ("--agents", "0", "from 1"),
            ("--budget-usd", "0", "more than 0"), ("--budget-usd", "1.2.3", "dollars"), ("--budget-usd", "-1", "dollars"),
            ("--deadline", "5", "duration"), ("--deadline", "0s", "from 1ms"), ("--stall", "1y", "duration"),
            ("--memory", "1K", "from 8.0 MB"), ("--memory", "x", "size"), ("--sync", "maybe", "batch|always|off"),
            ("--effort", "huge", "low|medium"), ("--allow", "read,", "write"), ("--allow", "fly", "read"),
            ("--root", "nowhere", "nowhere"), ("-o", "nowhere/x", "nowhere/x"), ("--model", "", "empty")):
        usage(b.run("hello.lua", option, value) if option != "--model" else b.run(model=value), option, part)
    want("logs", b.logs(), [])


@case
def options_are_taken_apart(b):
    usage(b.run("hello.lua", "--lanes"), "--lanes", "missing")
    usage(b.run("hello.lua", "--lanes=2", "--lanes", "3"), "twice")
    usage(b.run("hello.lua", "--json=1"), "no value")
    for later in ("--wait", "--no-workflow", "--deliver", "--deliver", "--plan-model", "--sample"):
        usage(b.run("hello.lua", later), later, "not in this build")
    want("with =", b.run("hello.lua", "--lanes=2", "--stall=none", "--memory=16M", "--budget-usd=0.5")[0], 0)


@case
def args_are_checked(b):
    usage(b.run("hello.lua", "--args", "{x"), "--args", "JSON", "byte 1")
    usage(b.run("hello.lua", "--args", "@none.json"), "none.json")
    usage(b.run("hello.lua", "--args", ""), "--args")
    usage(b.run("hello.lua", "--args", "[1]", "--", "a=1"), "--args", "object")
    usage(b.run("hello.lua", "--", "a"), "a", "key=value")


# ---- models ----

@case
def models_are_checked_before_the_run(b):
    usage(b.wf("run", "hello.lua", "--yes"), "no model", "rules:", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL")
    usage(b.run(model="claude-x"), "anthropic:claude-x", "no key", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN")
    usage(b.run(model="anthropic:"), "anthropic:", "name is missing")
    usage(b.run(model="model.lua"), "rules:model.lua")
    for later in ("bedrock", "vertex", "foundry", "openai"):
        usage(b.run(model=later + ":x"), later + ":x", "come later", "rules:FILE.lua")
    usage(b.run(model="clade:x"), "clade", "no provider", "anthropic:MODEL")
    usage(b.run(model="rules:none.lua"), "none.lua")
    b.write("bad.lua", "return function(")
    usage(b.run(model="rules:bad.lua"), "bad.lua")
    b.write("three.lua", "return 3")
    usage(b.run(model="rules:three.lua"), "three.lua", "function")
    want("logs", b.logs(), [])


@case
def rules_that_misbehave_fail_the_agent(b):
    for text, part in (("return function() error('boom') end", "boom"),
                       ("return function() while true do end end", "endless"),
                       ("return function() return 7 end", "model"),
                       ("return function() return { text = function() end } end", "model"),
                       ("return function() return { tool = { name = 7 } } end", "model")):
        b.write("bad.lua", text)
        code, _, err = b.run("hello.lua", model="rules:bad.lua")
        want("exit of " + text, code, 3)
        has(text, err, "greeter: provider:", part, "1 failed")


@case
def a_script_s_rules_lie_in_the_root(b):
    """the model that the user names may lie anywhere; what a script names is read as its tools would read it"""
    os.mkdir(b.path("root"))
    b.write("root/in.lua", "return function() return { text = 'inside' } end")
    b.write("out.lua", "return function() return { text = 'from outside' } end")
    os.symlink("../out.lua", b.path("root/link.lua"))
    ask = META + "local a, e = agent('x', { model = args.model })\nreturn a or e.message"
    b.write("t.lua", ask)

    def run(model, *more):
        return b.wf("run", "t.lua", "--yes", "--root", "root", "--model", "rules:out.lua", "--", "model=rules:" + model, *more)
    want("inside", run("in.lua")[:2], (0, "inside\n"))
    want("inside, absolute", run(b.path("root/in.lua"))[:2], (0, "inside\n"))
    want("the user's own", run("out.lua")[:2], (0, "from outside\n"))
    for model in ("../out.lua", b.path("out.lua"), "link.lua", "/etc/passwd", "sub/../../out.lua", "/dev/zero", "none.lua"):
        code, out, err = run(model)
        want("exit of " + model, (code, "from outside" in out), (78, False))
        has(model, err, model, "no such file" if model == "none.lua" else "")


# ---- models on the network: nothing here reaches one ----

KEY = {"ANTHROPIC_API_KEY": "sk-ant-TEST-THROWAWAY-0000"}
PRICE = '{"model":"claude-x","input":2,"output":10,"write_5m":2.5,"write_1h":4,"read":0.2}\n'


def with_key(b, *args, **env):
    return b.wf("run", "hello.lua", "--yes", *args, env={**KEY, **env})


@case
def keys_are_checked_and_never_shown(b):
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"):
        for value, what in (("THROW\nAWAY", "line break"), ("THROW AWAY", "blank"), ("THROW\x7fAWAY", "byte"),
                            ("THROW\u00e9AWAY", "byte")):
            result = b.wf("run", "hello.lua", "--yes", env={name: value})
            usage(result, name, "character 6", what)
            want("shown", ("THROW" in result[2], "AWAY" in result[2]), (False, False))
    usage(b.wf("run", "hello.lua", "--yes", env={"ANTHROPIC_API_KEY": " \n"}), "no model")
    want("logs", b.logs(), [])


@case
def errors_do_not_drive_the_terminal(b):
    evil = "\x1b]0;evil\x07\u009b31m"
    results = [with_key(b, "--model", evil + ":x"), with_key(b, "--ca", evil), b.wf("run", evil), b.wf(evil),
               b.wf("run", "hello.lua", "--" + evil), with_key(b, ANTHROPIC_BASE_URL="https://" + evil)]
    b.write("m.lua", 'return function() return { error = { status = 401, message = "no" } } end')
    code, _, err = b.run("hello.lua", "--log", "evil.wflog", model="rules:m.lua")
    want("exit", code, 78)
    os.rename(os.path.join(b.dir, "m.lua"), os.path.join(b.dir, evil))
    results.append(b.wf("resume", "evil.wflog", "--model", "rules:" + evil, "--budget-usd", "1"))
    results.append(b.wf("resume", evil))
    for code, out, err in results:
        want("in the open", [c for c in err + out if c in "\x1b\x07\x9b"], [])


@case
def settings_of_the_network_are_checked(b):
    usage(with_key(b, "--ca", "none.pem"), "--ca none.pem")
    b.write("junk.pem", "this is no certificate\n")
    usage(with_key(b, "--ca", "junk.pem"), "--ca junk.pem", "PEM")
    usage(with_key(b, SSL_CERT_FILE="none.pem"), "SSL_CERT_FILE none.pem")
    usage(with_key(b, ANTHROPIC_BASE_URL="http://192.0.2.1"), "ANTHROPIC_BASE_URL=http://192.0.2.1", "https://", "WF_ALLOW_HTTP")
    for value in ("0", "no", "false"):
        usage(with_key(b, ANTHROPIC_BASE_URL="http://192.0.2.1", WF_ALLOW_HTTP=value), "WF_ALLOW_HTTP=1")
    result = with_key(b, ANTHROPIC_BASE_URL="https://x.example/?key=THROWAWAY")
    usage(result, "ANTHROPIC_BASE_URL", "query")
    want("a key in a query shown", "THROWAWAY" in result[2], False)
    usage(with_key(b, ANTHROPIC_BASE_URL="ftp://x"), "ANTHROPIC_BASE_URL=ftp://x")
    usage(with_key(b, ANTHROPIC_BASE_URL="nonsense"), "ANTHROPIC_BASE_URL=nonsense")
    result = with_key(b, ANTHROPIC_BASE_URL="https://me:THROWAWAY@localhost")
    usage(result, "ANTHROPIC_BASE_URL")
    want("shown", "THROWAWAY" in result[2], False)
    result = with_key(b, HTTPS_PROXY="ftp://me:THROWAWAY@localhost")
    usage(result, "HTTPS_PROXY")
    want("shown", "THROWAWAY" in result[2], False)
    usage(with_key(b, WF_ANTHROPIC_VERSION="latest"), "WF_ANTHROPIC_VERSION=latest", "2026-10-21")
    usage(with_key(b, WF_ANTHROPIC_KEY_HEADER="cookie"), "WF_ANTHROPIC_KEY_HEADER=cookie", "x-api-key")
    usage(with_key(b, ANTHROPIC_BETAS="a b"), "ANTHROPIC_BETAS", "blank")
    usage(with_key(b, "--memory", "8M", "--lanes", "1000"), "--memory 8M", "--lanes")
    want("logs", b.logs(), [])


@case
def rules_need_nothing_of_the_network(b):
    b.write("no.pem", "nothing")
    code, out, _ = b.run("hello.lua", "--ca", "no.pem", "--lanes", "1000", env={
        "ANTHROPIC_API_KEY": "not\na key", "ANTHROPIC_BASE_URL": "nonsense", "SSL_CERT_FILE": "none.pem"})
    want("result", (code, out), (0, "did: greet world\n"))
    b.write("t.lua", META + "local r, e = agent('x', { model = 'anthropic:claude-x' }) return e.kind .. ': ' .. e.message")
    code, out, _ = b.run("t.lua")
    want("exit", code, 3)
    has("without a key", out, "no provider serves this model", "claude-x")
    code, _, err = b.run("t.lua", "--budget-tokens", "1000000", env={**KEY, "ANTHROPIC_BASE_URL": "ftp://x"})
    want("exit", code, 78)
    has("with one", err, "ANTHROPIC_BASE_URL=ftp://x", "the key is from ANTHROPIC_API_KEY", "wf resume")


@case
def prices_are_checked(b):
    usage(with_key(b, "--budget-usd", "5", "--model", "claude-x"), "--budget-usd 5", "claude-x", "--prices FILE", '"input":2',
          "--budget-tokens")
    usage(with_key(b, "--prices", "none.jsonl"), "none.jsonl")
    b.write("bad.jsonl", "# mine\n" + PRICE + '{"model":"y","input":"dear"}\n')
    usage(with_key(b, "--prices", "bad.jsonl"), "bad.jsonl:3:", "USD per million tokens")
    os.makedirs(b.path(".config/wf"))
    b.write(".config/wf/prices.jsonl", "what?\n")
    usage(with_key(b), ".config/wf/prices.jsonl:1:")
    b.write("good.jsonl", PRICE)
    usage(with_key(b, "--prices", "good.jsonl", "--budget-usd", "5", "--model", "claude-x", "--ca", "none.pem"), "--ca")
    os.makedirs(b.path("xdg/wf"))
    b.write("xdg/wf/prices.jsonl", PRICE)
    usage(with_key(b, "--budget-usd", "5", "--model", "claude-x", "--ca", "none.pem", XDG_CONFIG_HOME=b.path("xdg")), "--ca")
    want("logs", b.logs(), [])


@case
def files_are_named_that_this_run_does_not_need(b):
    for option in ("--prices", "--ca"):
        for name in ("nowhere", "."):
            usage(b.run("hello.lua", option, name), name)
    want("logs", b.logs(), [])


@case
def check_tells_what_it_would_cost(b):
    code, out, _ = b.wf("check", "hello.lua")
    want("exit", code, 0)
    has("default", out, "list price", "claude-sonnet-5-5", "0.16")
    has("unknown", b.wf("check", "hello.lua", "--model", "claude-x")[1], "Cost: unknown", "--prices FILE", "claude-x")
    b.write("good.jsonl", PRICE)
    has("known", b.wf("check", "hello.lua", "--model", "claude-x", "--prices", "good.jsonl")[1], "anthropic:claude-x: from 0.0")
    has("rules", b.wf("check", "hello.lua", "--model", "rules:model.lua")[1], "Cost: none")
    b.write("none.lua", META + "return 1")
    has("nobody is asked", b.wf("check", "none.lua")[1], "Cost: none; no model was asked")
    b.write("other.lua", META + "return agent('a', { model = 'claude-x' })")
    out = b.wf("check", "other.lua")[1]
    has("whose price is not known", out, "Cost: unknown", "the models that agents name")
    want("the default's is", "sonnet" in out, False)
    usage(b.wf("check", "hello.lua", "--model", "openai:x"), "openai:x")


def environ_of(pid):
    """Nothing, where the system shows it to nobody but root: wf has closed itself to others of its user."""
    try:
        with open("/proc/%d/environ" % pid, "rb") as f:
            return f.read()
    except PermissionError:
        return b""


@case
def secrets_leave_the_environment_at_once(b):
    if not os.path.exists("/proc/self/environ"):
        return
    secret = "THROWAWAY"
    names = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "GITHUB_TOKEN", "MY_SECRET", "DB_PASSWORD", "AWS_REGION", "google_x",
             "OPENAI_API_KEY", "GOOGLE_APPLICATION_CREDENTIALS", "TOKEN", "KEY", "apikey", "PGPASSWORD", "MYSQL_PWD", "GITHUB_PAT",
             "SMTP_PASS", "PGPASS", "DB_PASSPHRASE", "X_AUTH", "AUTHORIZATION", "COOKIE", "BEARER", "MY_JWT", "PRIVATEKEY",
             "ANTHROPIC_CUSTOM_HEADERS")
    env = {name: secret for name in names}
    env.update(HTTPS_PROXY="http://me:%s@localhost:1" % secret, all_proxy="me:%s@localhost:1" % secret,
               DATABASE_URL="postgres://me:%s@localhost/db" % secret, CONN="Server=x;Password=%s" % secret, MINE="sk-" + secret,
               SHOWN="in the clear", OLDPWD="/kept", MONKEY="kept", COMPASS="kept", AUTHOR="kept", SSH_AUTH_SOCK="/kept")
    b.write("t.lua", META + "return agent('sleep')")
    p = b.start("run", "t.lua", "--model", "rules:model.lua", "--yes", "--log", "x.wflog", env=env)
    try:
        wait_for(lambda: os.path.exists(b.path("x.wflog")))
        left = environ_of(p.pid)
    finally:
        p.kill()
        p.communicate()
    want("secret", secret.encode() in left, False)
    want("another", not left or b"SHOWN=in the clear" in left, True)
    want("what only ends like one", [name for name in ("OLDPWD=/kept", "MONKEY=kept", "COMPASS=kept", "AUTHOR=kept", "SSH_AUTH_SOCK=/kept")
                                      if left and name.encode() not in left], [])
    want("log", secret.encode() in b.read("x.wflog"), False)


@case
def a_child_has_no_secrets_either(b):
    if not os.path.exists("/proc/self/environ"):
        return
    os.mkdir(b.path("many"))
    for i in range(400):
        b.write("many/%d" % i, "a" * 100000)
    b.write("model.lua", """return function(request)
  if #request.messages > 1 then return { text = "searched" } end
  return { tool = { name = "grep", input = { pattern = "(a|aa)*b", path = "many" } } }
end""")
    p = b.start("run", "hello.lua", "--model", "rules:model.lua", "--yes", env=KEY)
    seen = []
    try:
        def child():
            try:
                with open("/proc/%d/task/%d/children" % (p.pid, p.pid)) as f:
                    seen.extend(environ_of(int(pid)) for pid in f.read().split())
            except OSError:
                pass
            return seen or p.poll() is not None
        wait_for(child)
    finally:
        p.kill()
        p.communicate()
    want("a child was seen", len(seen) > 0, True)
    want("secret", any(b"THROWAWAY" in s for s in seen), False)


# ---- scripts ----

@case
def scripts_that_fail_say_where(b):
    b.write("t.lua", META + "local x = = 3\n")
    trouble(b.run("t.lua"), 4, "t.lua:2:", "2 | local x = = 3")
    want("logs", b.logs(), [])
    trouble(b.wf("check", "t.lua"), 4, "t.lua:2:")
    b.write("t.lua", META + "local t = nil\nlocal function f() local y = t.x; return y end\nf()\n")
    trouble(b.run("t.lua"), 4, "t.lua:3:", "3 | local function f()", "at t.lua:4")
    code, _, err = b.wf("check", "t.lua")
    want("check", code, 4)
    has("check", err, "on stub answers the script fails: t.lua:3:")
    b.write("t.lua", META + "return agnet('x')")
    trouble(b.run("t.lua", "--log", "agnet.wflog"), 4, "agnet", "agent")
    has("show", b.wf("show", "agnet.wflog")[1], "status:   failed", "t.lua:2:", "\n2 | return agnet")


@case
def meta_is_needed_without_agents_too(b):
    for text in ("return 1", "meta = { name = 'a' } return 1", "return workflow('inner.lua')"):
        b.write("inner.lua", "return 1")
        inner = "inner" in text
        b.write("t.lua", META + text if inner else text)
        says = ("inner.lua: " if inner else ": ") + "the script has no meta: let it begin with"
        trouble(b.run("t.lua", "--log", text[7:12] + ".wflog"), 4, says)
        code, _, err = b.wf("check", "t.lua")
        want("check", code, 4)
        has("check", err, says)


@case
def a_list_of_failures_is_an_error(b):
    b.write("t.lua", META + "return race({ function() return agent('fail') end, function() return agent('fail') end })")
    code, _, err = b.run("t.lua")
    want("exit", code, 4)
    has("error", err, "the script failed: 2 of 2 failed: ", "told to fail", "wf resume ")
    b.write("t.lua", META + "local _, f = parallel({ function() return nil, 'no' end, function() return 1 end })\n"
            "return { tostring(f), f.kind, f.message, #f }")
    want("fields", json.loads(b.run("t.lua")[1]), ["1 of 2 failed: script: no", "script", "1 of 2 failed: script: no", 1])


@case
def hostile_output_does_not_drive_the_terminal(b):
    b.write("t.lua", META + "log('%s', 'a\\27[31mb\\u{9b}c') agent('fail', {label='x\\27]0;y'}) error('\\27[2J')")
    code, _, err = b.run("t.lua")
    want("exit", code, 4)
    want("escapes", ("\x1b" in err, "\x9b" in err), (False, False))


# ---- logs ----

def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def everywhere(b, log, code, *parts):
    """The same error from whoever opens the log; the file is left as it is."""
    before = b.read(log)
    for args in (("resume", log), ("show", log), ("log", log),
                 ("run", "hello.lua", "--model", "rules:model.lua", "--yes", "--log", log)):
        trouble(b.wf(*args), code, log, *parts)
    want("bytes", b.read(log), before)


@case
def logs_that_are_none(b):
    b.write("empty.wflog", "")
    everywhere(b, "empty.wflog", 74, "empty")
    b.write("foreign.wflog", "This is a text and no log at all, whatever its name says.\n" * 9)
    everywhere(b, "foreign.wflog", 74, "not a workflow log")
    os.mkdir(b.path("dir.wflog"))
    for args in (("resume", "dir.wflog"), ("show", "dir.wflog")):
        trouble(b.wf(*args), 74, "dir.wflog")


@case
def logs_of_the_future(b):
    b.run("hello.lua", "--log", "x.wflog")
    data = bytearray(b.read("x.wflog"))
    data[8:12] = struct.pack("<I", 2)
    data[28:32] = struct.pack("<I", crc32c(data[:28]))
    b.write("x.wflog", bytes(data))
    everywhere(b, "x.wflog", 74, "newer")


@case
def damage_is_refused_with_its_offset(b):
    b.write("t.lua", META + "for i = 1, 5 do agent('slow ' .. i) end return 'end'")
    b.run("t.lua", "--log", "x.wflog")
    good = b.read("x.wflog")
    records = [json.loads(line)["offset"] for line in b.wf("log", "x.wflog", "--json")[1].splitlines()]
    at = records[2]
    data = bytearray(good)
    data[at + 30] ^= 1
    b.write("x.wflog", bytes(data))
    everywhere(b, "x.wflog", 74, "damaged at byte %d" % at, "restore")
    has("runs", b.wf("runs")[2] + b.wf("runs")[1], "")
    data = bytearray(good)
    data[9] ^= 1
    b.write("x.wflog", bytes(data))
    trouble(b.wf("resume", "x.wflog"), 74, "damaged at byte 0")


@case
def a_torn_tail_goes_on(b):
    b.write("t.lua", META + "local t = {} for i = 1, 3 do t[i] = agent('do ' .. i) end return table.concat(t, ',')")
    _, result, _ = b.run("t.lua", "--log", "x.wflog")
    good = b.read("x.wflog")
    header = json.loads(b.wf("log", "x.wflog", "--json")[1].splitlines()[1])["offset"]
    for cut in list(range(header, len(good), 101)) + [len(good) - 1]:
        b.write("x.wflog", good[:cut])
        code, out, err = b.wf("resume", "x.wflog")
        want("cut at %d" % cut, (code, out), (0, result))
    for cut in (1, 31, 32, 60, header - 8):
        b.write("x.wflog", good[:cut])
        trouble(b.wf("resume", "x.wflog"), 74, "x.wflog")


@case
def a_log_in_use_is_refused(b):
    b.write("t.lua", META + "return agent('sleep')")
    p = b.start("run", "t.lua", "--model", "rules:model.lua", "--yes", "--log", "x.wflog")
    try:
        wait_for(lambda: os.path.exists(b.path("x.wflog")))
        trouble(b.wf("resume", "x.wflog"), 74, "x.wflog", "another")
        has("show", b.wf("show", "x.wflog")[1], "status:   running")
    finally:
        p.kill()
        p.communicate()
    has("then", b.wf("show", "x.wflog")[1], "status:   interrupted")


def wait_for(condition, seconds=120):
    end = time.time() + seconds
    while not condition():
        if time.time() > end:
            raise AssertionError("nothing happened in %d s" % seconds)
        time.sleep(0.01)


@case
def folders_that_cannot_be_written(b):
    b.write(".wf", "a file where the folder should be")
    trouble(b.run(), 74, ".wf", "--log")
    usage(b.run("hello.lua", "--log", "nowhere/x.wflog"), "nowhere/x.wflog")
    if os.geteuid() != 0:
        os.mkdir(b.path("sealed"), 0o555)
        trouble(b.run("hello.lua", "--log", "sealed/x.wflog"), 74, "sealed/x.wflog", "ermission")


@case
def files_tells_what_it_could_not_read(b):
    deep = b.path("/".join("d" * 140)) # deeper than a walk goes
    os.makedirs(deep)
    b.write("a.c", "")
    b.write("f.lua", META + "return #files('**/*.c')")
    code, out, err = b.run("f.lua", "--log", "f.wflog")
    want("what there is", (code, out), (0, "1\n"))
    has("stderr", err, "files: 1 files or directories could not be read", "first: d/d/d/")
    log = b.wf("log", "f.wflog")[1]
    has("the log", log, "could not be read")


def limited(size):
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@case
def a_full_disk_ends_the_run_and_it_resumes(b):
    b.write("t.lua", META + "local t = {} for i = 1, 60 do t[i] = agent('say ' .. i .. (' pad'):rep(300)) end return #t")
    trouble(b.run("t.lua", "--log", "x.wflog", preexec_fn=limited(16)), 74, "x.wflog", "nothing was run")
    want("no log", os.path.exists(b.path("x.wflog")), False)
    trouble(b.run("t.lua", "--log", "x.wflog", preexec_fn=limited(65536)), 74, "cannot write x.wflog", "wf resume x.wflog")
    code, out, err = b.wf("resume", "x.wflog")
    want("then", (code, out), (0, "60\n"))
    want("some were there", " 0 cached" in err, False)


@case
def a_closed_stdout_is_named(b):
    if not os.path.exists("/dev/full"):
        return
    with open("/dev/full", "wb") as full:
        code, _, err = b.run(stdout=full)
        want("exit", code, 74)
        has("stderr", err, "cannot write the result to standard output", "wf resume .wf/runs/")
        code, _, err = b.run("hello.lua", "--json", stdout=full)
        want("exit", code, 74)
        has("stderr", err, "standard output")
        want("help", b.wf("help", stdout=full)[0], 74)
    code, _, err = b.run(preexec_fn=lambda: os.close(1))
    want("closed", code, 74)
    has("closed", err, "standard output")
    b.run("hello.lua", "-o", "r.txt", preexec_fn=lambda: os.close(2))
    want("nothing but the result in it", b.read("r.txt"), b"did: greet world")
    r, w = os.pipe()
    os.close(r)
    code, _, err = b.run(stdout=w)
    os.close(w)
    want("exit", code, 74)
    has("stderr", err, "Broken pipe")


# ---- stops ----

@case
def an_interrupt_is_clean_and_resumes(b):
    b.write("t.lua", META + "local a = agent('quick') return a .. agent('sleep')")
    p = b.start("run", "t.lua", "--model", "rules:model.lua", "--yes", "--log", "x.wflog")
    wait_for(lambda: "1 done" in b.wf("show", "x.wflog")[1])
    p.send_signal(signal.SIGINT)
    out, err = p.communicate(timeout=120)
    want("exit", p.returncode, 6)
    has("stderr", err.decode(), "cancelled", "wf resume x.wflog")
    has("show", b.wf("show", "x.wflog")[1], "status:   cancelled")
    b.write("model.lua", "return function() return { text = 'awake' } end")
    code, out, err = b.wf("resume", "x.wflog")
    want("resumed", (code, out), (0, "did: quickawake\n"))
    has("stderr", err, "1 cached")


@case
def a_signal_to_the_process_and_to_its_group_is_one(b):
    b.write("t.lua", META + "return agent('sleep')")
    for signals in ((signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGTERM)):
        p = b.start("run", "t.lua", "--model", "rules:model.lua", "--yes", "--log", "%d.wflog" % signals[0])
        wait_for(lambda: "sleep" in b.wf("show", "%d.wflog" % signals[0])[1])
        for number in signals:  # as timeout(1) does it, from another processor
            p.send_signal(number)
            time.sleep(0.002)
        out, err = p.communicate(timeout=120)
        want("exit", p.returncode, 6)
        has("stderr", err.decode(), "cancelled", "wf resume")
        has("show", b.wf("show", "%d.wflog" % signals[0])[1], "status:   cancelled")


@case
def a_signal_that_is_ignored_stays_ignored(b):
    b.write("t.lua", META + "return agent('sleep')")
    p = subprocess.Popen([WF, "run", "t.lua", "--model", "rules:model.lua", "--yes", "--log", "x.wflog"], cwd=b.dir,
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)) # as nohup does with SIGHUP
    wait_for(lambda: os.path.exists(b.path("x.wflog")))
    p.send_signal(signal.SIGINT)
    time.sleep(0.3)
    want("still there", p.poll(), None)
    p.send_signal(signal.SIGTERM)
    p.communicate(timeout=120)
    want("exit", p.returncode, 6)


@case
def a_killed_run_resumes(b):
    b.write("t.lua", META + "local a = agent('quick') return a .. agent('sleep')")
    p = b.start("run", "t.lua", "--model", "rules:model.lua", "--yes")
    wait_for(lambda: b.logs() and "1 done" in b.wf("runs")[1])
    p.kill()
    p.communicate()
    has("runs", b.wf("runs")[1], "interrupted")
    b.write("model.lua", "return function() return { text = 'awake' } end")
    want("resumed", b.wf("resume")[:2], (0, "did: quickawake\n"))


@case
def limits_set_the_code(b):
    b.write("t.lua", META + "return agent('sleep')")
    code, out, err = b.run("t.lua", "--deadline", "200ms", "--log", "d.wflog")
    want("deadline", code, 7)
    has("stderr", err, "deadline", "--deadline")
    b.write("t.lua", META + "return pcall(agent, 'x') and 'caught' or 'caught'")
    code, out, err = b.run("t.lua", "--budget-tokens", "10", "--log", "b.wflog")
    want("budget, though caught", (code, out), (5, "caught\n"))
    want("raised", b.wf("resume", "b.wflog", "--budget-tokens", "100000000")[0], 0)
    b.write("model.lua", "return function() return { text = 'dear', usage = { usd = 6 } } end")
    b.write("t.lua", META + "local t = {} for i = 1, 9 do t[i] = agent('x' .. i) end return 'all'")
    code, out, err = b.run("t.lua", "--log", "u.wflog", env=KEY)
    want("10 USD, as --yes stands for where there is a key", (code, out), (5, "all\n"))
    has("stderr", err, "--budget-usd", "wf resume u.wflog")
    want("raised", b.wf("resume", "u.wflog", "--budget-usd", "1000")[:2], (0, "all\n"))


@case
def flags_on_resume_override_the_logs(b):
    b.write("t.lua", META + "local a = agent('sleep') return a .. agent('more')")
    want("deadline", b.run("t.lua", "--deadline", "200ms", "--lanes", "3", "--log", "x.wflog")[0], 7)
    want("again", b.wf("resume", "x.wflog")[0], 7)
    has("settings", b.wf("show", "x.wflog")[1], '"lanes":"3"', '"deadline":"200ms"')
    b.write("model.lua", "return function() return { text = 'old' } end")
    b.write("other.lua", "return function() return { text = 'new', delay = 0.3 } end")
    code, out, _ = b.wf("resume", "x.wflog", "--model", "rules:other.lua", "--deadline", "none")
    want("exit", code, 0)
    has("stdout", out, "new\n")
    usage(b.wf("resume", "x.wflog", "--lanes", "0"), "--lanes")


def main():
    print("1..%d" % len(CASES))
    failed = 0
    for number, function in enumerate(CASES, 1):
        box = Box()
        try:
            function(box)
            print("ok %d - %s" % (number, function.__name__), flush=True)
        except (AssertionError, subprocess.TimeoutExpired, ValueError, OSError, IndexError, KeyError) as e:
            failed += 1
            print("# %s: %s" % (type(e).__name__, str(e).replace("\n", "\n# ")))
            print("not ok %d - %s" % (number, function.__name__), flush=True)
        finally:
            shutil.rmtree(box.dir, ignore_errors=True)
            shutil.rmtree(box.state, ignore_errors=True)
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())

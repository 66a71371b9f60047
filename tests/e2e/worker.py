#!/usr/bin/env python3
"""wf agent driven by another wf: 200 agents as programs, exec:COMMAND; the outer run killed and resumed; errors; the command
itself. WF is the command (build/wf)."""
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time

from lib.tap import case, done

WF = os.path.abspath(os.environ.get("WF", "build/wf"))
INNER = "exec:%s agent --model rules:model.lua" % shlex.quote(WF)
# The second half of the agents waits while there is a file `hold`: a run cannot end before it was killed.
HELD = ("exec:cat >spec.$$; grep -q 'item 1[0-9][0-9]' spec.$$ && while [ -e hold ]; do sleep 0.05; done; "
        + INNER[len("exec:"):] + " <spec.$$")
AGENTS = 200

SCRIPT = """
meta = { name = "outer", description = "agents that are programs" }
local NUMBER = { type = "object", properties = { n = { type = "integer" } }, required = { "n" } }
local all = {}
for i = 1, 200 do
    all[i] = function() return agent("item " .. i, { schema = i % 2 == 0 and NUMBER or nil }) end
end
local results, failures = parallel(all)
return { results = results, failures = #failures }
"""

MODEL = """
return function(request)
    local first = request.messages[1].content[1].text
    local n = tonumber(string.match(first, "%d+"))
    local usage = { input_tokens = 10, output_tokens = 1, usd = 0.001 }
    if string.find(first, "^hang") then return { tool = { name = "bash", input = { command = "touch begun.$$; sleep 60" } } } end
    if string.find(first, "^fail") then return { error = { status = 400, message = "cannot do it" } } end
    if string.find(first, "^wrong") then
        local again = string.find(first, "not accepted") ~= nil
        return { tool = { name = "result", input = again and { n = 7 } or { n = "seven" } } }
    end
    for _, tool in ipairs(request.tools or {}) do
        if tool.name == "result" then return { tool = { name = "result", input = { n = n } }, usage = usage, delay = 0.02 } end
    end
    return { text = "seen " .. first, usage = usage, delay = 0.02 }
end
"""

def left(folder):
    """Processes that work in the folder; the killed ones have a moment to go."""
    for _ in range(1200):
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.readlink("/proc/%s/cwd" % pid) == folder:
                    found.append(pid)
            except OSError:
                pass
        if not found:
            return []
        time.sleep(0.05)
    return found


def records(folder, log):
    out = subprocess.run([WF, "log", log, "--json"], cwd=folder, capture_output=True, text=True, check=True).stdout
    return [json.loads(line) for line in out.splitlines()]


def finished(folder, log):
    """The calls that have ended; none, as long as the log has not begun."""
    if not os.path.exists(os.path.join(folder, log)):
        return set()
    return {r["call"] for r in records(folder, log) if r["type"] == "done"}


def wf(folder, *args, stdin=None):
    done = subprocess.run([WF, *args], cwd=folder, input=stdin, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout, done.stderr


def run(folder, body, model, *more):
    with open(os.path.join(folder, "s.lua"), "w") as f:
        f.write('meta = { name = "t", description = "d" }\n' + body)
    return wf(folder, "run", "s.lua", "--yes", "--quiet", "--model", model, *more)


def many(folder):
    start = ["run", "outer.lua", "--yes", "--quiet", "--lanes", "16", "--model"]
    wanted = [{"n": i} if i % 2 == 0 else "seen item %d" % i for i in range(1, AGENTS + 1)]
    began = time.time()
    code, out, err = wf(folder, *start, INNER, "--log", "whole.wflog")
    wall = time.time() - began
    result = json.loads(out) if code == 0 else {}
    case(result == {"results": wanted, "failures": 0}, "%d agents, each a wf agent: %.2f s" % (AGENTS, wall), err + out)
    case(left(folder) == [], "none is left")
    turns = [r for r in records(folder, "whole.wflog") if r["type"] == "turn"]
    case(len(turns) == AGENTS and "usd" in json.dumps(turns[0]), "what each one spent is in the log", turns[:1])

    hold = os.path.join(folder, "hold")
    open(hold, "w").close()
    outer = subprocess.Popen([WF, *start, HELD, "--log", "killed.wflog"], cwd=folder, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE)
    while outer.poll() is None and len(finished(folder, "killed.wflog")) < AGENTS // 4:
        time.sleep(0.01)
    outer.send_signal(signal.SIGKILL)
    outer.communicate()
    os.unlink(hold)
    case(outer.returncode == -signal.SIGKILL and left(folder) == [], "the run was killed, and its programs went with it", left(folder))
    before = finished(folder, "killed.wflog")
    size = os.path.getsize(os.path.join(folder, "killed.wflog"))
    code, again, err = wf(folder, "resume", "killed.wflog", "--quiet")
    asked = [r["call"] for r in records(folder, "killed.wflog") if r["type"] == "turn" and r["offset"] >= size]
    case(code == 0 and again == out, "resumed: the same result", err)
    case(0 < len(before) < AGENTS and not before & set(asked), "none of the %d finished was asked again" % len(before), asked)


def failures(folder):
    body = 'local v, e = agent("%s", %s) return { v or null, e and e.kind or null, e and e.message or null }'
    code, out, err = run(folder, body % ("fail", "{}"), INNER)
    case(code == 3 and json.loads(out)[1] == "provider" and "cannot do it" in out, "an inner failure comes with its cause", out + err)
    schema = '{ schema = { type = "object", properties = { n = { type = "integer" } }, required = { "n" } } }'
    code, out, err = run(folder, body % ("wrong", schema), "exec:cat >/dev/null; echo '{\"n\":\"x\"}'")
    case(code == 3 and json.loads(out)[1] == "schema" and "/n" in out, "a program that never fits the schema fails by it", out + err)
    once = "exec:if grep -q feedback; then echo '{\"n\":7}'; else echo '{\"n\":\"x\"}'; fi"
    code, out, err = run(folder, body % ("x", schema), once)
    case(code == 0 and json.loads(out)[0] == {"n": 7}, "what was wrong goes back to it as feedback", out + err)
    code, out, err = run(folder, body % ("x", "{}"), "exec:echo broken >&2; exit 9", "--log", "bad.wflog")
    shown = wf(folder, "show", "bad.wflog")[1]
    case("exit code 9" in shown and "broken" in shown, "wf show has the exit code and stderr", shown)
    code, out, err = run(folder, body % ("x", "{}"), "exec:echo by the way >&2; echo fine", "--log", "good.wflog")
    turns = [r for r in records(folder, "good.wflog") if r["type"] == "turn"]
    case(json.loads(out)[0] == "fine" and "by the way" in json.dumps(turns), "the log keeps what a program tells beside its answer", (out, turns))
    code, out, err = run(folder, body % ("x", "{ deadline = 1 }"), "exec:sleep 60 & sleep 60")
    case(json.loads(out)[1] == "deadline" and left(folder) == [], "a deadline ends all of it", out + err)
    code, out, err = run(folder, body % ("x", "{ stall = 1 }"), "exec:sleep 2; echo done")
    case(code == 0 and json.loads(out)[0] == "done", "silence is no stall", out + err)
    named = body % ("x", '{ model = "exec:echo named" }')
    code, out, err = run(folder, named, "rules:model.lua")
    case(code == 3 and "--allow exec" in out, "a script's own program needs --allow exec", out + err)
    code, out, err = run(folder, named, "rules:model.lua", "--allow", "read,exec")
    case(code == 0 and json.loads(out)[0] == "named", "with it, it runs", out + err)
    code, out, err = run(folder, named, INNER, "--budget-usd", "1")
    case(code == 2 and "--budget-tokens" in err, "--budget-usd does not go with a program", err)
    code, out, err = run(folder, body % ("x", "{}"), "exec:echo long #".ljust(400, "x"))
    case(code == 0 and json.loads(out)[0] == "long", "a command of 400 bytes", out + err)
    code, out, err = run(folder, named, "exec:" + "x" * 400)
    case(code == 2 and "400 bytes" in err, "a long command is refused with the mend", err)


def command(folder):
    def agent(spec, *more):
        return wf(folder, "agent", "--model", "rules:model.lua", *more, stdin=spec if isinstance(spec, str) else json.dumps(spec))

    code, out, err = agent({"prompt": "item 4", "unknown": 1})
    answer = json.loads(out)
    case(code == 0 and answer["text"] == "seen item 4" and answer["turns"] == 1 and out.count("\n") == 1, "a text", out + err)
    case(answer["usage"] == {"input_tokens": 10, "output_tokens": 1, "usd": 0.001}, "what it used", out)
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    code, out, err = agent({"prompt": "item 4", "schema": schema})
    case(code == 0 and json.loads(out)["result"] == {"n": 4}, "a result", out + err)
    code, out, err = agent({"prompt": "wrong", "schema": schema, "feedback": ["n: must be an integer"]})
    case(code == 0 and json.loads(out)["result"] == {"n": 7}, "feedback reaches the model", out + err)
    code, out, err = agent({"prompt": "wrong", "schema": schema})
    case(code == 0 and json.loads(out)["error"]["kind"] == "schema", "an error of its own is an answer", out + err)
    for spec, part in (("", "no JSON object: at byte 0: "), ('{"prompt":"x"} {}', "at byte 15: text after the value"),
                       ('{"prompt":"x","schema":{"type":"banana"}}', 'schema keyword "type"'), ('{"prompt":"x","version":1.5}', "version"),
                       ('{"prompt":"x","version":-1}', "version"), ("[1]", "no JSON object"), ('{"prompt":', "no JSON object"), ("{}", "prompt"),
                       ('{"prompt":"x","version":2}', "version"), ('{"prompt":"x","version":"1"}', "version"),
                       ('{"prompt":"x","schema":7}', "schema"), ('{"prompt":7}', "prompt"), ('{"prompt":""}', "prompt"),
                       ('{"prompt":"x","system":["y"]}', "system"), ('{"prompt":"x","tools":"read"}', "tools"),
                       ('{"prompt":"x","tools":{"read":true}}', "tools"), ('{"prompt":"x","tools":["read",1]}', "tools"),
                       ('{"prompt":"x","feedback":"bad"}', "feedback"), ('{"prompt":"x","limits":3}', "limits"),
                       ('{"prompt":"x","limits":{"deadline_ms":-1}}', "limit"), ('{"prompt":"x","limits":{"deadline_ms":"1"}}', "limit"),
                       ('{"prompt":"x","root":7}', "root"), ('{"prompt":"x","root":"sub"}', "absolute"),
                       ('{"prompt":"x","root":"/not/here"}', "/not/here is no folder here")):
        code, out, err = agent(spec)
        case(code == 2 and out == "" and part in err, "refused: %s" % (spec or "nothing"), out + err)
    code, out, err = agent({"prompt": "item 4", "root": "/not/here", "system": None, "tools": None, "limits": None, "schema": None}, "--root", ".")
    case(code == 0 and json.loads(out)["text"] == "seen item 4", "--root goes before the spec's; null is as good as nothing", out + err)
    code, out, err = agent({"prompt": "x"}, "--lanes", "2")
    case(code == 2 and "--lanes" in err, "an option that makes no sense on it is refused", err)
    process = subprocess.Popen([WF, "agent", "--model", "exec:touch asked; sleep 1000"], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdin.write(b'{"prompt":"x"}')
    process.stdin.close()
    while process.poll() is None and not os.path.exists(os.path.join(folder, "asked")):
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    out = process.stdout.read()
    process.wait(timeout=120)
    case(process.returncode == 6 and json.loads(out)["error"]["kind"] == "cancelled",
         "SIGTERM ends it", out)
    case(left(folder) == [], "and all below it")


HANG = """
meta = { name = "hang", description = "agents whose commands do not end" }
local fns = {}
for i = 1, 3 do fns[i] = function() return agent("hang " .. i) end end
if args.race then fns[4] = function() exec("until ls go; do sleep 0.01; done") return "won" end end
return (race(fns))
"""


def ended(folder):
    """Workers that run commands are ended in every way: what their commands had in TMPDIR goes as well."""
    tmp = os.path.join(folder, "tmp")
    os.makedirs(tmp)
    with open(os.path.join(folder, "hang.lua"), "w") as f:
        f.write(HANG)
    ways = (("the agent's deadline", ["--agent-deadline", "10s"], None), ("the run's deadline", ["--deadline", "10s"], None),
            ("the end of a race", ["--", "race=true"], None), ("SIGTERM", [], signal.SIGTERM), ("SIGKILL", [], signal.SIGKILL))
    for i, (how, flags, number) in enumerate(ways):
        process = subprocess.Popen([WF, "run", "hang.lua", "--model", INNER + " --allow read,bash", "--allow", "read,bash,exec", "--yes",
                                    "--quiet", "--args", "{}", "--log", "hang%d.wflog" % i, *flags],
                                   cwd=folder, env={**os.environ, "TMPDIR": tmp}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        begun = []
        while not begun and process.poll() is None:
            begun = [name for name in os.listdir(folder) if name.startswith("begun.")]
            time.sleep(0.01)
        there = len(os.listdir(tmp))
        open(os.path.join(folder, "go"), "w").close()
        if number:
            process.send_signal(number)
        process.wait(timeout=120)
        for _ in range(6000):
            if not os.listdir(tmp):
                break
            time.sleep(0.01)
        case(there > 0 and os.listdir(tmp) == [] and left(folder) == [], "%s leaves nothing of a worker's commands" % how,
             (there, os.listdir(tmp)))
        for name in [name for name in os.listdir(folder) if name.startswith("begun.")] + ["go"]:
            os.unlink(os.path.join(folder, name))


class Quiet:
    """A worker that says nothing for longer than wf takes to give up on a process that cannot be ended: wf is killed only then."""

    def __init__(self, folder):
        self.folder = os.path.join(folder, "quiet")
        os.makedirs(self.folder)
        with open(os.path.join(self.folder, "q.lua"), "w") as f:
            f.write('meta = { name = "q", description = "d" }\nreturn agent("x")')
        self.process = subprocess.Popen([WF, "run", "q.lua", "--model", "exec:sleep 60 & sleep 60", "--yes", "--quiet", "--log", "q.wflog"],
                                        cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.began = time.time()

    def end(self):
        time.sleep(max(0.0, self.began + 11 - time.time()))
        self.process.kill()
        self.process.wait()
        case(left(self.folder) == [], "what a worker has started goes with it also after a long silence", left(self.folder))


def main():
    with tempfile.TemporaryDirectory(prefix="wf-worker-") as folder:
        folder = os.path.realpath(folder)
        for name, text in (("outer.lua", SCRIPT), ("model.lua", MODEL)):
            with open(os.path.join(folder, name), "w") as f:
                f.write(text)
        quiet = Quiet(folder)
        many(folder)
        failures(folder)
        command(folder)
        ended(folder)
        quiet.end()
    return done()


sys.exit(main())

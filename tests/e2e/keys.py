"""A key is in the headers of requests and nowhere else: not in the log, events, messages, the script, a child's
environment, or the process's own after its start. WF names the binary; default build/wf."""
import json
import os
import resource
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "server"))
from rig import KEY, MODEL, WF, case, expect, main, quote # noqa: E402

TOKEN = "tok-TEST-THROWAWAY-1111"
SECRETS = {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_AUTH_TOKEN": TOKEN, "AWS_SECRET_ACCESS_KEY": "aws-TEST-THROWAWAY-2222",
           "OPENAI_API_KEY": "oai-TEST-THROWAWAY-3333", "SOME_PASSWORD": "pw-TEST-THROWAWAY-4444"}
VALUES = [value.encode() for value in SECRETS.values()]

# Says all that a script can get at.
PRY = """meta = { name = "pry", description = "Looks for secrets" }
local said = {}
local function walk(value, depth)
    if type(value) == "table" and (depth or 0) < 9 then
        for k, v in pairs(value) do
            walk(k)
            walk(v, (depth or 0) + 1)
        end
    else
        said[#said + 1] = tostring(value)
    end
end
walk({ meta, args, json, budget, string, table, math, agent, parallel, pipeline, race, read, files, log, phase })
for _, path in ipairs({ "/proc/self/environ", "../../../../proc/self/environ", "environ" }) do
    local ok, text, err = pcall(read, path)
    walk({ ok, text or null, err or null })
end
walk({ agent("one", { retries = 0 }) })
walk({ agent("fault", { retries = 0 }) })
return table.concat(said, "\\n")
"""


def holds(data):
    data = data if isinstance(data, bytes) else data.encode()
    return [value.decode() for value in VALUES if value in data]


def everything(rig):
    """All that a run has left: what commands print of its log, and every file."""
    for command in (["show", rig.log], ["log", rig.log], ["log", rig.log, "--json"], ["runs"]):
        done = rig.wf(*command)
        yield " ".join(command), done.out + done.err
    for folder, _, names in os.walk(rig.dir):
        for name in names:
            with open(os.path.join(folder, name), "rb") as f:
                yield name, f.read()


def clean(rig, done):
    expect(not holds(done.out + done.err), "a secret was printed", done)
    for where, data in everything(rig):
        expect(not holds(data), "a secret is in %s" % where)
    bodies = "".join(r["body"] for r in rig.server.requests())
    expect(not holds(bodies), "a secret is in the body of a request")


@case
def nothing_left(rig):
    """runs that succeed, fail, are refused and time out leave no key: output, events, log, files"""
    for scenario, options in (("", ["--json", "--stats"]), ("on : status=401", []),
                              ("on : status=500 header='retry-after-ms: 5'", ["--json"]),
                              ("on : reset-at=300", []), ("on : hang", ["--stall", "300ms"]),
                              ("on : html status=403", [])):
        rig.server.scenario(scenario)
        clean(rig, rig.ask("one", "two", retries=1, options=options, env=SECRETS))


@case
def echoed(rig):
    """a server that repeats the key in its error: it is not passed on"""
    for status in (400, 401, 500):
        rig.server.scenario("on : status=%d message=%s" % (status, quote("invalid x-api-key: %s, %s" % (KEY, KEY))))
        clean(rig, rig.ask("one", retries=0, env=SECRETS))
        rig.server.scenario("on : status=%d raw=%s" % (status, quote("<html>" + "x" * 180 + KEY)))
        clean(rig, rig.ask("one", retries=0, env=SECRETS))
    rig.server.scenario("on : sse-error=2 message=%s" % quote("not " + KEY))
    clean(rig, rig.ask("one", retries=0, env=SECRETS))
    rig.server.scenario("on : status=307 header=%s" % quote("location: https://elsewhere.example/?key=" + KEY))
    clean(rig, rig.ask("one", retries=0, env=SECRETS))


@case
def echoed_in_replies(rig):
    """nor do keys come back with a reply that is no answer: by its request id, however long a key, or why it was declined"""
    long = KEY + "-" + "y" * 70
    for key in (KEY, long):
        for actions in ("", "details=%s" % quote('{"explanation":"not with %s"}' % key)):
            rig.server.scenario("on : stop=refusal request-id=%s %s" % (key, actions))
            done = rig.ask("one", retries=0, env={**SECRETS, "ANTHROPIC_API_KEY": key})
            expect(done.value()[0]["kind"] == "refused", done)
            clean(rig, done)


@case
def script(rig):
    """a script finds no key, wherever it looks"""
    rig.write("pry.lua", PRY)
    rig.server.scenario('on body="fault" : status=500')
    done = rig.run("pry.lua", env=SECRETS)
    expect(done.code == 3 and "did: one" in done.out and "answered 500" in done.out, done)
    clean(rig, done)


@case
def agents(rig):
    """a model that asks for /proc/self/environ does not get it"""
    calls = [{"type": "tool_use", "id": "t%d" % i, "name": name, "input": asked} for i, (name, asked) in enumerate((
        ("read", {"path": "/proc/self/environ"}), ("read", {"path": "../../../proc/self/environ"}),
        ("grep", {"pattern": "THROWAWAY", "path": "/proc/self"}), ("glob", {"pattern": "/proc/self/*"})))]
    os.symlink("/proc/self/environ", rig.path("linked"))
    calls.append({"type": "tool_use", "id": "t9", "name": "read", "input": {"path": "linked"}})
    rig.server.scenario("on turn=0 : content=%s\non turn=1 : text=done" % quote(json.dumps(calls)))
    done = rig.ask("look", env=SECRETS)
    os.unlink(rig.path("linked"))
    expect(done.code == 0, done)
    clean(rig, done)


def proc(pid, name):
    try:
        with open("/proc/%d/%s" % (pid, name), "rb") as f:
            return f.read()
    except OSError:
        return b""


@case
def environment(rig):
    """once it runs, neither wf's environment nor its command line nor that of its children holds a key"""
    with open(rig.path("big.txt"), "w", encoding="utf-8") as f:
        f.writelines("line %d of a file that takes its time to search\n" % i for i in range(60000))
    call = "tool=grep input='%s'" % json.dumps({"pattern": "(a|b|c|d|e)*[0-9]+ of .*z+y", "path": "big.txt"})
    rig.server.scenario("on turn=0 : %s\non turn=1 : latency=700 text=done" % call)
    before = rig.server.stats()["requests"]
    rig.log = rig.new_log()
    rig.write("args.json", '{"prompts":["look"]}')
    process = rig.start("run", "ask.lua", "--args", "@args.json", "--model", MODEL, "--yes", "--log", rig.log, "--ca",
                        rig.server.ca, env=SECRETS)
    seen, children, until = 0, set(), time.monotonic() + 20
    while process.poll() is None and time.monotonic() < until:
        if rig.server.stats()["requests"] == before:
            continue
        kids = [int(kid) for kid in proc(process.pid, "task/%d/children" % process.pid).split()]
        children.update(kids)
        for pid in [process.pid, *kids]:
            data = proc(pid, "environ") + proc(pid, "cmdline")
            expect(not holds(data), "a secret in the environment or command line of %d" % pid)
            seen += len(data) > 0
        time.sleep(0.002)
    process.wait(timeout=120)
    os.unlink(rig.path("big.txt"))
    expect(process.returncode == 0 and seen > 5, process.returncode, seen)
    expect(b"PATH=" in open("/proc/self/environ", "rb").read() and children, "no child was seen")


def core(rig, *command, env=None):
    """What is in the core file of a process that is aborted, wf's while a request is on the way; None: there is none."""
    before, active = set(os.listdir(rig.dir)), rig.server.stats()["requests"]
    process = subprocess.Popen(command, cwd=rig.dir, env=rig.environment(**(env or {})), stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2))
    until = time.monotonic() + 10
    while process.poll() is None and rig.server.stats()["requests"] == active and time.monotonic() < until:
        time.sleep(0.01)
        if command[0] != WF:
            break
    process.send_signal(signal.SIGABRT)
    process.wait(timeout=120)
    cores = [name for name in set(os.listdir(rig.dir)) - before if name.startswith("core")]
    for name in cores:
        with open(rig.path(name), "rb") as f:
            data = f.read()
        os.unlink(rig.path(name))
        return data
    return None


@case
def core_files(rig):
    """a wf that is aborted leaves no core file with the key in it"""
    rig.server.scenario("on : hang")
    rig.write("args.json", '{"prompts":["one"]}')
    try:
        if not core(rig, "sleep", "10"):
            return # this machine keeps no core files, or elsewhere
    except (OSError, subprocess.SubprocessError):
        return # not allowed to ask for them
    found = core(rig, WF, "run", "ask.lua", "--args", "@args.json", "--model", MODEL, "--yes", "--log", rig.new_log(),
                 "--ca", rig.server.ca)
    expect(not holds(found or b""), "the key is in a core file")


def headers(rig):
    lines = rig.server.requests()[-1]["head"].split("\r\n")[1:]
    return dict(line.split(": ", 1) for line in lines if line)


@case
def which_header(rig):
    """the key in the header of the API's version; a token as bearer; the key goes before the token"""
    for env, name, value in (({}, "authorization", "Bearer " + KEY),
                             ({"ANTHROPIC_AUTH_TOKEN": TOKEN}, "authorization", "Bearer " + KEY),
                             ({"ANTHROPIC_API_KEY": None, "ANTHROPIC_AUTH_TOKEN": TOKEN}, "authorization",
                              "Bearer " + TOKEN),
                             ({"WF_ANTHROPIC_VERSION": "2023-06-01"}, "x-api-key", KEY),
                             ({"WF_ANTHROPIC_KEY_HEADER": "x-api-key"}, "x-api-key", KEY)):
        done = rig.ask("one", env=env)
        got = headers(rig)
        expect(done.code == 0 and got.get(name) == value, env, got, done)
        expect(("x-api-key" in got) != ("authorization" in got), "both headers", got)


@case
def wrong_keys(rig):
    """a missing key, and one that is no header's value: said before anything is sent, the value not shown"""
    before = rig.server.stats()["requests"]
    none = rig.ask("one", env={"ANTHROPIC_API_KEY": None})
    expect(none.code == 2 and "ANTHROPIC_API_KEY" in none.err, none)
    none = rig.wf("run", "ask.lua", "--yes", "--args", '{"prompts":["one"]}', env={"ANTHROPIC_API_KEY": None})
    expect(none.code == 2 and "ANTHROPIC_API_KEY" in none.err and "rules:" in none.err, none)
    for bad in ("sk-ant-TEST\nx-evil: 1", "sk-ant-TEST THROWAWAY", "sk-ant-TEST\x07THROWAWAY",
                "sk-ant-TESTÄTHROWAWAY"):
        done = rig.ask("one", env={"ANTHROPIC_API_KEY": bad})
        expect(done.code == 2 and "ANTHROPIC_API_KEY" in done.err, repr(bad), done)
        expect("sk-ant-TEST" not in done.err + done.out and "evil" not in done.err + done.out, "the key is shown", done)
    for space in ("\n", "  ", "\r\n"):
        expect(rig.ask("one", env={"ANTHROPIC_API_KEY": KEY + space}).code == 0, "blanks around a key")
    login = "https://someone:hidden-word@localhost:%d" % rig.server.ports["https"]
    done = rig.ask("one", port=login)
    expect(done.code == 2 and "hidden-word" not in done.err + done.out, done)
    expect(rig.server.stats()["requests"] == before + 3, "something was sent")


@case
def custom_headers(rig):
    """ANTHROPIC_CUSTOM_HEADERS: a line each, before ours of the same name; what is no header is named by its line"""
    secret = "hidden-words-of-a-gateway"
    rig.server.scenario("")
    env = {"ANTHROPIC_CUSTOM_HEADERS": "x-portkey-config: %s\r\n\n X-Team : a b: c\nAuthorization: Bearer own" % secret}
    done = rig.ask("one", env=env)
    got = headers(rig)
    expect(done.code == 0 and got.get("x-portkey-config") == secret and got.get("X-Team") == "a b: c", got, done)
    expect(got.get("Authorization") == "Bearer own" and "authorization" not in got, got)
    rig.server.scenario("on : status=400 message='no %s here'" % secret)
    done = rig.ask("one", env=env)
    shown = done.out + done.err + rig.show() + rig.wf("log", rig.log).out
    expect(done.code == 3 and "no **" in done.out and secret not in shown, done)
    with open(rig.log, "rb") as f:
        expect(secret.encode() not in f.read(), "the value is in the log")
    before = rig.server.stats()["requests"]
    for bad, line, rule in (("x-a: 1\n" + secret, 2, "no colon"), ("x y: " + secret, 1, "letters, digits"),
                            (": " + secret, 1, "letters, digits"), ("\n\nx-a:", 3, "value is missing"),
                            ("x-a: b\x07" + secret, 1, "control character"),
                            ("Host: " + secret, 1, "leave the line out"),
                            ("\n".join("x-%d: 1" % i for i in range(17)), 17, "more than 16")):
        done = rig.ask("one", env={"ANTHROPIC_CUSTOM_HEADERS": bad})
        said = "ANTHROPIC_CUSTOM_HEADERS, line %d:" % line
        expect(done.code == 2 and said in done.err and rule in done.err and secret not in done.err, bad, done)
    expect(rig.server.stats()["requests"] == before, "something was sent")


if __name__ == "__main__":
    main("http", "https", record=True)

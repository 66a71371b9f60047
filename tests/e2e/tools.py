#!/usr/bin/env python3
"""Agents and scripts with tools, as the command wf runs them: what they do, what they are kept from, what is left of them.

The model is a Lua file that calls the tools its prompt lists and answers with what they said. WF is the command."""
import ctypes
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

from lib.tap import case, done

WF = os.path.abspath(os.environ.get("WF", "build/wf"))
META = 'meta = { name = "t", description = "d" }\n'
KEY = "sk-planted-4b1d0c97"  # as a key in wf's environment; may turn up nowhere
MARK = "WF_TOOLS_MARK=%d" % os.getpid()  # in the environment of all that wf starts
MODEL = """
return function(request)
    local plan = json.decode(request.messages[1].content[1].text)
    local turn, told = 0, json.array({})
    for _, message in ipairs(request.messages) do
        if message.role == "assistant" then turn = turn + 1 end
        for _, block in ipairs(message.content) do
            if block.type == "tool_result" then table.insert(told, { text = block.content, error = block.is_error == true }) end
        end
    end
    if plan[turn + 1] then return { tools = plan[turn + 1] } end
    return { text = json.encode(told) }
end
"""
AGENT = "return agent(json.encode(args.plan))"

class Place:
    """A folder with a workspace in it, things outside of that, and a home: what may change is known."""

    def __init__(self):
        self.base = tempfile.mkdtemp(prefix="wf-tools-")
        self.root = os.path.join(self.base, "root")
        self.tmp = os.path.join(self.base, "tmp")
        for folder in ("root/.git", "root/.wf", "root/sub", "tmp", "home/.ssh", "outside"):
            os.makedirs(os.path.join(self.base, folder))
        for name, text in (("root/.git/config", "git\n"), ("root/.wf/mine", "mine\n"), ("root/sub/a.txt", "one\ntwo\nthree\n"),
                           ("home/.ssh/id", "private\n"), ("outside/secret", "outside\n"), ("model.lua", MODEL)):
            self.write(name, text)
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("ANTHROPIC_", "XDG_CONFIG", "WF_"))}
        self.env.update(HOME=os.path.join(self.base, "home"), TMPDIR=self.tmp, NO_COLOR="1", ANTHROPIC_API_KEY=KEY,
                        MY_TOKEN=KEY, DATABASE="db://user:%s@host/" % KEY, PYTHON=sys.executable)
        self.env.update([MARK.split("=")])
        self.runs = 0
        self.before = self.outside()

    def write(self, name, text):
        with open(os.path.join(self.base, name), "w") as f:
            f.write(text)

    def read(self, name):
        with open(os.path.join(self.root, name)) as f:
            return f.read()

    def outside(self):
        """All that is not the workspace's to change, with contents and modes."""
        found = {}
        for folder, folders, files in os.walk(self.base):
            if folder == self.root:
                folders[:] = [".git", ".wf"]
                files = []
            for name in folders + files:
                path = os.path.join(folder, name)
                if path.endswith((".wflog", "s.lua")) or path == self.root:
                    continue
                content = open(path).read() if os.path.isfile(path) and not os.path.islink(path) else ""
                found[path] = (os.lstat(path).st_mode, content)
        return found

    def start(self, script, *more, log=None, **args):
        self.runs += 1
        self.log = log or os.path.join(self.base, "%d.wflog" % self.runs)
        self.write("s.lua", META + script)
        return subprocess.Popen([WF, "run", "../s.lua", "--yes", "--model", "rules:../model.lua", "--log", self.log, "--args",
                                 json.dumps(args), *more], cwd=self.root, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, env=self.env)

    def run(self, script, *more, **args):
        p = self.start(script, *more, **args)
        out, err = p.communicate(timeout=120)
        return p.returncode, out.decode(), err.decode()

    def resume(self, *more):
        p = subprocess.run([WF, "resume", self.log, *more], cwd=self.root, stdin=subprocess.DEVNULL, capture_output=True,
                           env=self.env, timeout=120)
        return p.returncode, p.stdout.decode(), p.stderr.decode()

    def agent(self, *plan, allow="read,write,bash"):
        """One turn for each list of tools; what they said, in order."""
        code, out, err = self.run(AGENT, "--allow", allow, plan=[list(turn) for turn in plan])
        if code != 0:
            return [{"text": out + err, "error": None}] * sum(len(turn) for turn in plan)
        return json.loads(out)

    def one(self, name, **given):
        return self.agent([tool(name, **given)])[0]

    def sh(self, command, **more):
        return self.one("bash", command=command, **more)["text"]

    def clean(self, text):
        """Nobody is left, nothing outside changed, no key was written anywhere."""
        left = remaining()
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        after = self.outside()
        changed = sorted(path for path in {**self.before, **after} if self.before.get(path) != after.get(path))
        leaks = [os.path.join(folder, name) for folder, _, names in os.walk(self.base) for name in names
                 if has_key(os.path.join(folder, name))]
        case(not left and not changed and not leaks, text + ": no process, no file outside, no key is left",
             "processes %s, changed %s, keys in %s" % (left, changed, leaks))

    def end(self):
        shutil.rmtree(self.base)


def tool(name, **given):
    return {"name": name, "input": given}


def has_key(path):
    if not os.path.isfile(path) or os.path.islink(path):
        return False
    with open(path, "rb") as f:
        return KEY.encode() in f.read()


def processes():
    """All that descend from a wf of this test, wherever they hide."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/environ" % pid, "rb") as f:
                if MARK.encode() in f.read():
                    found.append(int(pid))
        except OSError:
            pass
    return found


def remaining():
    """The dead are given a moment to go."""
    for _ in range(200):
        if not processes():
            break
        time.sleep(0.01)
    return processes()


# ---- what tools do ----

def work(p):
    said = p.agent([tool("glob", pattern="**/*.txt"), tool("grep", pattern="t[wh]")],
                   [tool("read", path="sub/a.txt", **{"from": 2})],
                   [tool("edit", path="sub/a.txt", old="two", new="TWO"), tool("write", path="sub/new/b.txt", content="b\n")],
                   [tool("bash", command="cat sub/a.txt sub/new/b.txt; rm sub/new/b.txt; exit 3")],
                   [tool("edit", path="sub/a.txt", old="TWO", new="two"), tool("edit", path="sub/a.txt", old="nowhere", new="x")])
    texts = [s["text"] for s in said]
    case(len(said) == 8 and not any(s["error"] for s in said[:7]), "one agent uses every tool", said)
    case(texts[0] == "sub/a.txt\n" or texts[0] == "sub/a.txt", "glob finds", texts[0])
    case("two" in texts[1] and "three" in texts[1] and "one" not in texts[1], "grep finds", texts[1])
    case("2\ttwo" in texts[2] and "one" not in texts[2], "read shows lines", texts[2])
    case("one\nTWO\nthree\nb\n(exit code 3)" in texts[5], "bash sees what edit and write did, and tells its exit code", texts[5])
    case(p.read("sub/a.txt") == "one\ntwo\nthree\n" and said[7]["error"] is True, "an edit that fits nowhere is an error",
         said[7:])


def refused(p):
    for allow, name, given in (("read", "write", {"path": "x", "content": "x"}), ("read", "bash", {"command": "touch x"}),
                               ("read,write", "bash", {"command": "touch x"}), ("bash", "read", {"path": "sub/a.txt"})):
        said = p.agent([tool(name, **given)], allow=allow)[0]
        case(said["error"] is True and not os.path.exists(os.path.join(p.root, "x")),
             "with --allow %s the tool %s is refused" % (allow, name), said)
    code, out, err = p.run('local t, e = agent("[]", { tools = { "bash" } }) return { e and e.message or t }')
    case(code == 4 and "--allow read,write,bash" in err, "a script that gives an agent a tool which is not allowed: the flag is named",
         out + err)
    code, out, err = p.run('exec("touch x")')
    case(code == 4 and "--allow read,exec" in err and not os.path.exists(os.path.join(p.root, "x")),
         "exec that is not allowed names the flag", out + err)


def shown(p):
    code, out, err = p.run(AGENT, "--allow", "read,bash", plan=[])
    line = [x for x in err.splitlines() if x.startswith("sandbox: ")]
    show = subprocess.run([WF, "show", p.log], capture_output=True, text=True, env=p.env).stdout
    head = [x for x in show.splitlines() if x.startswith("sandbox: ")]
    case(len(line) == 1 and len(head) == 1 and head[0].split() == line[0].split() and "process" in head[0],
         "which protection holds is said at the start, and by wf show: " + (head or ["?"])[0], err + show)
    case("sandbox" not in p.run(AGENT, "--allow", "read,bash", "--quiet", plan=[])[2], "but not with --quiet")
    code, out, err = p.run(AGENT, "--allow", "read,write", plan=[])
    show = subprocess.run([WF, "show", p.log], capture_output=True, text=True, env=p.env).stdout
    case("sandbox" not in err + show, "and not where there are no commands", err + show)
    code, out, err = p.run('return exec("true").code', "--allow", "exec")
    case("sandbox: " in err, "exec is a command too", err)
    process = p.start('exec("echo >began; sleep 5") return exec("true").code', "--allow", "exec")
    while not os.path.exists(os.path.join(p.root, "began")):
        time.sleep(0.01)
    process.kill()
    process.communicate()
    home = p.env.pop("HOME")
    code, out, err = p.resume()
    p.env["HOME"] = home
    os.unlink(os.path.join(p.root, "began"))
    show = subprocess.run([WF, "show", p.log], capture_output=True, text=True, env=p.env).stdout
    lines = [x.split(None, 1)[1] for x in show.splitlines() if x.startswith("sandbox: ")]
    now = [x.split(None, 1)[1] for x in err.splitlines() if x.startswith("sandbox: ")]
    case(lines[1:] == [x + " (resumed)" for x in now if x != lines[0]],
         "what holds after a resume on a host with less is shown besides", err + show)


def stale(p):
    """Each agent of a run is told apart, and none replaces what another one wrote and it has not read."""
    def write(text):
        return tool("write", path="shared", content=text)
    code, out, err = p.run("return { agent(json.encode(args.a)), agent(json.encode(args.b)) }", "--allow", "read,write",
                           a=[[write("a\n")], [write("A\n")]], b=[[write("b\n")], [tool("read", path="shared")], [write("A, b\n")]])
    first, second = [json.loads(x) for x in json.loads(out)] if code == 0 else ([], [])
    case(len(first) == 2 and not any(s["error"] for s in first), "an agent writes again what it wrote", out + err)
    case([s["error"] for s in second] == [True, False, False] and "written by another agent" in second[0]["text"] and
         p.read("shared") == "A, b\n", "another one is told to read it first", out + err)
    os.unlink(os.path.join(p.root, "shared"))


# ---- what they are kept from ----

def paths(p):
    links = {"up": "..", "file": "../outside/secret", "dir": "../outside", "abs": p.base + "/outside", "proc": "/proc/self/root",
             "chain": "dir", "git": ".git", "self": "/proc/self/cwd"}
    for name, to in links.items():
        os.symlink(to, os.path.join(p.root, name))
    secret = p.base + "/outside/secret"
    there = ["../outside/secret", secret, "/proc/self/root" + secret, "sub/../../outside/secret", "up/outside/secret", "file",
             "dir/secret", "abs/secret", "proc" + secret, "chain/secret", "self/../outside/secret", "./sub/.././../outside/secret",
             "/proc/self/cwd/../outside/secret", "sub//..//..//outside//secret", "/dev/fd/../../" + secret]
    said = p.agent([tool("read", path=x) for x in there], [tool("write", path=x, content="x") for x in there],
                   [tool("edit", path=x, old="outside", new="x") for x in there],
                   [tool("write", path=os.path.dirname(x) + "/new", content="x") for x in there])
    bad = [(there[i % len(there)], s) for i, s in enumerate(said) if s["error"] is not True and i < 45 or "outside\n" in s["text"]]
    case(not bad, "no path leads outside: read, write, edit of %d ways" % len(there), bad)
    said = p.agent([tool(t, pattern=x, **more) for t in ("glob",) for x in ("../**", p.base + "/**", "up/**", "dir/*", "proc/**")
                    for more in ({}, {"path": "up"}, {"path": ".."})], [tool("grep", pattern="outside", path=x) for x in there + ["up", "dir", "."]])
    bad = [s for s in said if "secret" in s["text"] and s["error"] is not True or "outside\n" in s["text"]]
    case(not bad, "nor for glob and grep", bad)
    own = [".git/config", ".git/new", ".wf/mine", ".wf/agents/x.md", "git/config", "sub/../.git/config", ".git/../.git/config", ".GIT/../.git/config"]
    said = p.agent([tool("write", path=x, content="x") for x in own], [tool("edit", path=x, old="i", new="x") for x in own])
    case(all(s["error"] for s in said), ".git and .wf are not theirs to write", [s for s in said if not s["error"]])
    for name in links:
        os.unlink(os.path.join(p.root, name))


def own_log(p):
    """--log names a file of the workspace: it is not theirs to write either"""
    log = os.path.join(p.root, "run.log")
    plan = [[tool("write", path="run.log", content="x"), tool("edit", path="./sub/../run.log", old="a", new="b")],
            [tool("bash", command="echo x >>run.log; rm -f run.log; mv run.log other; ln -f run.log hard && echo x >hard; "
                                  "cp s run.log; truncate -s 0 run.log; chmod 0 run.log; ls run.log other hard 2>/dev/null")]]
    code, out, err = p.run("local a = agent(json.encode(args.plan)) exec('rm -f run.log; echo x >>run.log') return a",
                           "--allow", "read,write,bash,exec", log=log, plan=plan)
    said = json.loads(out) if code == 0 else out + err
    again = subprocess.run([WF, "resume", log], cwd=p.root, env=p.env, capture_output=True, text=True)
    held = "own namespaces" in err
    case(code == 0 and said[0]["error"] and said[1]["error"] and (again.stdout == out or not held), "the run's log is not theirs to write",
         (said, err, again.stdout, again.stderr))
    for name in ("run.log", "hard", "other"):
        if os.path.exists(os.path.join(p.root, name)):
            os.unlink(os.path.join(p.root, name))


def linked_log(p):
    """The same if a link leads to it, which a resume follows."""
    folder, link, began = (os.path.join(p.root, x) for x in ("logs", "link", "began"))
    os.mkdir(folder)
    process = p.start("exec('echo >began; sleep 20') exec('mv logs other') exec('echo x >other/run.log') exec('mv other logs')",
                      "--allow", "exec", log=os.path.join(folder, "run.log"))
    while not os.path.exists(began):
        time.sleep(0.01)
    process.kill()
    process.communicate()
    os.symlink("logs/run.log", link)
    p.log = link
    code, out, err = p.resume()
    again = p.resume()
    case(code == 0 and (again[:2] == (0, out) or "own namespaces" not in err), "nor behind a link", (out + err, again))
    shutil.rmtree(folder)
    os.unlink(link)
    os.unlink(began)


def swapped(p):
    """sub/l is a directory and a link outside, in turns, while tools go through it."""
    inside, link, name = (os.path.join(p.root, "sub", x) for x in ("d", "k", "l"))
    os.mkdir(inside)
    with open(inside + "/secret", "w") as f:
        f.write("inside\n")
    os.symlink("../../outside", link)
    os.rename(inside, name)
    libc = ctypes.CDLL(None, use_errno=True)
    stop = threading.Event()

    def swap():
        while not stop.is_set():
            libc.renameat2(-100, link.encode(), -100, name.encode(), 2)  # RENAME_EXCHANGE

    thread = threading.Thread(target=swap)
    thread.start()
    turns = []
    for i in range(12):
        turns.append([tool("write", path="sub/l/w%d" % j, content="x" * j) for j in range(8)] + [tool("write", path="sub/l/secret", content="inside\n")])
        turns.append([tool("read", path="sub/l/secret") for _ in range(8)] + [tool("edit", path="sub/l/secret", old="i", new="I")])
        turns.append([tool("grep", pattern="side", path="sub/l") for _ in range(4)])
        turns.append([tool("bash", command="for i in 1 2 3 4 5 6 7 8 9; do echo x >sub/l/b$i; done 2>/dev/null; true")])
    said = p.agent(*turns)
    stop.set()
    thread.join()
    good = sum(1 for s in said if s["error"] is False)
    case(20 < good < len(said) and not any("outside\n" in s["text"] for s in said),
         "links swapped during the call: %d of %d calls went through, none to the outside" % (good, len(said)), said[:3])
    for x in (link, name):
        (os.unlink if os.path.islink(x) else shutil.rmtree)(x)


def commands(p):
    """What a command tries, and what must not come of it; the victim is wf, whose pid is in the workspace."""
    victim = 'while ! [ -s pid ]; do sleep 0.01; done; P=$(cat pid); '
    trace = '"$PYTHON" -c "import ctypes, sys; c = ctypes.CDLL(None)\nfor p in sys.argv[1:]: print(c.ptrace(16, int(p), 0, 0), c.ptrace(0x4206, int(p), 0, 0))" $P $PPID 1'
    abstract = '"$PYTHON" -c "import socket; socket.socket(socket.AF_UNIX).connect(chr(0) + \'%s\')" 2>&1 || echo refused' % MARK
    tries = [victim + "kill -9 $P 2>&1; kill -9 $PPID 1 2>&1; kill -STOP $P $PPID 1 2>&1; echo done",
             "kill -9 -1; echo unreached",
             victim + trace,
             victim + "cat /proc/$P/environ /proc/$PPID/environ /proc/1/environ /proc/*/environ 2>/dev/null | tr '\\0' '\\n'; env",
             victim + "cat /proc/$P/mem /proc/$PPID/maps /proc/$P/cmdline 2>/dev/null | grep -c planted",
             "cat $HOME/.ssh/id ../home/.ssh/id 2>/dev/null; echo end",
             "for t in ../outside/secret ../new ../home/x ../tmp/x /tmp/wf-tools-escape /proc/self/root%s/outside/secret; do "
             "echo x >$t; done 2>/dev/null; mv ../outside/secret . 2>/dev/null; ln ../outside/secret hard 2>/dev/null; "
             "ln -s ../outside/secret soft; echo x >soft; rm -f soft; ls" % p.base,
             "echo x >.git/config; rm -rf .git .wf; mv .git g; echo x >.wf/x; cat .git/config .wf/mine",
             abstract,
             "for f in /proc/self/fd/*; do echo x >$f/.git/config; chmod 777 $f/../outside/secret; cat $f/../home/.ssh/id; done 2>/dev/null; "
             "ls /proc/self/fd | wc -l; cat .git/config"]
    listener = __import__("socket").socket(__import__("socket").AF_UNIX)
    listener.bind("\0" + MARK)
    listener.listen(1)
    process = p.start(AGENT, "--allow", "read,bash", plan=[[tool("bash", command=c)] for c in tries])
    with open(os.path.join(p.root, "pid"), "w") as f:
        f.write(str(process.pid))
    out, err = (x.decode() for x in process.communicate(timeout=120))
    os.unlink(os.path.join(p.root, "pid"))
    said = [s["text"] for s in json.loads(out)] if process.returncode == 0 else [out + err] * len(tries)
    holds = [x for x in err.splitlines() if x.startswith("sandbox: ")][0]
    spaces = "own namespaces" in holds
    case(process.returncode == 0 and "done" in said[0], "no command signals wf", said[0])
    case(process.returncode == 0, "kill -9 -1 reaches only its own", said[1])
    case(all(line == "-1 -1" for line in said[2].split("\n")[:3]), "nothing of wf can be traced", said[2])
    case(KEY not in said[3] and MARK in said[3], "no key in the command's environment or in one it can read", said[3])
    case(KEY not in said[4], "nor in memory", said[4])
    if spaces:
        case(said[5] == "end\n" or said[5] == "end", "keys in the home directory are hidden", said[5])
        case("git\nmine\n" in said[7], ".git and .wf are read-only to commands", said[7])
    if "Landlock" in holds and "no Landlock" not in holds:
        case(not os.path.exists("/tmp/wf-tools-escape"), "no command writes outside", said[6])
    if "Landlock 6" in holds or "Landlock 7" in holds:
        case("refused" in said[8] and not select.select([listener], [], [], 0)[0], "no abstract socket of others is reached", said[8])
    if spaces:
        case(said[9] == "4\ngit\n", "no descriptor of wf's leads past its mounts", said[9])
    listener.close()


def staying(p):
    said = p.agent([tool("bash", command="(setsid sleep 1000 &); sleep 1000 & echo started")],
                   [tool("bash", command="trap '' TERM; setsid sh -c 'trap \"\" TERM HUP; (sleep 1000; sleep 1000) & sleep 1000' "
                                         ">/dev/null 2>&1 </dev/null & echo daemon")],
                   [tool("bash", command='"$PYTHON" -c "import os, signal, time\nsignal.signal(15, signal.SIG_IGN)\nif os.fork(): os._exit(0)\n'
                                         'os.setsid()\nif os.fork(): os._exit(0)\nos.closerange(0, 9)\ntime.sleep(1000)"; echo twice')],
                   [tool("bash", command="echo hanging; sleep 1000", timeout=1)],
                   [tool("bash", command="trap '' TERM; echo deaf; while :; do sleep 1; done", timeout=1)],
                   [tool("bash", command="yes flood | head -c 60000000; echo; echo end")],
                   [tool("bash", command="cat; read x; echo $?; tty; (: >/dev/tty) 2>&1 | tail -c 40")])
    texts = [s["text"] for s in said]
    for i, word in enumerate(("started", "daemon", "twice")):
        case(texts[i].startswith(word + "\n") and "left running was ended" in texts[i], "what stays behind is ended: " + word, texts[i])
    case("hanging\n" in texts[3] and "stopped after 1 s" in texts[3], "a hanging command ends at its timeout", texts[3])
    case("deaf\n" in texts[4] and "stopped after 1 s" in texts[4], "one that ignores SIGTERM too", texts[4])
    case(len(texts[5]) < 33000 and texts[5].startswith("flood\n") and texts[5].endswith("end\n") and "bytes left out" in texts[5],
         "of a flood head and tail are kept", texts[5][-200:])
    case(texts[6].startswith("1\nnot a tty\n"), "no terminal, no stdin", texts[6])


# ---- exec ----

def executed(p):
    code, out, err = p.run("""return {
        exec({ "sh", "-c", "echo out; echo err >&2; exit 3" }), exec("echo $((1+1)) | tr 2 3"),
        exec("pwd; echo $A $B", { cwd = "sub", env = { A = "a b", B = "=" } }), exec({ "cat" }, { input = "in\\0put\\n" }),
        exec("kill -9 $$"), exec("echo begun; sleep 1000", { timeout = 0.3 }), { exec({ "no-such-program" }) == nil },
        exec("seq 1 1000000"), exec("env") }""", "--allow", "exec")
    r = json.loads(out) if code == 0 else [{}] * 9
    case(r[0] == {"code": 3, "out": "out\n", "err": "err\n", "truncated": False}, "exec: code, out and err", out[:300] + err)
    case(r[1].get("out") == "3\n" and r[1]["code"] == 0, "a text goes to the shell", r[1])
    case(r[2].get("out") == p.root + "/sub\na b =\n", "cwd and env", r[2])
    case(r[3].get("out") == "in\0put\n", "input", r[3])
    case(r[4].get("signal") == 9 and r[4]["code"] == 137, "a signal", r[4])
    case(r[5].get("timed_out") is True and r[5]["out"] == "begun\n", "a timeout", r[5])
    case(r[7].get("truncated") is True and len(r[7]["out"]) < 1100000, "a flood is cut", str(r[7])[:100])
    case(KEY not in str(r[8]) and MARK in str(r[8]), "no key in its environment", r[8])
    code, out, err = p.run('local r, e = exec({ "no-such-program" }) return { e.kind, e.message }', "--allow", "exec")
    case('"tool"' in out and "no-such-program" in out and "there is no such program" in out, "a program that is missing: nil and an error", out + err)
    code, out, err = p.run('local r, e = exec({ "echo", ("x"):rep(200000) }) return { e.message }', "--allow", "exec")
    case("too long for this system" in out, "an argument that is too long is said to be so", out + err)
    code, out, err = p.run('local r, e = exec("pwd", { cwd = "../outside" }) return { e.message }', "--allow", "exec")
    case(code == 0 and p.base + "/outside\n" not in out, "cwd stays inside", out)
    code, out, err = p.run('return exec("date +%s.%N; echo x >>effects").out', "--allow", "exec")
    again = p.resume("--quiet")
    case(again[:2] == (0, out) and p.read("effects") == "x\n", "a command that has run is answered from the log", again)
    os.unlink(os.path.join(p.root, "effects"))


NET = """import socket
try:
    socket.create_connection(("127.0.0.1", int(__import__("sys").argv[1])), 5)
    print("reached")
except OSError:
    print("refused")
"""


def offline(p):
    """--net off: for bash and exec, and after a resume"""
    listener = socket.create_server(("127.0.0.1", 0))
    command = '"$PYTHON" -c \'%s\' %d' % (NET, listener.getsockname()[1])
    calls = 'local said = { agent(json.encode({ { { name = "bash", input = { command = args.c } } } })), exec(args.c).out } '
    code, out, err = p.run(calls + "return said", "--allow", "bash,exec", c=command)
    case(code == 0 and out.count("reached") == 2, "commands have a network", out + err)
    code, out, err = p.run(calls + "return said", "--allow", "bash,exec", "--net", "off", c=command)
    if code == 2:
        return case("--net off: this system has no way" in err and "--net on" in err and not os.path.exists(p.log),
                    "--net off where it cannot be had: nothing is run", out + err)
    case(code == 0 and out.count("refused") == 2 and ("no network" in err or "no TCP" in err), "--net off: neither bash nor exec has one", out + err)
    show = subprocess.run([WF, "show", p.log], capture_output=True, text=True, env=p.env).stdout
    case("no network" in show or "no TCP" in show, "wf show says so", show)
    process = p.start('exec("echo >began; sleep 5") ' + calls + "return said", "--allow", "bash,exec", "--net", "off", c=command)
    while not os.path.exists(os.path.join(p.root, "began")):
        time.sleep(0.01)
    process.kill()
    process.communicate()
    code, out, err = p.resume()
    case(code == 0 and out.count("refused") == 2, "nor after a resume", out + err)
    os.unlink(os.path.join(p.root, "began"))
    code, out, err = p.run(AGENT, "--net", "none", plan=[])
    case(code == 2 and "--net none: on|off" in err, "another value is refused", err)
    listener.close()


def lasting(p):
    """What an agent's commands leave in TMPDIR is there for the next, and for no other agent; nothing stays."""
    said = p.agent([tool("bash", command="echo kept >$TMPDIR/f; seq 1 9999; echo FAILED; seq 1 9999; echo $TMPDIR")],
                   [tool("bash", command="cat $TMPDIR/f; grep FAILED $TMPDIR/out-1")])
    where = said[0]["text"].split()[-1]
    case(said[1]["text"] == "kept\nFAILED\n" and "all of it is in $TMPDIR/out-1" in said[0]["text"], "a file in TMPDIR, and all of a long output, last", said)
    case(len(where) <= len(p.tmp) + 21 and not os.path.exists(where) and not os.listdir(p.tmp), "the directory has a short path and is gone", where)
    two = "return parallel({ function() return agent(json.encode(args.plan)) end, function() return agent(json.encode(args.plan)) end })"
    code, out, err = p.run(two, "--allow", "bash", plan=[[tool("bash", command="ls $TMPDIR/f* 2>/dev/null; echo >$TMPDIR/f; sleep 0.2; true")],
                                                        [tool("bash", command="ls $TMPDIR/f* | wc -l")]])
    case(code == 0 and out.count('"(no output)"') + out.count('\\"(no output)\\"') == 2 and "1\\\\n" in out, "two agents share none", out + err)


def killed(p, script, allow, expected, *flags):
    """wf dies while a command has begun; it is reported, and not run again, also where the resume's flags allow none."""
    effects = os.path.join(p.root, "effects")
    process = p.start(script, "--allow", allow,
                      plan=[[tool("bash", command="echo x >>effects; sleep 20; echo y >>effects")], [tool("bash", command="cat effects")]])
    for _ in range(24000):  # until the command has written: the file alone may be there before that
        if os.path.exists(effects) and os.path.getsize(effects) > 0:
            break
        time.sleep(0.005)
    there = processes()
    process.kill()
    process.communicate()
    left = remaining()
    code, out, err = p.resume(*flags)
    case(code == 0 and there and expected in out and p.read("effects") == "x\n" and not left,
         "kill -9 while %s is under way: reported, not repeated, and its processes are gone" % " ".join((allow,) + flags), (left, out + err, p.read("effects")))
    again = p.resume("--quiet")
    case(again[:2] == (0, out) and p.read("effects") == "x\n", "another resume has the same answer", again)
    os.unlink(effects)


def main():
    p = Place()
    for test in (work, stale, refused, shown, paths, own_log, linked_log, swapped, commands, staying, executed, lasting, offline):
        test(p)
        p.clean(test.__name__)
    killed(p, 'local r, e = exec("echo x >>effects; sleep 20; echo y >>effects") return { tostring(e), (exec("cat effects")).out }', "exec",
           "interrupted: state unknown")
    killed(p, AGENT, "bash", "interrupted, state unknown")
    killed(p, AGENT, "bash", "interrupted, state unknown", "--allow", "read")
    p.clean("killed")
    p.end()
    return done()


sys.exit(main())

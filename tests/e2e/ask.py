#!/usr/bin/env python3
"""Scripts that ask people, run commands and other workflows, as the command wf does it: the terminal, --answers, defaults, the dry
run, saved workflows. WF is the command."""
import codecs
import json
import os
import pty
import select
import signal
import subprocess
import sys
import tempfile
import time

from lib.tap import case, done, write

WF = os.path.abspath(os.environ.get("WF", "build/wf"))
META = 'meta = { name = "t", description = "d" }\n'
MODEL = """return function(r)
    local text = r.messages[1].content[1].text
    return { text = "did " .. text, delay = string.find(text, "slow") and 0.5 or 0 }
end
"""
GO = 'ask("Go on?", { choices = { "yes", "no" }, default = "no", label = "go" })'

def environment(folder, **more):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("ANTHROPIC_", "XDG_CONFIG", "WF_"))}
    return {**env, "HOME": os.path.join(folder, "home"), "NO_COLOR": "1", "CI": "", "TERM": "xterm", **more}


def wf(folder, *args, **env):
    done = subprocess.run([WF, *args], cwd=folder, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
                          env=environment(folder, **env))
    return done.returncode, done.stdout.strip(), done.stderr


def run(folder, body, *more, log="l.wflog", **env):
    write(folder, "s.lua", META + body)
    path = os.path.join(folder, log)
    if os.path.exists(path):
        os.unlink(path)
    return wf(folder, "run", "s.lua", "--yes", "--quiet", "--model", "rules:m.lua", "--log", log, *more, **env)


def ticks_of(pid):
    """The processor time that a process has taken."""
    with open("/proc/%d/stat" % pid) as f:
        return sum(int(n) for n in f.read().rsplit(")", 1)[1].split()[11:13])


class Terminal:
    """wf on a terminal of its own, on stdin and stderr; stdout is a pipe."""

    def __init__(self, folder, body, *more):
        write(folder, "s.lua", META + body)
        log = os.path.join(folder, "t.wflog")
        if os.path.exists(log):
            os.unlink(log)
        self.master, slave = pty.openpty()
        self.p = subprocess.Popen([WF, "run", "s.lua", "--yes", "--model", "rules:m.lua", "--log", "t.wflog", *more], cwd=folder,
                                  env=environment(folder), stdin=slave, stdout=subprocess.PIPE, stderr=slave,
                                  start_new_session=True)
        os.close(slave)
        self.decoder, self.seen = codecs.getincrementaldecoder("utf-8")(), ""

    def wait(self, text, seconds=120):
        end = time.time() + seconds
        while text not in self.seen and time.time() < end:
            if select.select([self.master], [], [], 0.1)[0]:
                try:
                    self.seen += self.decoder.decode(os.read(self.master, 4096)) # a character may come in halves
                except OSError:
                    break
        return text in self.seen

    def type(self, text):
        os.write(self.master, text.encode())

    def end(self):
        out = self.p.stdout.read().decode()
        self.p.stdout.close()
        self.p.wait(timeout=120)
        self.wait("\0", 0.1)
        os.close(self.master)
        return self.p.returncode, out.strip()


def without_a_terminal(folder):
    code, out, err = run(folder, 'local v, e = ask("Really?") return { v == nil, e.kind, e.message }')
    case(code == 0 and '[true,"tool","nobody can be asked \\"Really?\\": there is no terminal' in out and "--answers FILE" in out,
         "a question that nobody can answer is an error at once, with the mend", out + err)
    code, out, err = run(folder, 'return ask("Really?")')
    case(code == 4 and "nobody can be asked" in err, "and makes a run fail that returns it", err)
    case(run(folder, "return " + GO)[:2] == (0, "no"), "else its default is taken")
    case(run(folder, 'return { ask("a", { default = "" }) }')[:2] == (0, '[""]'), "an empty one too")


def answers(folder):
    write(folder, "by.json", '{"Go on?": "yes", "n": 3, "Is it \\"true\\"?": true, "odd": "z"}')
    code, out, err = run(folder, 'return { %s, ask("How many?", { label = "n" }), ask([[Is it "true"?]]), ask("else", '
                         '{ default = "d" }) }' % GO, "--answers", "by.json")
    case(json.loads(out) == ["yes", "3", "true", "d"], "--answers answers by question and by label", out + err)
    case(run(folder, "return " + GO, "--answers", write(folder, "x.json", '{"go": "yes"}'))[1] == "yes", "a label alone will do")
    code, out, err = run(folder, 'local v, e = ask("odd", { choices = { "x", "y" } }) return e.message', "--answers", "by.json")
    case('--answers: "z" is none of the choices of the question "odd"' in out, "an answer must be one of the choices", out + err)
    write(folder, "s.lua", META + 'return { ask("Name?", { default = "none" }), ask("Nam?", { default = "none" }) }')
    write(folder, "x.json", '{"Nam?": "me"}')
    code, out, err = wf(folder, "run", "s.lua", "--yes", "--model", "rules:m.lua", "--log", "d.wflog", "--answers", "x.json")
    case(json.loads(out) == ["none", "me"] and err.count("has nothing for") == 1 and '"Name?": the default is taken' in err,
         "a question that the file does not know is named", out + err)
    write(folder, "list.json", '["one", 2, "three"]')
    body = 'return { ask("a"), ask("b"), (ask("c", { choices = { "three" } })), ask("d", { default = "no more" }) }'
    code, out, err = run(folder, body, "--answers", "list.json")
    case(json.loads(out) == ["one", "2", "three", "no more"], "a list is used in order", out + err)

    for text, why in (("7", "it must hold a JSON object"), ('{"a": {}}', "an answer is a text"), ('["a", null]', "an answer is a text"),
                      ('["a"', "it must hold"), ("[] []", "x.json: at byte"), ("", "x.json")):
        write(folder, "x.json", text)
        code, out, err = run(folder, "return 1", "--answers", "x.json")
        case(code == 2 and why in err and err.count("\n") == 1 and not os.path.exists(os.path.join(folder, "l.wflog")),
             "a file of answers that is %r is refused, and nothing is run" % text, err)
    code, out, err = run(folder, "return 1", "--answers", "nowhere.json")
    case(code == 2 and "cannot read nowhere.json" in err, "a missing file too", err)


def resumed(folder):
    body = 'local r = { ask("a"), (ask("b", { choices = { "two" } })) } r[3] = agent("slow") r[4] = ask("c") return r'
    write(folder, "list.json", '["one", "two", "three"]')
    write(folder, "s.lua", META + body)
    log = os.path.join(folder, "l.wflog")
    if os.path.exists(log):
        os.unlink(log)
    p = subprocess.Popen([WF, "run", "s.lua", "--yes", "--model", "rules:m.lua", "--log", "l.wflog", "--answers", "list.json"],
                         cwd=folder, env=environment(folder), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL)
    while not os.path.exists(log):
        time.sleep(0.01)
    time.sleep(0.25)
    p.kill()
    p.wait()
    code, out, err = wf(folder, "resume", "l.wflog", "--quiet")
    case(json.loads(out or "0") == ["one", "two", "did slow", "three"], "a resumed run goes on in the list, which its log names",
         out + err)
    run(folder, 'return ask("Really?")')
    code, out, err = wf(folder, "resume", "l.wflog", "--quiet", "--answers", write(folder, "x.json", '["now"]'))
    case(code == 4 and "nobody can be asked" in err, "a failed question stays failed on a resume", err)
    code, out, err = wf(folder, "resume", "l.wflog", "--quiet", "--answers", "x.json", "--retry-failed")
    case((code, out) == (0, "now"), "unless --retry-failed", out + err)


def terminal(folder):
    t = Terminal(folder, "return " + GO)
    shown = t.wait("Enter alone: no\r\n")
    t.type("1\n")
    case(shown and t.end() == (0, "yes") and "? Go on?\r\n  1) yes\r\n  2) no\r\n" in t.seen, "a choice is made by its number", t.seen)
    t = Terminal(folder, "return " + GO)
    t.wait("Enter alone")
    t.type(" yes \n")
    case(t.end() == (0, "yes"), "or by its text", t.seen)
    t = Terminal(folder, "return " + GO)
    t.wait("Enter alone")
    t.type("\n")
    case(t.end() == (0, "no"), "Enter alone takes the default", t.seen)
    t = Terminal(folder, 'return ask("Go?", { choices = { "yes", "no" } })')
    t.wait("then Enter")
    t.type("\n")
    again = t.wait("(that is none of the choices)\r\n? Go?\r\n  1) yes\r\n  2) no\r\n  number or text, then Enter\r\n")
    t.type("3\n")
    t.seen = t.seen.replace("(that is none of the choices)\r\n? Go?\r\n", "", 1)
    again = again and t.wait("(that is none of the choices)\r\n? Go?\r\n  1) yes\r\n  2) no\r\n  number or text, then Enter\r\n")
    t.type("no\n")
    case(again and t.end() == (0, "no"), "what is no choice is asked again", t.seen)
    t = Terminal(folder, 'return { ask("Name?"), ask("And?") }')
    t.wait("your answer")
    t.type("J\u00f6rg \u2713\n")
    t.wait("? And?\r\n  your answer")
    t.type("\n")
    case(t.end() == (0, '["J\u00f6rg \u2713",""]'), "a free answer is any line, an empty one too", t.seen)
    t = Terminal(folder, 'return ask("Name?\\27[2J \\u{9b}2J \\u{202e}eman\\u{2066}")')
    t.wait("your answer")
    case("? Name??[2J ?2J ?eman?\r\n" in t.seen, "nor do they turn its lines around", t.seen)
    t.type("x" * 4000 + "\n")
    case(t.end() == (0, "x" * 4000) and "\x1b[2J" not in t.seen, "questions do not drive the terminal; long lines arrive", t.seen)
    t = Terminal(folder, "return { %s, (ask('b')) or 'none' }" % GO)
    t.wait("Enter alone")
    t.type("\x04")
    t.wait("? b\r\n  your answer")
    t.type("\x04")
    case(t.end() == (0, '["no","none"]'), "the end of input: the default, or an error", t.seen)
    t = Terminal(folder, "return " + GO, "--answers", write(folder, "x.json", '{"go": "yes"}'))
    case(t.end() == (0, "yes") and "Go on?" not in t.seen, "--answers goes before the terminal", t.seen)


def busy_terminal(folder):
    t = Terminal(folder, """local r = parallel({ function() return ask("one") end, function() return agent("slow a") end,
        function() return ask("two") end, function() return agent("b") and agent("c") end }) return r""")
    t.wait("? one\r\n")
    agents = t.wait("     3 ok ")
    alone = "? two" not in t.seen
    t.type("1\ntoo early\n")
    second = t.wait("? two\r\n  your answer")
    time.sleep(0.3)
    t.type("2\n")
    case(agents, "agents go on while a question stands", t.seen)
    code, out = t.end()
    case(alone and second and json.loads(out) == ["1", "did slow a", "2", "did c"],
         "questions come one after another, and what was typed before one is no answer to it", t.seen + out)
    t = Terminal(folder, 'return race({ function() return ask("never") end, function() return agent("slow") end })')
    case(t.end() == (0, "did slow") and "? never" in t.seen, "a question that lost its race is dropped", t.seen)
    t = Terminal(folder, 'return ask("never")')
    t.wait("? never")
    before = ticks_of(t.p.pid)
    time.sleep(1)
    ticks = ticks_of(t.p.pid) - before
    t.p.send_signal(signal.SIGINT)
    code, _ = t.end()
    case(code == 6 and ticks < 20, "waiting takes no processor time; an interrupt ends it", (code, ticks, t.seen))
    t = Terminal(folder, 'return { ask("a", { default = "d" }), ask("b") }')
    t.wait("? a")
    t.type("first\n")
    t.wait("? b")
    t.p.kill()
    t.end()
    code, out, err = wf(folder, "resume", "t.wflog", "--quiet", "--answers", write(folder, "x.json", '{"a": "no", "b": "second"}'))
    case((code, out) == (0, '["first","second"]'), "killed while a question stands: what was answered is kept", out + err)


def dry_run(folder):
    write(folder, "s.lua", META + """local r, w = exec("touch made"), workflow("flows/w.lua", { n = 2 })
        return { r.code, %s, ask("b", { choices = { "x", "y" } }), ask("c"), w }""" % GO)
    write(folder, "flows/w.lua", META + 'return { exec({ "touch", "made" }).out, agent("x"), args.n }')
    code, out, err = wf(folder, "check", "s.lua")
    case(code == 0 and "Commands that it runs: 2 (exec; none was run here; they need --allow read,exec)" in out
         and "Questions that it asks: 3 (ask;" in out and not os.path.exists(os.path.join(folder, "made")),
         "check answers commands and questions itself, runs none and says so", out + err)
    write(folder, "x.json", '{"go": "maybe"}')
    write(folder, "t.lua", META + "local v, e = " + GO + " if not v then error(e.message) end return v")
    code, out, err = wf(folder, "check", "t.lua", "--answers", "x.json")
    case(code == 4 and "none of the choices" in err, "check takes --answers", out + err)
    write(folder, "t.lua", META + 'exec("touch made") return agent("x", { tools = { "bash" }, model = "exec:touch made" })')
    code, out, err = wf(folder, "check", "t.lua")
    case(code == 4 and "this run has no 'bash'" in err and "--allow read,write,bash" in err, "check knows a tool that is not allowed", err)
    code, out, err = wf(folder, "check", "t.lua", "--allow", "read,write,bash,exec")
    case(code == 0 and "(exec; none was run here)" in out and not os.path.exists(os.path.join(folder, "made")),
         "and takes --allow, as the error says, and runs nothing for it", out + err)
    write(folder, "t.lua", META + 'return agent("x")')
    code, out, err = wf(folder, "check", "t.lua")
    case("Commands" not in out and "Questions" not in out, "where there are none, nothing is said of them", out)


def commands(folder):
    code, out, err = run(folder, 'return exec("echo hi").out')
    case(code == 4 and "s.lua:2: exec: this run may not run commands: start it, or resume it, with --allow read,exec" in err,
         "a command needs --allow exec, and the error names it", err)


def workflows(folder):
    write(folder, "home/.config/wf/workflows/mine.lua", META + 'return "mine " .. args.n')
    write(folder, "other/wf/workflows/mine.lua", META + 'return "other " .. args.n')
    case(run(folder, 'return workflow("mine", { n = 1 })')[:2] == (0, "mine 1"), "a saved workflow of the user's")
    os.unlink(os.path.join(folder, "home/.config/wf/workflows/mine.lua"))
    case(wf(folder, "resume", "l.wflog", "--quiet")[:2] == (0, "mine 1"), "its text is in the log")
    case(run(folder, 'return workflow("mine", { n = 1 })', XDG_CONFIG_HOME=os.path.join(folder, "other"))[1] == "other 1",
         "XDG_CONFIG_HOME says where")
    code, out, err = run(folder, 'return workflow("mine")')
    case(code == 4 and "there is no workflow 'mine': looked at .wf/workflows/mine.lua and the user's workflows" in err,
         "a missing one is named, with the places", err)
    write(folder, ".wf/workflows/mine.lua", META + 'return "ours " .. args.n')
    case(run(folder, 'return workflow("mine", { n = 1 })')[1] == "ours 1", "the workspace's goes before the user's")
    code, out, err = run(folder, 'return workflow("near")', "--allow", "exec")
    case(code == 4 and "--allow read gives that right" in err, "one that may not be read is not called missing", err)
    write(folder, "flows/a.lua", META + '\nlocal x = agent("in", { agent_type = "t" })\nerror("oops " .. x)')
    write(folder, ".claude/agents/t.md", "---\ntools: [Read]\n---\nBe.\n")
    code, out, err = run(folder, 'return workflow("flows/a.lua")')
    case(code == 4 and "flows/a.lua:4: oops did in" in err and '4 | error("oops " .. x)' in err, "its errors name its file and line", err)
    for name in ("../x.lua", "/etc/passwd.lua", "flows/../../x.lua"):
        code, out, err = run(folder, 'return workflow("%s")' % name)
        case(code == 4 and "there is no workflow '%s'" % name in err, "no path leads out of the workspace: %s" % name, err)
    write(folder, "home/w.lua", """return function(r)
        if #r.messages > 1 then return { text = "ok" } end
        return { tool = { name = "write", input = { path = ".config/wf/workflows/late.lua", content = [[%sreturn "late"]] } } } end""" % META)
    write(folder, "s.lua", META + 'agent("x") local name = "la" return workflow(name .. "te")')
    late = ["run", "s.lua", "--yes", "--quiet", "--root", "home", "--model", "rules:home/w.lua", "--allow", "read,write", "--log"]
    code, out, err = wf(folder, *late, "late.wflog")
    case(code == 4 and "late.lua lies in the workspace" in err, "one that an agent may have written is not read once agents have begun", out + err)
    write(folder, "s.lua", META + 'local name = "la" local w = workflow(name .. "te") agent("x") return w')
    case(wf(folder, *late, "early.wflog")[:2] == (0, "late"), "but before that", err)
    os.mkfifo(os.path.join(folder, "home/.config/wf/workflows/pipe.lua"))
    code, out, err = run(folder, 'return workflow("pipe")')
    case(code == 4 and "no readable file pipe.lua" in err, "a pipe in the folder does not hang the run", err)


def main():
    with tempfile.TemporaryDirectory(prefix="wf-ask-") as folder:
        write(folder, "m.lua", MODEL)
        for part in (without_a_terminal, answers, resumed, terminal, busy_terminal, dry_run, commands, workflows):
            part(folder)
    return done()


sys.exit(main())

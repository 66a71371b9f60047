"""wf on a terminal, in CI and below a pipe: what is drawn, what is asked, what survives a closed terminal, Ctrl-Z and a reader that
goes away. WF names the binary; default build/wf."""
import fcntl
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time

from lib.tap import case, done, write

WF = os.path.abspath(os.environ.get("WF", "build/wf"))
META = 'meta = { name = "survey", description = "d" }\n'
MODEL = """return function(request)
  local text = request.messages[1].content[1].text
  return { text = "did " .. text, delay = tonumber(text:match("^[%d.]+")) or 0 }
end
"""
FAN = """local f = {}
for i, s in ipairs({ %s }) do f[i] = function() return agent(tostring(s), { label = %s }) end end
return (parallel(f))
"""
EVIL = '"\\27[2J\\27]0;pwn\\7 \\u{9b}31m a\\rb \\u{202e}txt hi"'


class Place:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="wf-terminal-")
        self.state = tempfile.mkdtemp(prefix="wf-terminal-state-")
        write(self.dir, "m.lua", MODEL)

    def __enter__(self):
        return self

    def __exit__(self, *why):
        shutil.rmtree(self.dir, ignore_errors=True)
        shutil.rmtree(self.state, ignore_errors=True)

    def env(self, **more):
        strange = ("ANTHROPIC_", "XDG_", "WF_", "CI", "TERM", "NO_COLOR")
        env = {k: v for k, v in os.environ.items() if not k.startswith(strange)}
        env.update({"HOME": self.dir, "XDG_STATE_HOME": self.state, "TERM": "xterm", **more})
        return {k: v for k, v in env.items() if v is not None}

    def script(self, text, name="s.lua"):
        write(self.dir, name, META + text)

    def wf(self, *args, **more):
        p = subprocess.run([WF, *args], cwd=self.dir, env=self.env(**more), stdin=subprocess.DEVNULL, capture_output=True,
                           timeout=120)
        return p.returncode, p.stdout.decode(), p.stderr.decode()

    def shell(self, command):
        p = subprocess.run(["bash", "-c", command], cwd=self.dir, env=self.env(WF=WF), stdin=subprocess.DEVNULL,
                           capture_output=True, timeout=120)
        return p.returncode, p.stdout.decode(), p.stderr.decode()

    def log(self, name="l.wflog"):
        return os.path.join(self.dir, name)

    def status(self, name="l.wflog"):
        return self.wf("show", name)[1].split("status:")[-1].split("\n")[0].strip()


class Terminal:
    """A command on a terminal of its own, all three streams, and a screen that understands what wf sends."""

    def __init__(self, place, *args, columns=80, rows=24, **env):
        self.shown, self.place = b"", place
        self.master, slave = pty.openpty()
        self.resize(columns, rows)
        self.p = subprocess.Popen([WF, *args], cwd=place.dir, env=place.env(**env), stdin=slave, stdout=slave, stderr=slave,
                                  start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(slave)

    def resize(self, columns, rows=24):
        self.columns = columns
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self, seconds):
        """Whether something came, or the other end was closed."""
        if not select.select([self.master], [], [], seconds)[0]:
            return True
        try:
            piece = os.read(self.master, 65536)
        except OSError:
            return False
        self.shown += piece
        return len(piece) > 0

    def wait(self, pattern, seconds=60):
        end = time.monotonic() + seconds
        while not re.search(pattern, self.shown, re.S) and time.monotonic() < end:
            if not self.read(0.1):
                break
        return re.search(pattern, self.shown, re.S) is not None

    def end(self, seconds=60):
        while self.p.poll() is None and seconds > 0:
            self.read(0.05)
            seconds -= 0.05
        while select.select([self.master], [], [], 0.05)[0] and self.read(0):
            pass
        if self.p.poll() is None:
            self.p.kill()
        code = self.p.wait()
        os.close(self.master)
        return code

    def lines(self):
        """The screen: carriage returns and the erasing of what follows are obeyed; each line as it stands in the end."""
        lines, at = [""], 0
        for piece in re.findall(r"\x1b\[[0-9;]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", self.shown.decode("utf-8", "replace")):
            if piece == "\r":
                at = 0
            elif piece == "\n":
                lines.append("")
                at = 0
            elif piece.endswith("J"):
                lines[-1] = lines[-1][:at]
            elif not piece.startswith("\x1b"):
                lines[-1] = lines[-1][:at] + piece + lines[-1][at + len(piece):]
                at += len(piece)
        return lines

    def drawn(self):
        """All states of the line that is drawn in its place."""
        return re.findall(r"(\d+ done, [^\r\x1b\n]*)\r(?!\n)", self.shown.decode("utf-8", "replace"))


def width(text):
    return sum(2 if c >= "\u1100" else 1 for c in text)


def run(*more, log="l.wflog"):
    return ("run", "s.lua", "--model", "rules:m.lua", "--yes", "--log", log, *more)


def begin(place, *command, **io):
    return subprocess.Popen([WF, *command], cwd=place.dir, env=place.env(), **{
        "stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **io})


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)


def status_line():
    with Place() as p:
        label = '"an agent with quite a long label, of number " .. i .. ", longer than a narrow terminal is"'
        p.script(FAN % ("1.4, 2, 2, 2.8", label))
        t = Terminal(p, *run())
        case(t.wait(b"0 done, 4 working"), "a line tells how many work", t.shown)
        t.wait(b"1 done, 3 working")
        t.resize(40)
        t.wait(b"3 done, 1 working")
        code, drawn, lines = t.end(), t.drawn(), t.lines()
        case(code == 0 and lines[0].startswith("survey: model: rules:m.lua; lanes: 16; log: l.wflog"),
             "the first line says what runs", lines)
        case(any(re.search(r"\| an agent with .* \d s", d) for d in drawn), "and who has worked longest", drawn)
        case(all(width(d) < 80 for d in drawn) and width(drawn[-1]) < 40, "it fits the terminal, also a resized one", drawn)
        case(len(drawn) <= 30, "it is drawn a few times a second at most", len(drawn))
        case(not any("working" in line for line in lines) and sum(" ok " in line for line in lines) == 4,
             "nothing of it stays between the lines and at the end", lines)


def wide_labels():
    with Place() as p:
        p.script(FAN % ("1.2", '"\u65e5\u672c\u8a9e" .. ("\u9577\u3044"):rep(40)'))
        shown = [(columns, Terminal(p, *run(log="%d.wflog" % columns), columns=columns)) for columns in (40, 41, 20, 1)]
        for columns, t in shown:
            t.end()
            drawn = t.drawn() if columns > 1 else []
            case(all(width(d) < columns for d in drawn) and (drawn or columns == 1),
                 "wide characters are cut in %d columns" % columns, drawn)


def no_line():
    """Neither with --quiet, nor in a short run, nor where the cursor cannot be moved."""
    with Place() as p:
        p.script(FAN % ("1.2", '"x"'))
        kinds = ((("--quiet",), {}), ((), {"TERM": "dumb"}), ((), {"TERM": None}), ((), {"CI": "true"}), (("--json",), {}))
        shown = [Terminal(p, *run(*more, log="%d.wflog" % i), **env) for i, (more, env) in enumerate(kinds)]
        for (more, env), t in zip(kinds, shown):
            code = t.end()
            case(code == 0 and not t.drawn() and (b"\x1b" not in t.shown or "CI" in env), "no line: %s %s" % (more, env), t.shown)
        p.script('return agent("0.01")')
        t = Terminal(p, *run("--no-color"))
        case(t.end() == 0 and b"\x1b" not in t.shown, "a short run has none", t.shown)


class Silence:
    """A run below a pipe, begun early and looked at late."""

    def __init__(self):
        self.place = Place()
        self.place.script('return agent("3600", { label = "slow one" })')
        self.p = begin(self.place, *run())

    def end(self):
        first = self.p.stderr.readline().decode()
        case(first == "survey: model: rules:m.lua; lanes: 16; log: l.wflog\n", "below a pipe the first line comes at once", first)
        second = self.p.stderr.readline().decode()
        case(re.fullmatch(r"working: 0 done, 1 working \| slow one \d+ s\n", second), "and another one while an agent works for long", second)
        self.p.kill()
        self.p.communicate()
        self.place.__exit__()


def nobody():
    with Place() as p:
        for i, env in enumerate(({"CI": "true"}, {"CI": "1"}, {"TERM": "dumb"})):
            p.script('return ask("Really, %d?", { default = "so be it" })' % i)
            t = Terminal(p, "run", "s.lua", "--model", "rules:m.lua", **env)
            case(t.end() == 2 and b"--yes" in t.shown and b"[y/N]" not in t.shown, "%s: a new script is refused" % env, t.shown)
            t = Terminal(p, *run(log="%d.wflog" % i), **env)
            case(t.end() == 0 and b"so be it" in t.shown, "%s: ask() takes its default" % env, t.shown)
        for i, env in enumerate(({"CI": "false"}, {"CI": ""}, {"CI": "0"}, {"TERM": None})):
            p.script('return "%d"' % i)
            t = Terminal(p, "run", "s.lua", "--model", "rules:m.lua", **env)
            case(t.wait(b"\\[y/N\\]"), "%s: a person is asked" % env, t.shown)
            t.p.kill()
            t.end()


def known():
    """A script that is known shows its dry run no more, unless it is large."""
    with Place() as p:
        p.script('local f = {} for i = 1, args.n do f[i] = function() return i end end parallel(f) '
                 'for i = 1, args.n do agent("0") end return "fine"')
        p.wf(*run("--", "n=1"))
        os.unlink(p.log())
        few, many = ("run", "s.lua", "--model", "rules:m.lua", "--", "n=2"), ("run", "s.lua", "--model", "rules:m.lua", "--", "n=101")
        for quiet in ((), ("--quiet",)):
            command = (*few[:4], *quiet, *few[4:])
            t = Terminal(p, *command)
            case(t.end() == 0 and b"dry run" not in t.shown and b"in all" not in t.shown, "a known script starts at once %s" % (quiet,), t.shown)
        t = Terminal(p, *many)
        t.wait(b"\\[y/N\\]")
        os.write(t.master, b"n\n")
        case(t.end() == 6 and b"in all" in t.shown, "a large run of it is asked about", t.shown)
        said = p.wf(*many)
        case(said[0] == 2 and "101 agents" in said[2] and "--yes" in said[2], "and refused without a terminal", said)
        case(p.wf(*few)[:2] == (0, "fine\n"), "where one that is not large begins")


def results():
    with Place() as p:
        p.script("return agent('x')")
        write(p.dir, "m.lua", "return function() return { text = %s } end" % EVIL)
        bad = (b"\x1b", b"\x07", "\u009b".encode(), "\u202e".encode())
        for command in (run("--no-color"), ("resume", "l.wflog", "--no-color"), ("resume", "l.wflog", "--json"), ("show", "l.wflog"),
                        ("log", "l.wflog"), ("log", "l.wflog", "--json")):
            t = Terminal(p, *command)
            code = t.end()
            shown = t.shown.replace(b"\r\n", b"\n")
            case(code == 0 and b"hi" in shown and not any(b in shown for b in (*bad, b"\r")), "harmless on a terminal: %s" % " ".join(command), shown)
        said = "\x1b[2J\x1b]0;pwn\x07 \u009b31m a\rb \u202etxt hi"
        p2 = subprocess.run([WF, "resume", "l.wflog", "-o", "out"], cwd=p.dir, env=p.env(), capture_output=True, stdin=subprocess.DEVNULL)
        with open(p.log("out"), "rb") as out:
            case(p2.returncode == 0 and out.read() == said.encode(), "-o gets the bytes")
        p2 = subprocess.run([WF, "resume", "l.wflog"], cwd=p.dir, env=p.env(), capture_output=True, stdin=subprocess.DEVNULL)
        case(p2.stdout == said.encode() + b"\n", "a pipe gets the bytes", p2.stdout)


def readers():
    with Place() as p:
        p.script("local f = {} for i = 1, 400 do f[i] = function() return agent('0.0 ' .. ('x'):rep(400)) end end return (parallel(f))")
        said = p.shell('"$WF" %s | head -1 >/dev/null; echo ${PIPESTATUS[0]}' % " ".join(run("--json")))
        case(said[1] == "0\n" and "Broken" not in said[2], "a reader of events that goes ends no run", said)
        case(p.status() == "done", "which goes on to its end")
        for what in ("log", "log --json", "show", "help script"):
            words = what.split()
            log = " l.wflog" if words[0] in ("log", "show") else ""
            said = p.shell('"$WF" %s | head -1 >/dev/null; echo ${PIPESTATUS[0]}' % (words[0] + log + "".join(" " + w for w in words[1:])))
            case(said[1] == "0\n" and said[2] == "", "a reader that has seen enough of wf " + what, said)
        said = p.shell('"$WF" log l.wflog >/dev/full; echo $?')
        case(said[1] == "74\n" and said[2], "a full disk is told", said)


def hangup():
    with Place() as p:
        p.script('return agent("3600")')
        q = begin(p, *run())
        wait_for(lambda: "unfinished" in p.wf("show", "l.wflog")[1])
        q.send_signal(signal.SIGHUP)
        err = q.communicate(timeout=60)[1].decode()
        case(q.returncode == 6 and "SIGHUP" in err and "wf resume l.wflog" in err, "SIGHUP stops a run", err)
        case(p.status() == "cancelled", "and the stop is in the log", p.status())
        t = Terminal(p, *run(log="t.wflog"))
        t.wait(b"1 working")
        os.close(t.master)
        code = t.p.wait(timeout=60)
        case(code == 6 and p.status("t.wflog") == "cancelled", "so does a terminal that goes away", (code, p.status("t.wflog")))


def hangup_of_others():
    with Place() as p:
        p.script('return agent("3600")')
        q = begin(p, "agent", "--model", "rules:m.lua", stdin=subprocess.PIPE)
        q.stdin.write(b'{"version":1,"prompt":"3600"}')
        q.stdin.close()
        q.stdin = None
        time.sleep(0.3)
        q.send_signal(signal.SIGHUP)
        q.communicate(timeout=60)
        case(q.returncode in (6, -signal.SIGHUP), "SIGHUP ends wf agent", q.returncode)
        q = begin(p, *run(log="n.wflog"), preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
        wait_for(lambda: "unfinished" in p.wf("show", "n.wflog")[1])
        q.send_signal(signal.SIGHUP)
        time.sleep(0.2)
        case(q.poll() is None, "below nohup a run goes on")
        q.kill()
        q.communicate()


def stopped():
    """Ctrl-Z and fg: the time that wf did not run is nobody's silence, and the line is drawn anew."""
    with Place() as p:
        write(p.dir, "slow", "#!/bin/sh\nsleep 1.2\necho fine\n")
        os.chmod(p.log("slow"), 0o755)
        p.script('return { agent("a"), now() >= 0 }')
        t = Terminal(p, "run", "s.lua", "--model", "exec:./slow", "--yes", "--log", "l.wflog", "--agent-deadline", "2500ms")
        t.wait(b"1 working")
        t.p.send_signal(signal.SIGSTOP)
        time.sleep(2.2)
        t.p.send_signal(signal.SIGCONT)
        case(t.end() == 0 and b'["fine",true]' in t.shown, "an answer that came meanwhile counts", t.shown)


silence = Silence()
for part in (status_line, wide_labels, no_line, nobody, known, results, readers, hangup, hangup_of_others, stopped, silence.end):
    part()
sys.exit(done())

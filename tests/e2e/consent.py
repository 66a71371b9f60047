"""What the user has agreed to is kept outside of the workspace: logs and scripts that came with a repository are asked about.
WF names the binary; default build/wf."""
import os
import pty
import shutil
import subprocess
import sys
import tempfile

from lib.tap import case, done, write

WF = os.path.abspath(os.environ.get("WF", "build/wf"))
SCRIPT = """meta = { name = "build", description = "Builds" }
local a = agent("one")
local b, why = agent("two")
return b and "both" or why.kind
"""
MODEL = 'return function() return { text = "fine" } end\n'


class Place:
    """Two users' places: each has a workspace and a state folder; the second one's workspace is a clone of the first's."""

    def __init__(self):
        self.base = tempfile.mkdtemp(prefix="wf-consent-")
        self.mine, self.clone = self.path("mine"), self.path("clone")
        for user in ("me", "you"):
            os.makedirs(self.path(user + "-home"))
        write(self.mine, "build.lua", SCRIPT)
        write(self.mine, "model.lua", MODEL)

    def path(self, name):
        return os.path.join(self.base, name)

    def env(self, user, **more):
        strange = ("ANTHROPIC_", "XDG_", "WF_", "HOME")
        env = {k: v for k, v in os.environ.items() if not k.startswith(strange)}
        env.update({"NO_COLOR": "1", "CI": "", "TERM": "xterm", "HOME": self.path(user + "-home"), **more})
        return {k: v for k, v in env.items() if v is not None}

    def wf(self, user, folder, *args, **more):
        p = subprocess.run([WF, *args], cwd=folder, env=self.env(user, **more), stdin=subprocess.DEVNULL, capture_output=True,
                           text=True, timeout=120)
        return p.returncode, p.stdout, p.stderr

    def start(self, *more, model="rules:model.lua"):
        """A run that stops before its second agent."""
        code = self.wf("me", self.mine, "run", "build.lua", "--model", model, "--agents", "1", "--yes", *more)[0]
        shutil.rmtree(self.clone, ignore_errors=True)
        shutil.copytree(self.mine, self.clone)
        return code

    def terminal(self, answer, *args):
        master, slave = pty.openpty()
        p = subprocess.Popen([WF, *args], cwd=self.clone, env=self.env("you"), stdin=slave, stderr=slave, stdout=subprocess.PIPE)
        os.close(slave)
        os.write(master, answer)
        out = p.communicate(timeout=120)[0].decode()
        shown = b""
        try:
            while True:
                piece = os.read(master, 65536)
                if not piece:
                    break
                shown += piece
        except OSError:
            pass
        os.close(master)
        return p.returncode, out, shown.decode()


def foreign(result, *parts):
    code, out, err = result
    return code == 2 and out == "" and err.count("\n") == 1 and all(p in err for p in ("not made by you", "--yes", *parts))


def log_of(folder):
    runs = os.path.join(folder, ".wf/runs")
    return os.path.join(runs, sorted(n for n in os.listdir(runs) if n.endswith(".wflog"))[0])


def a_log(p):
    case(p.start("--allow", "read,write,exec") == 5, "a run that is to go on")
    case(p.wf("me", p.mine, "resume", "--agents", "9")[:2] == (0, "both\n"), "one's own log goes on unasked")
    said = p.wf("you", p.clone, "resume", "--agents", "9")
    case(foreign(said, ".wf/runs/", "build.lua", "rules:model.lua", "read,write,exec", "--root"),
         "a log that was copied is refused, with what it would do", said)
    said = p.wf("you", p.clone, "run", "build.lua", "--agents", "9", "--log", log_of(p.clone))
    case(foreign(said, "rules:model.lua"), "also under a script of one's own", said)
    said = p.terminal(b"n\n", "resume", "--agents", "9")
    case(said[:2] == (6, "") and "not made by you" in said[2] and "read,write,exec" in said[2] and "[y/N]" in said[2],
         "a terminal is asked; no is no", said)
    said = p.terminal(b"y\n", "resume", "--agents", "9")
    case(said[:2] == (0, "both\n"), "yes is yes", said)


def a_log_once_agreed_to(p):
    p.start()
    said = p.wf("you", p.clone, "resume", "--yes", "--agents", "1")
    case(said[0] == 5, "--yes agrees to a log", said)
    said = p.wf("you", p.clone, "resume", "--agents", "9")
    case(said[:2] == (0, "both\n"), "which is then the user's own", said)


def a_program(p):
    touch = "exec:touch planted; exit 75"
    p.start("--allow", "read,exec", model=touch)
    os.remove(os.path.join(p.clone, "planted"))
    said = p.wf("you", p.clone, "resume")
    case(foreign(said, "touch planted"), "a program of a log is shown", said)
    case(not os.path.exists(os.path.join(p.clone, "planted")), "and not run")


def a_script(p):
    p.start()
    said = p.wf("you", p.clone, "run", "build.lua", "--model", "rules:model.lua")
    case(said[0] == 2 and "a new script" in said[2] and "--yes" in said[2], "a log that was copied makes no script known", said)
    said = p.wf("me", p.mine, "run", "build.lua", "--model", "rules:model.lua")
    case(said[:2] == (0, "both\n"), "a script that was agreed to is known", said)
    state = p.path("me-home/.local/state/wf")
    case(os.stat(state).st_mode & 0o77 == 0 and os.stat(state + "/agreed").st_mode & 0o77 == 0, "nobody else reads it")


def nowhere_to_keep_it(p):
    open(p.path("file"), "w").close()
    for name, more, hint in (("no HOME", {"HOME": None}, "set HOME"),
                             ("a HOME that is not there", {"HOME": p.path("none")}, "set HOME"),
                             ("a relative one", {"HOME": None, "XDG_STATE_HOME": "state"}, "set HOME"),
                             ("one that is no folder", {"XDG_STATE_HOME": p.path("file")},
                              "Not a directory; set XDG_STATE_HOME"),
                             ("in the workspace", {"XDG_STATE_HOME": os.path.join(p.mine, "state")}, "outside of it"),
                             ("a link into the workspace", {"XDG_STATE_HOME": p.path("link/state")}, "outside of it")):
        if not os.path.lexists(p.path("link")):
            os.symlink(p.mine, p.path("link"))
        for _ in range(2):
            said = p.wf("me", p.mine, "run", "build.lua", "--model", "rules:model.lua", **more)
            case(said[0] == 2 and "a new script" in said[2] and hint in said[2], name + ": a script is new each time", said)
            p.wf("me", p.mine, "run", "build.lua", "--model", "rules:model.lua", "--agents", "1", "--yes", **more)
        said = p.wf("me", p.mine, "resume", **more)
        case(foreign(said, hint), name + ": so is a log", said)
    case(not os.path.exists(os.path.join(p.mine, "state")), "nothing is made in the workspace")
    case(not os.path.exists(p.path("none")), "nor is a HOME made")


def planted(p):
    p.start()
    state = os.path.join(p.clone, "state")
    shutil.copytree(p.path("me-home/.local/state"), state)
    case("script " in open(os.path.join(state, "wf/agreed")).read(), "what was agreed to, by somebody else")
    said = p.wf("you", p.clone, "resume", XDG_STATE_HOME=state)
    case(foreign(said), "is not read in the workspace", said)


for part in (a_log, a_log_once_agreed_to, a_program, a_script, nowhere_to_keep_it, planted):
    place = Place()
    try:
        part(place)
    finally:
        shutil.rmtree(place.base, ignore_errors=True)
sys.exit(done())

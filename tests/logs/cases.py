"""The runs whose logs are kept here: how `make` made each, and how a test resumes it."""
import gzip
import json
import os
import re
import shutil
import subprocess
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
LOG = ".wf/runs/old.wflog"
START = ("--model", "rules:model.lua", "--yes", "--allow", "read,write,bash,exec",
         "--answers", "answers.json")


class Case:
    """One log. runs: (script, options, how it ends); resume: the command that continues it.

    How a run ends: an exit code, or "kill" or "interrupt", sent once it waits for agents that do
    not answer."""

    def __init__(self, name, *runs, resume=("resume", LOG)):
        self.name, self.runs, self.resume = name, runs, resume

    @property
    def packed(self):
        return os.path.join(HERE, self.name + ".wflog.gz")


HOLD = ("--", "hold=true")
CASES = [
    Case("done", ("plain.lua", (), 0)),
    Case("killed", ("plain.lua", HOLD, "kill")),
    Case("tools", ("tools.lua", (), "kill")),
    Case("budget", ("budget.lua", ("--budget-tokens", "4100"), 5),
         resume=("resume", LOG, "--budget-tokens", "1000000")),
    Case("paused", ("stopped.lua", ("--", "kind=quota"), 75)),
    Case("cancelled", ("stopped.lua", ("--", "kind=hold"), "interrupt")),
    Case("edited", ("plain.lua", (), 0), ("edited.lua", (), "kill")),
    Case("to-edit", ("plain.lua", (), 0), resume=("run", "edited.lua", *START, "--log", LOG)),
    Case("thousand", ("thousand.lua", (), "kill")),
    Case("patterns", ("patterns.lua", HOLD, "kill")),
    Case("failed", ("failed.lua", (), 3), resume=("resume", LOG, "--retry-failed")),
]


class Place:
    """A folder that goes away, with the scripts, the model and what agents read in it."""

    def __init__(self, folder=None):
        self.root = folder or tempfile.mkdtemp(prefix="wf-logs-")
        os.makedirs(os.path.join(self.root, ".wf/runs"))
        os.makedirs(os.path.join(self.root, ".wf/agents"))
        for name in os.listdir(os.path.join(HERE, "files")):
            to = ".wf/agents" if name == "reader.md" else "."
            shutil.copy(os.path.join(HERE, "files", name), os.path.join(self.root, to))
        ours = ("ANTHROPIC_", "XDG_", "WF_")
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
        self.env.update(HOME=self.root, NO_COLOR="1")

    def __enter__(self):
        return self

    def __exit__(self, *why):
        shutil.rmtree(self.root, ignore_errors=True)

    def start(self, wf, *command):
        return subprocess.Popen([wf, *command], cwd=self.root, env=self.env,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE)

    def wf(self, wf, *command):
        """Exit code, stdout as bytes, stderr."""
        process = self.start(wf, *command)
        out, err = process.communicate(timeout=240)
        return process.returncode, out, err.decode(errors="replace")

    def records(self, wf):
        return [json.loads(line) for line in self.wf(wf, "log", LOG, "--json")[1].splitlines()]

    def size(self):
        return os.path.getsize(os.path.join(self.root, LOG))

    def unpack(self, case):
        with gzip.open(case.packed) as f, open(os.path.join(self.root, LOG), "wb") as to:
            shutil.copyfileobj(f, to)

    def pack(self, case):
        with open(os.path.join(self.root, LOG), "rb") as f, open(case.packed, "wb") as to:
            to.write(gzip.compress(f.read(), 9, mtime=0))


def finished(records):
    """Agents of which the log has a good answer."""
    agents = {r["call"] for r in records if r["type"] == "call" and "effect" not in r["meta"]}
    done = {r["call"]: r for r in records if r["type"] == "done"}
    return {call for call, r in done.items() if call in agents and not r["meta"].get("kind")}


def went_on(place, wf, case):
    """Resumes a case's log; answers what must be the same with every later build."""
    place.unpack(case)
    had, size = finished(place.records(wf)), place.size()
    agreed = () if "--yes" in case.resume else ("--yes",)  # the logs were made elsewhere
    code, out, err = place.wf(wf, *case.resume, *agreed, "-o", "result")
    added = [r for r in place.records(wf) if r["offset"] >= size]
    with open(os.path.join(place.root, "result")) as f:
        result = f.read()
    turns = [r["call"] for r in added if r["type"] == "turn"]
    cached = re.search(r"(\d+) cached", err)
    return {
        "exit": code,
        "finished": len(had),
        "cached": cached and int(cached.group(1)),
        "again": sorted(had & set(turns)),
        "turns": len(turns),
        "result": result,
    }, err

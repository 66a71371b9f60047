"""What the tests over the wire share: a folder, the test server, and wf run against it; TAP.

A test file has functions marked @case, which take a Rig and raise AssertionError; it ends with main(PORT...).
With names of cases as arguments only these run.
"""
import concurrent.futures
import json
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

from server import ROOT, Server, quote # noqa: F401 (for the tests)

WF = os.path.abspath(os.environ.get("WF", os.path.join(ROOT, "build", "wf")))
KEY = "sk-ant-TEST-THROWAWAY-0000"
MODEL = "anthropic:claude-haiku-4-5"
CASES = []

# Asks each prompt of args in its own lane; answers a table per prompt: its text, or what its error says.
ASK = """meta = { name = "ask", description = "Asks each prompt, all at once" }
local asked = {}
for i, prompt in ipairs(args.prompts) do
    asked[i] = function()
        local text, err = agent(prompt, { label = "asks " .. i, retries = args.retries, schema = args.schema })
        if text == nil then return err end
        return { text = text }
    end
end
return (parallel(asked))
"""


def case(function):
    CASES.append(function)
    return function


def expect(good, *notes):
    if not good:
        raise AssertionError("\n".join(str(note) for note in notes))


class Done:
    """A command that has ended."""

    def __init__(self, code, out, err, seconds):
        self.code, self.out, self.err, self.seconds = code, out, err, seconds

    def value(self):
        return json.loads(self.out)

    def __str__(self):
        return "exit %s after %.1f s\n%s\n%s" % (self.code, self.seconds, self.out[-3000:], self.err[-3000:])


class Rig:
    def __init__(self, scenario="", *ports, **options):
        self.dir = tempfile.mkdtemp(prefix="wf-wire-")
        self.server = Server(scenario, *ports, **options)
        self.logs = 0
        self.write("ask.lua", ASK)

    def close(self):
        self.server.stop()
        shutil.rmtree(self.dir, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as f:
            f.write(text)

    def environment(self, port="https", **more):
        """Nothing of the machine's but where programs are; None as a value takes a variable away."""
        env = {"PATH": os.environ["PATH"], "HOME": self.dir, "ANTHROPIC_API_KEY": KEY, "LANG": "C.UTF-8"}
        env["ANTHROPIC_BASE_URL"] = self.server.url(port) if port in self.server.ports else port
        env.update(more)
        return {name: value for name, value in env.items() if value is not None}

    def start(self, *command, port="https", env=None):
        return subprocess.Popen([WF, *command], cwd=self.dir, env=self.environment(port, **(env or {})),
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def wf(self, *command, timeout=120, **more):
        began = time.monotonic()
        process = self.start(*command, **more)
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            raise AssertionError("still running after %d s: %s\n%s" % (timeout, command, err[-2000:])) from None
        out, err = (said.decode(errors="replace") for said in (out, err))
        return Done(process.returncode, out, err, time.monotonic() - began)

    def new_log(self):
        self.logs += 1
        return self.path("%d.wflog" % self.logs)

    def run(self, script, *options, args=None, model=MODEL, log=None, **more):
        self.log = log or self.new_log()
        command = ["run", script, "--model", model, "--yes", "--no-color", "--log", self.log, "--ca", self.server.ca]
        if args is not None:
            self.write("args.json", json.dumps(args))
            command += ["--args", "@args.json"]
        return self.wf(*command, *options, **more)

    def ask(self, *prompts, options=(), **more):
        """One agent per prompt, all at once. more: args of the script, or of run."""
        args = {"prompts": prompts}
        args.update({name: more.pop(name) for name in ("retries", "schema") if name in more})
        return self.run("ask.lua", *options, args=args, **more)

    def resume(self, *options, **more):
        return self.wf("resume", self.log, "--yes", "--no-color", "--ca", self.server.ca, *options, **more)

    def show(self):
        return self.wf("show", self.log).out

    def records(self):
        return [json.loads(line) for line in self.wf("log", self.log, "--json").out.splitlines()]

    def since(self, before):
        """How the server's counters have changed."""
        now = self.server.stats()
        return {name: now[name] - before[name] for name in now if isinstance(now[name], int)}


OTHERS = ("one", "two", "three")


def fault(rig, scenario, kind, message, attempts=None, code=3, retries=1, seconds=60, options=(), prompt="fault",
          request_id=True, resumes=True):
    """Three agents, and one that meets the fault: it alone fails, as said, in time; resumed, it alone is asked."""
    rig.server.scenario(scenario)
    done = rig.ask(*OTHERS, prompt, retries=retries, options=options)
    expect(done.code == code, "exit %d, not %d" % (done.code, code), done)
    expect(done.seconds < seconds, "took longer than %s s" % seconds, done)
    value = done.value()
    expect(value[:3] == [{"text": "did: " + text} for text in OTHERS], "the other agents were disturbed", done)
    error = value[3]
    expect(error.get("kind") == kind, "its kind is not " + kind, done)
    expect(re.search(message, error["message"]), "its message does not match " + message, done)
    has_id = re.search(r"req_\d{6}", error["message"]) is not None
    expect(has_id == request_id, "a request id in the message: %s" % has_id, done)
    if attempts is not None:
        expect(error["attempts"] == attempts, "attempts: not %d" % attempts, done)
    said = error["message"].split("\n")[0][:40]
    shown = rig.show()
    expect(said in shown and said in done.err, "the message is not shown", done, shown)
    if resumes:
        resume_asks_for_it_alone(rig, value)
    return done


def resume_asks_for_it_alone(rig, value):
    rig.server.scenario("")
    before = rig.server.stats()
    done = rig.resume("--retry-failed")
    expect(done.code == 0, "the resumed run fails", done)
    expect(done.value()[:3] == value[:3] and done.value()[3] == {"text": "did: fault"}, "other results", done)
    asked = rig.since(before)["requests"]
    expect(asked == 1, "the resumed run asked %d times, not once" % asked, done)


WORKERS = 3 # rigs at a time: most cases wait more than they work


def verdict(function, rig):
    """What a case came to: nothing, or its notes; and how long it took."""
    began = time.monotonic()
    try:
        function(rig)
        notes = None
    except AssertionError as wrong:
        notes = str(wrong)
    except Exception: # noqa: BLE001 (a test that breaks has failed)
        notes = traceback.format_exc()
    finally:
        rig.server.scenario("")
    return notes, time.monotonic() - began


def main(*ports, **options):
    """Runs the cases, each with a rig to itself; ports and options are those of its server."""
    chosen = [c for c in CASES if not sys.argv[1:] or c.__name__ in sys.argv[1:]]
    rigs = queue.SimpleQueue()
    for _ in range(min(WORKERS, len(chosen))):
        rigs.put(Rig("", *ports, **options))

    def attend(function):
        rig = rigs.get()
        try:
            return verdict(function, rig)
        finally:
            rigs.put(rig)

    failed = 0
    print("1..%d" % len(chosen), flush=True)
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        for number, (function, (notes, seconds)) in enumerate(zip(chosen, pool.map(attend, chosen)), 1):
            failed += notes is not None
            for line in (notes or "").splitlines()[:60]:
                print("#   " + line[:600])
            said = "ok" if notes is None else "not ok"
            print("%s %d - %s (%.1f s)" % (said, number, function.__doc__.split("\n")[0], seconds), flush=True)
    while not rigs.empty():
        rigs.get().close()
    sys.exit(1 if failed else 0)

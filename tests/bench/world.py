"""The test server as the bench uses it, and wf against it."""
import os
import sys
import tempfile

from measure import give_up, launch

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "server"))
import server  # noqa: E402  (its folder has just been named)

WF = os.path.abspath(os.environ.get("WF", "build/wf"))
STATIC = os.path.abspath("build/static/wf")
KEY = "sk-ant-TEST-THROWAWAY-0000"
MODEL = "claude-haiku-5-5"
BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/cert.pem", "/etc/pki/tls/certs/ca-bundle.crt")
SYSTEM_BUNDLE = next((path for path in BUNDLES if os.path.exists(path)), None)

SCRIPT = """
meta = { name = "bench", description = "independent agents" }
local tasks = {}
for i = 1, args.n do tasks[i] = function() return agent("task " .. i) end end
local results, failures = parallel(tasks)
if #failures > 0 then error(tostring(failures[1].error)) end
if args.last then agent("the last one") end
return #results
"""

COMMANDS = """
meta = { name = "commands", description = "commands, one after the other" }
for i = 1, args.n do assert(exec({ "true" }).code == 0) end
return args.n
"""

RULES = """
return function() return { text = "ok", delay = %s, usage = { input_tokens = 10, output_tokens = 2 } } end
"""


def answers(latency):
    return "set latency=%d size=200 deltas=4\n" % latency


class Server(server.Server):
    def __init__(self, scenario, record=False):
        super().__init__(scenario, "http", "https", record=record)
        self.bundle = tempfile.NamedTemporaryFile(prefix="wf-bundle-", suffix=".pem")
        # the test authority at the end: the whole bundle has to be looked through
        for path in filter(None, (SYSTEM_BUNDLE, self.ca)):
            with open(path, "rb") as f:
                self.bundle.write(f.read().rstrip() + b"\n")
        self.bundle.flush()
        self.home = tempfile.TemporaryDirectory(prefix="wf-home-") # wf keeps there that the logs are its own

    def env(self, port="https"):
        """Nothing of the caller's environment but the way to programs."""
        return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": self.home.name, "NO_COLOR": "1",
                "ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": self.url(port), "SSL_CERT_FILE": self.bundle.name,
                "NODE_EXTRA_CA_CERTS": self.ca}

    def cpu(self):
        """Seconds of processor that it has used."""
        with open("/proc/%d/stat" % self.process.pid) as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Wf:
    """wf in a folder of its own, with a script of as many agents as wished."""

    def __init__(self, work, program=WF):
        self.work, self.program, self.log = work, program, os.path.join(work, "run.wflog")
        for name, text in (("run.lua", SCRIPT), ("commands.lua", COMMANDS), ("slow.lua", RULES % "0.05"), ("fast.lua", RULES % "0")):
            with open(os.path.join(work, name), "w") as f:
                f.write(text)

    def command(self, agents, lanes=16, model=MODEL, options=(), args=(), script="run.lua"):
        if os.path.exists(self.log):
            os.remove(self.log)
        return [self.program, "run", script, "--quiet", "--yes", "--stats", "--log", self.log, "--lanes", str(lanes), "--model", model,
                "--agents", str(max(agents + 1, 1000)), "--budget-usd", "1000", *options, "--", "n=%d" % agents, *args]

    def run(self, env, *args, **kwargs):
        return launch(self.command(*args, **kwargs), self.work, env)

    def resume(self, env, log):
        return launch([self.program, "resume", log, "--quiet"], self.work, env)

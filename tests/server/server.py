"""Starts and stops the test server (build/test/wf-server) for tests and benchmarks.

    with Server("on first=1 : status=529\\n") as server:
        run(ANTHROPIC_BASE_URL=server.url("https"), ca=server.ca)
        assert server.stats()["requests"] == 2

What a scenario says: scenario.h; which ports there are: main.c.
"""
import json
import os
import subprocess
import tempfile
import urllib.error
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARY = os.environ.get("WF_SERVER", os.path.join(ROOT, "build", "test", "wf-server"))


def quote(text):
    """A value of a scenario: bytes as they are, whatever they are."""
    return json.dumps(text, ensure_ascii=False)


class Server:
    def __init__(self, scenario="", *ports, record=False, proxy_user=None, v6=False):
        self.record = tempfile.NamedTemporaryFile(prefix="wf-record-", suffix=".jsonl") if record else None
        self.file = tempfile.NamedTemporaryFile("w", prefix="wf-scenario-", encoding="utf-8")
        self.file.write(scenario)
        self.file.flush()
        command = [BINARY, "-s", self.file.name]
        command += ["-r", self.record.name] if record else []
        command += ["-p", proxy_user] if proxy_user else []
        command += ["-6"] if v6 else []
        self.process = subprocess.Popen(command + list(ports), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        ready = self.process.stdout.readline()
        if not ready:
            raise RuntimeError("the test server did not start: exit %s" % self.process.wait())
        self.ports = json.loads(ready)
        self.ca = self.ports.pop("ca")

    def url(self, port="https", host="localhost"):
        return "%s://%s:%d" % ("http" if port in ("http", "proxy") else "https", host, self.ports[port])

    def control(self, path, body=None):
        url = "http://127.0.0.1:%d%s" % (self.ports["control"], path)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(urllib.request.Request(url, data=body), timeout=120) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as wrong:
            raise ValueError(json.load(wrong)["error"]) from None

    def stats(self):
        return self.control("/")

    def scenario(self, text):
        """Replaces it; the counters go on."""
        return self.control("/scenario", text.encode())

    def requests(self):
        """Every request so far, as received: n, connection, port, us and ms (monotonic), method, target, head, body."""
        with open(self.record.name, encoding="utf-8") as lines:
            return [json.loads(line) for line in lines]

    def stop(self):
        """The counters at the end."""
        if self.process.poll() is not None:
            return None
        out, _ = self.process.communicate(timeout=120) # which closes its stdin: it ends
        self.file.close()
        return json.loads(out.splitlines()[-1])

    def __enter__(self):
        return self

    def __exit__(self, *why):
        self.stop()

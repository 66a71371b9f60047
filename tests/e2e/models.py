#!/usr/bin/env python3
"""The command wf with models on the network, against the tests' own server: which key goes where, what is said of cost and server,
what each end asks the user to do, and that no secret gets anywhere but into its header. Output: TAP."""
import json
import os
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WF = os.path.abspath(os.environ.get("WF", os.path.join(ROOT, "build", "wf")))
sys.path.insert(0, os.path.join(ROOT, "tests", "server"))
from server import Server  # noqa: E402

SECRET = "sk-ant-TEST-THROWAWAY-0000"
HELLO = 'meta = { name = "hello", description = "Greets" }\nreturn agent("greet", { label = "greeter" })\n'
STRANGE = ("WF_", "NO_COLOR", "ANTHROPIC_", "XDG_CONFIG", "SSL_CERT", "HTTPS_PROXY", "NO_PROXY", "https_proxy", "no_proxy")
CASES = []


def case(function):
    CASES.append(function)
    return function


def want(what, got, expected):
    if got != expected:
        raise AssertionError("%s: %r, wanted %r" % (what, got, expected))


def has(what, text, *parts):
    for part in parts:
        if part not in text:
            raise AssertionError("%s: %r is not in %r" % (what, part, text[-1500:]))


class Box:
    """A folder, a server, and wf between them."""

    def __init__(self, scenario="", *ports, **more):
        self.dir = tempfile.mkdtemp(prefix="wf-models-")
        self.server = Server(scenario or 'set text="did: $prompt"\n', *ports, record=True, **more)
        self.write("hello.lua", HELLO)

    def __enter__(self):
        return self

    def __exit__(self, *why):
        self.server.stop()
        shutil.rmtree(self.dir, ignore_errors=True)

    def write(self, name, text):
        with open(os.path.join(self.dir, name), "w", encoding="utf-8") as f:
            f.write(text)

    def read(self, name):
        with open(os.path.join(self.dir, name), "rb") as f:
            return f.read()

    def wf(self, *args, port="https", **env):
        """(exit code, stdout, stderr); with a key, unless env has another or None for none."""
        given = {"ANTHROPIC_API_KEY": SECRET, "ANTHROPIC_BASE_URL": self.server.url(port), "HOME": self.dir, **env}
        full = {k: v for k, v in os.environ.items() if not k.startswith(STRANGE)}
        full.update({k: v for k, v in given.items() if v is not None})
        p = subprocess.run([WF, *args], cwd=self.dir, env=full, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, timeout=60)
        return p.returncode, p.stdout.decode(), p.stderr.decode()

    def run(self, *args, script="hello.lua", **more):
        return self.wf("run", script, "--yes", "--ca", self.server.ca, "--log", "x.wflog", *args, **more)

    def again(self, *args, **more):
        if os.path.exists(os.path.join(self.dir, "x.wflog")):
            os.remove(os.path.join(self.dir, "x.wflog"))
        want("exit", self.run(*args, **more)[:2], (0, "did: greet\n"))
        return self.server.requests()[-1]


@case
def a_key_is_enough():
    with Box() as b:
        code, out, err = b.run("--stats")
        want("result", (code, out), (0, "did: greet\n"))
        has("terms", err, "model: anthropic:claude-sonnet-5-5 at localhost:", "budget: 10 USD at list price (for --yes")
        has("stats", err, "1 requests over 1 connections", "TLS: 1 handshakes", "0.000400 USD at list price")
        request = b.server.requests()[0]
        want("model", json.loads(request["body"])["model"], "claude-sonnet-5-5")
        has("head", request["head"], "anthropic-version: 2026-10-21", "authorization: Bearer " + SECRET)
        has("show", b.wf("show", "x.wflog")[1], "0.000400 USD", '"server":"localhost:', '"budget-usd":"10"')
        want("key in the log", SECRET.encode() in b.read("x.wflog"), False)
        want("key in the output", SECRET in out + err, False)


@case
def bare_names_are_anthropics():
    with Box() as b:
        b.write("two.lua", 'meta = { name = "t", description = "t" }\nreturn agent("a", { model = "claude-haiku-5-5" }) .. agent("b")')
        code, out, _ = b.run("--model", "claude-opus-5-5", script="two.lua")
        want("result", (code, out), (0, "did: adid: b\n"))
        want("models", [json.loads(r["body"])["model"] for r in b.server.requests()], ["claude-haiku-5-5", "claude-opus-5-5"])


@case
def keys_go_where_settings_say():
    with Box() as b:
        head = b.again(WF_ANTHROPIC_KEY_HEADER="x-api-key")["head"]
        has("asked for", head, "x-api-key: " + SECRET)
        request = b.again(WF_ANTHROPIC_VERSION="2023-06-01", ANTHROPIC_BETAS="one,two")
        has("older version", request["head"], "anthropic-version: 2023-06-01", "x-api-key: " + SECRET, "anthropic-beta: one,two")
        want("its address of betas", request["target"], "/v1/messages?beta=true")
        head = b.again(WF_ANTHROPIC_VERSION="2023-06-01", WF_ANTHROPIC_KEY_HEADER="authorization")["head"]
        has("and back", head, "authorization: Bearer " + SECRET)
        head = b.again(ANTHROPIC_API_KEY=None, ANTHROPIC_AUTH_TOKEN=" token\n", WF_ANTHROPIC_VERSION="2023-06-01")["head"]
        has("a token, trimmed", head, "authorization: Bearer token\r\n")
        has("workspace", b.again(ANTHROPIC_WORKSPACE_ID="wrkspc_1")["head"], "anthropic-workspace-id: wrkspc_1")


@case
def an_address_may_end_in_v1():
    with Box() as b:
        for end in ("/v1", "/v1/", "/v1/messages", "/"):
            target = b.again(ANTHROPIC_BASE_URL=b.server.url("https") + end)["target"]
            want("asked for with " + end, target, "/v1/messages")
        host = b.server.url("https").split("//")[1]  # consent and keys go by it
        os.remove(os.path.join(b.dir, "x.wflog"))
        has("the server", b.run(ANTHROPIC_BASE_URL=b.server.url("https") + "/v1")[2], "at " + host + ";")
    with Box('on path="/wrong/" : status=404 type=text/plain raw="Not found"') as b:
        code, _, err = b.run(ANTHROPIC_BASE_URL=b.server.url("https") + "/wrong/v1")
        want("exit", code, 78)
        has("what was asked", err, "404", "POST " + b.server.url("https") + "/wrong/v1/messages", "Not found")


@case
def certificates_come_from_the_environment_too():
    with Box() as b:
        code, out, err = b.wf("run", "hello.lua", "--yes", SSL_CERT_FILE=b.server.ca)
        want("result", (code, out), (0, "did: greet\n"))
        want("--ca goes before it", b.run(SSL_CERT_FILE="none.pem")[0], 0)
        code, _, err = b.wf("run", "hello.lua", "--yes")
        want("without", code in (3, 4, 78), True)
        has("the mend", err, "unknown authority", "--ca")


@case
def a_proxy_gets_its_login_and_nothing_else():
    with Box("", "https", "proxy", proxy_user="me:p w") as b:
        proxy = {"HTTPS_PROXY": "http://me:p%%20w@localhost:%d" % b.server.ports["proxy"]}
        code, _, err = b.run(ANTHROPIC_BASE_URL="https://model.test", **proxy)  # whose tunnel leads to the server
        want("exit", code, 78)
        has("that is not model.test", err, "certificate", "model.test")
        want("tunnels", b.server.stats()["tunnels"], 1)
        requests = b.server.requests()
        want("requests", [r["method"] for r in requests], ["CONNECT"])
        want("key", SECRET in requests[0]["head"], False)
        b.again(**proxy)
        want("none to this machine", b.server.stats()["tunnels"], 1)
        proxy["HTTPS_PROXY"] = proxy["HTTPS_PROXY"].replace("p%20w", "THROWAWAY")
        os.remove(os.path.join(b.dir, "x.wflog"))
        _, _, err = b.run("--deadline", "2s", ANTHROPIC_BASE_URL="https://model.test", **proxy)
        has("refused", err, "407", "HTTPS_PROXY")
        want("password shown", "THROWAWAY" in err.replace(SECRET, ""), False)


@case
def a_refused_key_is_mended_and_the_run_goes_on():
    with Box("set key=right\n") as b:
        code, _, err = b.run()
        want("exit", code, 78)
        has("stderr", err, "401", "req_000001", "the key is from ANTHROPIC_API_KEY", "wf resume x.wflog")
        want("shown", SECRET in err, False)
        want("resumed", b.wf("resume", "x.wflog", ANTHROPIC_API_KEY="right")[0], 0)
    with Box("set key=right\n") as b:
        has("a token", b.run(ANTHROPIC_API_KEY=None, ANTHROPIC_AUTH_TOKEN="wrong")[2], "the key is from ANTHROPIC_AUTH_TOKEN")


@case
def a_spent_quota_pauses_the_run():
    spent = 'set status=429 error=rate_limit_error code=enforced_spend_limit_reached message="limit" header="x-should-retry: false"\n'
    with Box(spent) as b:
        code, _, err = b.run()
        want("exit", code, 75)
        has("stderr", err, "limit", "wait until the provider's limit is free again", "wf resume x.wflog")
        b.server.scenario('set text="ok"\n')
        want("resumed", b.wf("resume", "x.wflog")[:2], (0, "ok\n"))


@case
def money_is_counted_where_prices_are_known():
    with Box('on body=haiku : text=a in=1000000 out=0\nset text=b in=1000 out=1000\n') as b:
        code, _, err = b.run("--model", "claude-x")
        want("exit", code, 0)
        has("unknown", err, "budget: none, its price is not known (--budget-tokens N)", "USD unknown")
        os.remove(os.path.join(b.dir, "x.wflog"))
        b.write("two.lua", 'meta = { name = "t", description = "t" }\nreturn agent("a", { model = "claude-haiku-5-5" }) .. agent("b")')
        code, out, err = b.run("--model", "claude-x", "--json", script="two.lua")
        usage = json.loads(out.splitlines()[-1])["usage"]
        want("both", (usage["nano_usd"], usage["unpriced"]), (500025000, 2000))  # a text of no tokens counts as one
        has("both", b.wf("show", "x.wflog")[1], "at least 0.5000 USD at list price, and 2,000 tokens of unknown price")
        os.remove(os.path.join(b.dir, "x.wflog"))
        b.write("prices.jsonl", '{"model":"claude-x","input":1000,"output":1000,"write_5m":1000,"write_1h":1000,"read":1000}\n')
        code, _, err = b.run("--model", "claude-x", "--prices", "prices.jsonl", "--budget-usd", "0.01")
        want("the worst does not fit", code, 5)
        before = b.server.stats()["requests"]
        code, _, err = b.wf("resume", "x.wflog", "--budget-usd", "100")
        want("raised", (code, b.server.stats()["requests"]), (0, before + 1))
        has("counted by the list", err, "2.0000 USD")


@case
def a_budget_in_tokens_takes_the_place_of_one_in_usd():
    with Box("on : status=500 header='retry-after-ms: 5'\n") as b:
        want("fails", b.run("--model", "claude-haiku-4-5")[0], 4)  # with the 10 USD that --yes stands for
        b.server.scenario('set text="ok"\n')
        args = ("resume", "x.wflog", "--ca", b.server.ca, "--model", "claude-x")
        code, _, err = b.wf(*args)
        want("no price, no USD", code, 2)
        has("the mend", err, "--budget-tokens")
        want("which is one", b.wf(*args, "--retry-failed", "--budget-tokens", "100000")[:2], (0, "ok\n"))


@case
def an_agent_of_rules_may_name_a_model_on_the_network():
    with Box() as b:
        b.write("model.lua", "return function() return { text = 'ruled' } end")
        b.write("two.lua", 'meta = { name = "t", description = "t" }\nreturn agent("a") .. agent("b", { model = "claude-haiku-5-5" })')
        code, out, err = b.run("--model", "rules:model.lua", script="two.lua")
        want("result", (code, out), (0, "ruleddid: b\n"))
        has("a budget, as money can be spent", err, "budget: 10 USD")
        want("requests", b.server.stats()["requests"], 1)


@case
def no_secret_reaches_a_script_or_a_tool():
    with Box("on turn=0 : tool=grep input='{\"pattern\":\"THROW\",\"path\":\".\"}'\nset text=done\n") as b:
        code, out, _ = b.run("--json")
        want("exit", code, 0)
        want("events", SECRET in out, False)
        for request in b.server.requests():
            want("body", SECRET in request["body"], False)
        want("records", SECRET in b.wf("log", "x.wflog", "--json")[1], False)


def main():
    print("1..%d" % len(CASES))
    failed = 0
    for number, function in enumerate(CASES, 1):
        try:
            function()
            print("ok %d - %s" % (number, function.__name__), flush=True)
        except (AssertionError, subprocess.TimeoutExpired, ValueError, OSError, IndexError, KeyError) as e:
            failed += 1
            print("# %s: %s" % (type(e).__name__, str(e).replace("\n", "\n# ")))
            print("not ok %d - %s" % (number, function.__name__), flush=True)
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())

"""What is measured: each scene runs wf (and its peers) in some situation and adds rows to the table."""
import json
import os
import re
import shutil
import statistics
import subprocess
import time

import peers
from measure import give_up, in_turns, launch
from table import Row
from world import STATIC, WF, Wf, answers

LANES = 16
LATENCY = 50
median = statistics.median


class Sizes:
    """How much of each."""

    def __init__(self, rounds=5, starts=11, agents=1000, many=1000, many_ms=10000, few=3, twice=2):
        self.rounds, self.starts, self.agents, self.many, self.many_ms, self.few, self.twice = rounds, starts, agents, many, many_ms, few, twice

    @classmethod
    def smoke(cls):
        return cls(rounds=1, starts=1, agents=32, many=20, many_ms=100, few=1, twice=1)

    def ideal(self, lanes=LANES, latency=LATENCY):
        """Seconds that the model alone takes."""
        return -(-self.agents // lanes) * latency / 1000


def per(samples, n, unit=1e6):
    return [x / n * unit for x in samples]


# ---- one request ----

def first_request(wf, server, rows):
    """Adds its size; answers the file with its body, which the peers send too."""
    wf.run(server.env(), 1)
    request = server.requests()[-1]
    head, body = (len(request[part].encode()) for part in ("head", "body"))
    rows.append(Row("first request of a sub-agent, tools included", "bytes", [head + body + 2], most=6000,
                    note="head %d, body %d" % (head + 2, body)))
    path = os.path.join(wf.work, "request.json")
    with open(path, "w") as f:
        f.write(request["body"])
    return path


# ---- from the start of the process to its first request ----

def unfinished(wf, server, agents):
    """A log of so many finished agents, of a run killed while it waits for one more."""
    server.scenario(answers(0).rstrip() + '\non body="the last one" : hang\n')
    process = subprocess.Popen(wf.command(agents, args=["last=1"]), cwd=wf.work, env=server.env(), stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not any("the last one" in request["body"] for request in server.requests()[-1:]):
        if process.poll() is not None or time.monotonic() > deadline:
            give_up("the run that was to be killed ended by itself, or never got so far")
        time.sleep(0.05)
    process.kill()
    process.wait()
    server.scenario(answers(0))
    kept = wf.log + ".kept"
    os.rename(wf.log, kept)
    return kept


def starts(wf, server, sizes, rows):
    kept = unfinished(wf, server, sizes.agents)
    resumed = os.path.join(wf.work, "resumed.wflog")

    def until_request(run):
        seen = len(server.requests())
        taken = run()
        new = server.requests()[seen:]
        if len(new) != 1:
            give_up("one request was expected, %d came" % len(new))
        return {"ms": (new[0]["us"] * 1000 - taken.start) / 1e6}

    def resume():
        shutil.copy(kept, resumed)
        return until_request(lambda: wf.resume(server.env(), resumed))

    took = in_turns({
        "start, https": lambda: until_request(lambda: wf.run(server.env(), 1)),
        "start, http": lambda: until_request(lambda: wf.run(server.env("http"), 1)),
        "start, nothing done": lambda: {"ms": launch([WF, "version"], wf.work, server.env()).wall * 1e3},
        "resume": resume,
    }, sizes.starts)
    rows += [
        Row("start to first request, https, system's CA bundle", "ms", took["start, https"]["ms"], most=10),
        Row("start to first request, http", "ms", took["start, http"]["ms"]),
        Row("start and end of the process alone (wf version)", "ms", took["start, nothing done"]["ms"]),
        Row("resume of %s finished agents to the first new request, https" % format(sizes.agents, ","), "ms", took["resume"]["ms"],
            most=50),
    ]


# ---- 1,000 agents, 16 lanes ----

def wf_case(wf, server, port, agents):
    def case():
        before, cpu = server.stats(), server.cpu()
        taken = wf.run(server.env(port), agents)
        after = server.stats()
        syncs = re.search(r"(\d+) syncs", taken.said)
        made = {name: after[name] - before[name] for name in ("requests", "connections", "handshakes", "resumptions")}
        if made["requests"] != agents:
            give_up("%d requests for %d agents" % (made["requests"], agents))
        return dict(made, wall=taken.wall, cpu=taken.cpu, peak=taken.peak, log=os.path.getsize(wf.log),
                    syncs=int(syncs.group(1)) if syncs else 0, server=server.cpu() - cpu)
    return case


def peer_case(script, server, request, calls):
    def case():
        before = server.stats()
        taken = peers.ask(script, server, request, calls, LANES)
        after = server.stats()
        if after["requests"] - before["requests"] != calls:
            give_up("%d requests for %d calls of %s" % (after["requests"] - before["requests"], calls, os.path.basename(script)))
        return {"wall": taken.wall, "cpu": taken.cpu, "peak": taken.peak, "connections": after["connections"] - before["connections"]}
    return case


def work_load(wf, server, scripts, request, sizes, rows):
    waiting(wf, server, scripts, request, sizes, rows)
    flat_out(wf, server, scripts, request, sizes, rows)


def above(full, empty):
    """What the work took beyond a process that did none: pairs of the same round."""
    return [max(a - b, 0) for a, b in zip(full, empty)]


def waiting(wf, server, scripts, request, sizes, rows):
    """With the model's latency: what counts is what wf adds to it."""
    n = sizes.agents
    server.scenario(answers(LATENCY))
    cases = {"wf": wf_case(wf, server, "https", n), "wf, nothing": wf_case(wf, server, "https", 0)}
    if os.path.exists(STATIC):
        cases["static"] = wf_case(Wf(wf.work, STATIC), server, "https", n)
    for name, script in scripts.items():
        cases[name] = peer_case(script, server, request, n)
        cases[name + ", nothing"] = peer_case(script, server, request, 0)
    took = in_turns(cases, sizes.rounds)
    own, ideal = took["wf"], sizes.ideal()

    def against(figure, net=False):
        def value(name):
            full = took[name][figure]
            return median(above(full, took[name + ", nothing"][figure]) if net else full)
        return {name: value(name) / max(value("wf"), 1e-9) for name in scripts}

    what = "%s agents, 16 lanes, %d ms, https: " % (format(n, ","), LATENCY)
    rows += [
        Row(what + "wall / ideal", "", per(own["wall"], ideal, 1), most=1.02, note="ideal %.2f s" % ideal,
            peers={name: median(took[name]["wall"]) / median(own["wall"]) for name in scripts}),
        Row("  CPU per agent, log included", "µs", per(own["cpu"], n), most=62, peers=against("cpu"),
            note=", ".join("%s %.0f µs" % (name, median(took[name]["cpu"]) / n * 1e6) for name in scripts)),
        Row("  the same less an empty run", "µs", per(above(own["cpu"], took["wf, nothing"]["cpu"]), n), peers=against("cpu", True)),
        *([Row("  CPU of the SDK / CPU of wf", "", [a / b for a, b in zip(took["SDK"]["cpu"], own["cpu"])], least=20)]
          if "SDK" in scripts else []),
        Row("  peak memory", "MB", own["peak"], most=8, peers=against("peak")),
        *([Row("  the same of the static command", "MB", took["static"]["peak"], most=8),
           Row("  its CPU per agent", "µs", per(took["static"]["cpu"], n))] if "static" in took else []),
        Row("  connections opened", "", own["connections"], peers=against("connections")),
        Row("  TLS resumptions", "", own["resumptions"]),
        Row("  log", "bytes per agent", per(own["log"], n, 1)),
        Row("  syncs of the log", "", own["syncs"], most=n),
    ]


def flat_out(wf, server, scripts, request, sizes, rows):
    """Without latency: how fast wf is by itself."""
    n = sizes.agents
    server.scenario(answers(0))
    cases = {"wf, https": wf_case(wf, server, "https", n), "wf, http": wf_case(wf, server, "http", n),
             "wf, https, longer": wf_case(wf, server, "https", n * 10)}
    fast = in_turns(cases, sizes.rounds)
    slow = in_turns({name: peer_case(script, server, request, n) for name, script in scripts.items()}, sizes.few)
    tls, plain, longer = fast["wf, https"], fast["wf, http"], fast["wf, https, longer"]

    def against(figure):
        return {name: median(slow[name][figure]) / median(tls[figure]) for name in scripts}

    def rate(calls, walls):
        return [calls / wall for wall in walls]

    rows += [
        Row("0 ms, 16 lanes, https, every result synced: %s agents" % format(n, ","), "agents/s", rate(n, tls["wall"]), least=8000,
            peers=against("wall"), note="start and handshakes included"),
        Row("  %s agents" % format(n * 10, ","), "agents/s", rate(n * 10, longer["wall"]), least=8000),
        Row("  CPU per call, of %s" % format(n, ","), "µs", per(tls["cpu"], n), peers=against("cpu")),
        Row("  CPU per call, of %s" % format(n * 10, ","), "µs", per(longer["cpu"], n * 10)),
        Row("  peak memory, %s agents" % format(n * 10, ","), "MB", longer["peak"]),
        Row("  syncs per call, of %s" % format(n * 10, ","), "", per(longer["syncs"], n * 10, 1), most=1),
        Row("  the test server's own CPU per call", "µs", per(longer["server"], n * 10), note="it has one thread"),
        Row("0 ms, 16 lanes, http: %s agents" % format(n, ","), "agents/s", rate(n, plain["wall"])),
        Row("  CPU per call", "µs", per(plain["cpu"], n)),
        Row("  the test server's own CPU per call", "µs", per(plain["server"], n)),
    ]


# ---- 1,000 lanes ----

def many_lanes(wf, server, sizes, rows):
    """All agents in flight at once: none is answered before the last one has asked."""
    server.scenario(answers(sizes.many_ms))

    def case():
        before = server.stats()
        taken = wf.run(server.env(), sizes.many, lanes=sizes.many, options=["--memory", "256M"])
        after = server.stats()
        return {"wall": taken.wall, "cpu": taken.cpu, "peak": taken.peak, "at once": after["max_requests"],
                "resumed": after["resumptions"] - before["resumptions"]}

    took = in_turns({"many lanes": case}, sizes.twice)["many lanes"]
    rows += [
        Row("%s lanes, as many agents, %d ms, https: peak memory" % (format(sizes.many, ","), sizes.many_ms), "MB", took["peak"],
            most=64),
        Row("  in flight at once", "", took["at once"]),
        Row("  wall", "s", took["wall"], note="ideal %.2f s" % (sizes.many_ms / 1000)),
        Row("  CPU per agent, a TLS connection each", "µs", per(took["cpu"], sizes.many)),
        Row("  TLS resumptions", "", took["resumed"]),
    ]


# ---- conversations with tools ----

TURNS = 20
LOOPS = ( # what each turn but the last asks for
    ("read", "tool=read input='{\"path\":\"run.lua\",\"to\":8}'"),
    ("write", "tool=write input='{\"path\":\"made\",\"content\":\"one\\ntwo\\n\"}'"),
    ("bash", "tool=bash input='{\"command\":\":\"}'"),
)


def tool_loops(wf, server, sizes, rows):
    """Agents of 20 turns over TLS, a tool call in each: what a turn takes, from the end of a reply to the end of the next request."""
    agents = max(sizes.agents // TURNS, 1)

    def case(action):
        def run():
            server.scenario(answers(0) + "on turn=%d : text=done\non : %s\n" % (TURNS - 1, action))
            before = server.stats()
            taken = wf.run(server.env(), agents, options=["--allow", "read,write,bash"])
            turns = server.stats()["requests"] - before["requests"]
            if turns != agents * TURNS:
                give_up("%d requests for %d agents of %d turns" % (turns, agents, TURNS))
            return {"wall": taken.wall, "cpu": taken.cpu, "peak": taken.peak}
        return run

    took = in_turns({name: case(action) for name, action in LOOPS}, sizes.rounds)
    rows += [Row("%d agents of %d turns, 16 lanes, https: CPU per turn with `read`" % (agents, TURNS), "µs",
                 per(took["read"]["cpu"], agents * TURNS))]
    for name in ("write", "bash"):
        rows.append(Row("  with `%s`" % name, "µs", per(took[name]["cpu"], agents * TURNS),
                        note="durable intent before each" + (", and the command itself" if name == "bash" else "")))
    rows.append(Row("  wall per turn with `bash`", "ms", per(took["bash"]["wall"], agents * TURNS, 1e3)))


# ---- system calls ----

def system_calls(wf, server, sizes, rows):
    what = "system calls per call, 0 ms, 16 lanes, "
    if not shutil.which("strace"):
        rows.append(Row(what + "https", note="no strace here"))
        return
    server.scenario(answers(0))
    for port in ("https", "http"):
        full, none = (traced(wf, server.env(port), n) for n in (sizes.agents, 0))
        extra = {name: (full[name] - none.get(name, 0)) / sizes.agents for name in full}
        most = sorted((name for name in extra if name != "total"), key=extra.get, reverse=True)[:5]
        rows.append(Row(what + port, "", [extra["total"]], note=", ".join("%s %.2f" % (name, extra[name]) for name in most)))


def traced(wf, env, agents):
    """System calls by name."""
    out = os.path.join(wf.work, "strace.txt")
    launch(["strace", "-f", "-c", "-o", out, *wf.command(agents)], wf.work, env)
    counts = {}
    with open(out) as f:
        for line in f:
            fields = line.split()
            if len(fields) >= 4 and re.match(r"^\d+\.\d+$", fields[0]):
                counts[fields[-1]] = int(fields[3]) # the column after it, errors, may be empty
    return counts


# ---- commands ----

def commands(wf, sizes, rows):
    """What a supervised command takes: jail, process, end, its record on disk and synced."""
    env = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": "/nonexistent"}
    n = max(sizes.agents // 5, 1)

    def case():
        taken = wf.run(env, n, model="rules:fast.lua", options=["--allow", "exec"], script="commands.lua")
        return {"wall": taken.wall, "cpu": taken.cpu}

    took = in_turns({"commands": case}, sizes.rounds)["commands"]
    rows += [
        Row("%d commands of a script (exec), one after the other: wall per command" % n, "ms", per(took["wall"], n, 1e3)),
        Row("  CPU per command, its own included", "µs", per(took["cpu"], n)),
    ]


# ---- no network: a model in Lua ----

def offline(wf, sizes, rows):
    env = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": "/nonexistent"}
    n = sizes.agents

    def case(agents, lanes, model):
        def run():
            taken = wf.run(env, agents, lanes=lanes, model="rules:" + model)
            return {"wall": taken.wall, "cpu": taken.cpu, "peak": taken.peak}
        return run

    cases = {"250 lanes": case(n, 250, "slow.lua"), "few": case(n // 10, LANES, "fast.lua"), "all": case(n, LANES, "fast.lua")}
    took = in_turns(cases, sizes.rounds)
    ideal = sizes.ideal(lanes=250)
    rows += [
        Row("rules model (no network), 50 ms, 250 lanes: wall / ideal", "", per(took["250 lanes"]["wall"], ideal, 1),
            note="ideal %.2f s" % ideal),
        Row("  peak memory", "MB", took["250 lanes"]["peak"]),
        Row("rules model, 0 ms, 16 lanes: %s agents" % format(n, ","), "agents/s", [n / x for x in took["all"]["wall"]]),
        Row("  CPU per agent, of %s" % format(n, ","), "µs", per(took["all"]["cpu"], n)),
        Row("  CPU per agent, of %d" % (n // 10), "µs", per(took["few"]["cpu"], n // 10)),
    ]

"""examples/audit over the wire: the same script, the same findings, with every turn and tool call going through TLS to
a server that plays a scripted model. The model's turns are those of a run offline, read out of its log. WF names
the binary."""
import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "server"))
from rig import ROOT, case, expect, main, quote # noqa: E402

AUDIT = os.path.join(ROOT, "examples", "audit", "audit.lua")
RULES = "rules:" + os.path.join(ROOT, "examples", "audit", "model.lua")
OPTIONS = ["--root", "tree", "--quiet"]
ARGS = {"dir": "src", "format": "json"}


def scenario_of(records):
    """What the model said, as rules: the prompt and the number of replies before -> the content of the reply."""
    texts = {r["offset"]: r["payload"] for r in records if r["type"] == "text"}
    prompts, turns, lines = {}, {}, []
    for r in records:
        if r["type"] == "call" and "prompt" in r["meta"]:
            prompts[r["call"]] = texts[r["meta"]["prompt"]]
        elif r["type"] == "turn":
            nth = turns[r["call"]] = turns.get(r["call"], -1) + 1
            prompt, content = quote(prompts[r["call"]]), quote(r["payload"])
            lines.append("on turn=%d body=%s : content=%s deltas=3" % (nth, prompt, content))
    return "\n".join(lines) + "\non : status=400 message='the scenario has no such turn'\n"


@case
def same_audit(rig):
    """the audit over TLS finds what it finds offline, in as many turns; resumed, nothing is sent again"""
    shutil.copytree(os.path.join(ROOT, "tests", "audit", "tree"), rig.path("tree"))
    offline = rig.run(AUDIT, *OPTIONS, args=ARGS, model=RULES)
    expect(offline.code == 0, offline)
    records = rig.records()
    turns = sum(r["type"] == "turn" for r in records)
    used = sum(r["type"] == "turn" and "tool_use" in r["payload"] for r in records)
    expect(turns > 100 and used > turns / 3, turns, used)
    rig.server.scenario(scenario_of(records))
    before = rig.server.stats()
    online = rig.run(AUDIT, *OPTIONS, args=ARGS)
    expect(online.code == 0, online.code, online.err)
    expect(online.out == offline.out, "another result", online.out[:1000], offline.out[:1000])
    counted = rig.since(before)
    expect(counted["requests"] == turns and counted["bad"] == 0, counted, turns)
    expect(counted["connections"] <= 16, "%d connections for 16 lanes" % counted["connections"])
    print("# %d turns over %d connections in %.2f s (offline %.2f s)"
          % (turns, counted["connections"], online.seconds, offline.seconds))
    before = rig.server.stats()
    again = rig.wf("resume", rig.log, "--yes", "--ca", rig.server.ca, "--quiet")
    expect(again.code == 0 and again.out == online.out and rig.since(before)["requests"] == 0, again.code, again.err)


@case
def disturbed_audit(rig):
    """the same through a server that fails every ninth request in turn: the same findings"""
    if not os.path.isdir(rig.path("tree")):
        shutil.copytree(os.path.join(ROOT, "tests", "audit", "tree"), rig.path("tree"))
    offline = rig.run(AUDIT, *OPTIONS, args=ARGS, model=RULES)
    faults = ["status=529", "reset-at=400", "close-at=0", "sse-error=4", "status=500", "bad-chunk", "close-at=300",
              "reset-at=0"]
    soon = " header='retry-after-ms: 10'"
    lines = ["on nth=%d : %s%s" % (9 * (i + 1), faults[i % len(faults)], soon) for i in range(24)]
    rig.server.scenario("\n".join(lines) + "\n" + scenario_of(rig.records()))
    online = rig.run(AUDIT, *OPTIONS, args=ARGS)
    expect(online.code == 0 and online.out == offline.out, online.code, online.err, online.out[:1000])


if __name__ == "__main__":
    main("https", record=True)

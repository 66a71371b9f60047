"""Quota, refused keys and full contexts are told apart: what stops a run, with which exit code, that nothing more is
sent then, and that the resumed run asks for what is missing alone. WF names the binary; default build/wf."""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "server"))
from rig import KEY, MODEL, case, expect, fault, main, quote # noqa: E402

# Ten agents in a row; the script goes on whatever they say.
ROW = """meta = { name = "row", description = "Ten agents, one after the other" }
local said = {}
for i = 1, 10 do
    local text, err = agent("item " .. i .. ".", { retries = 1 })
    said[i] = text or err.kind
end
return said
"""


def stops(rig, actions, code, kind, message, sent=1, items=(5,), resume=()):
    """The fifth agent of a row (or the last of these items) meets something that stops the run."""
    rig.write("row.lua", ROW)
    rig.server.scenario("\n".join('on body="item %d." : %s' % (item, actions) for item in items))
    before = rig.server.stats()
    done = rig.run("row.lua")
    expect(done.code == code, "exit %d, not %d" % (done.code, code), done)
    expect(re.search(message, done.err) and re.search(message, rig.show()), "not said: " + message, done)
    expect(re.search(r"req_\d{6}", done.err), "no request id", done)
    expect("wf resume" in done.err, "not said how to go on", done)
    asked = rig.since(before)["requests"]
    expect(asked == 4 + sent, "%d requests, not %d: something was sent after the stop" % (asked, 4 + sent), done)
    ended = [r["meta"] for r in rig.records() if r["type"] == "done"]
    expect(len([m for m in ended if not m.get("kind")]) == 4, "finished agents in the log", ended)
    rig.server.scenario("")
    before = rig.server.stats()
    again = rig.resume(*resume)
    expect(again.code == 0 and again.value() == ["did: item %d." % i for i in range(1, 11)], "resumed", again)
    expect(rig.since(before)["requests"] == 6, "the resumed run asked %d times, not 6" % rig.since(before)["requests"])
    return done


@case
def quota(rig):
    """a quota that is used up pauses the run at once: 402, and 429 with each sign that waiting does not cure it"""
    stops(rig, "status=402 message='credit is used up'", 75, "quota", "credit is used up")
    for code in ("enforced_spend_limit_reached", "contract_spend_limit_reached", "ramp_limit_exceeded"):
        stops(rig, "status=429 message='spend limit' code=" + code, 75, "quota", "spend limit")
    stops(rig, "status=429 message='monthly limit' header='x-should-retry: false'", 75, "quota", "monthly limit")
    for message in ("Your credit balance is too low.", "You have reached your specified API usage limits."):
        stops(rig, "status=400 message=%s" % quote(message), 75, "quota", message)


@case
def in_the_stream(rig):
    """an error in a stream stops the run as its status would: quota 75, auth 78"""
    stops(rig, "sse-error=2 error=billing_error message='no credit'", 75, "quota", "no credit")
    stops(rig, "sse-error=2 error=rate_limit_error message='slow down'", 75, "quota", "slow down", sent=2)
    stops(rig, "sse-error=0 error=authentication_error message='key expired'", 78, "auth", "key expired")


@case
def rate_limit(rig):
    """a rate limit that asks for more than half an hour, or than the deadline, pauses the run at once and says until when"""
    day = r"rate limit: resume after \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC: .* and asks to wait %d s: %s"
    for status in (429, 529):
        stops(rig, "status=%d message='in an hour' header='retry-after: 3600'" % status, 75, "quota",
              day % (3600, "in an hour"))
    rig.server.scenario("on first=1 : status=429\non : status=429 message=later header='retry-after: 86400'")
    done = rig.ask(*["p%d" % i for i in range(20)], options=["--deadline", "1000s"])
    expect(done.code == 75 and re.search(day % (86400, "later"), done.err), done)
    expect("paused: 0 done, 0 failed, 0 cached, 0 dropped, 0 cancelled, 20 not run" in done.err, done)
    expect(re.search("rate limit: waiting until .*queued", done.err), done)
    rig.server.scenario("")
    again = rig.resume()
    expect(again.code == 0 and len(again.value()) == 20, again)


@case
def auth(rig):
    """a key that is refused, a permission that is missing, a model that is unknown stop the run: exit 78"""
    # the key was good for four agents: one refusal is that agent's alone, and so an answer of the log; a second one stops the run
    stops(rig, "status=401 message='invalid x-api-key'", 78, "auth", "invalid x-api-key", sent=2, items=(5, 6), resume=["--retry-failed=auth"])
    stops(rig, "status=403 message='not allowed'", 78, "auth", "not allowed", sent=2, items=(5, 6), resume=["--retry-failed=auth"])
    stops(rig, "status=404 message='model: no-such-model'", 78, "auth", "no-such-model")


@case
def wrong_key(rig):
    """a wrong key is mended by the right one on resume"""
    rig.server.scenario("set key=" + KEY)
    done = rig.ask("one", "two", env={"ANTHROPIC_API_KEY": "sk-ant-TEST-WRONG"})
    expect(done.code == 78 and "sk-ant-TEST-WRONG" not in done.err + done.out, done)
    again = rig.resume()
    expect(again.code == 0 and again.value() == [{"text": "did: one"}, {"text": "did: two"}], again)


@case
def context(rig):
    """a prompt that is too long is that agent's error alone"""
    long = "prompt is too long: 250000 tokens > 200000 maximum"
    fault(rig, "on body=\"fault\" : status=400 message='%s'" % long, "context", "prompt is too long", attempts=1)
    fault(rig, "on body=\"fault\" : status=413 message='too large'", "context", "too large", attempts=1)


@case
def deadline_of_run(rig):
    """the run's deadline ends it in time whatever hangs: exit 7; what is finished stays"""
    for actions in ("hang", "hang-at=600", "status=503 header='retry-after: 100'", "status=429"):
        rig.server.scenario('on body="fault" : ' + actions)
        done = rig.ask("one", "two", "fault", options=["--deadline", "4s"])
        expect(done.code == 7 and done.seconds < 60, actions, done)
        rig.server.scenario("")
        before = rig.server.stats()
        again = rig.resume("--deadline", "30s")
        expect(again.code == 0 and rig.since(before)["requests"] == 1, actions, again)


@case
def agent_deadline(rig):
    """the agent's deadline ends the agent, and nobody else"""
    fault(rig, 'on body="fault" : hang', "deadline", "deadline", options=["--agent-deadline", "4s"],
          request_id=False)


@case
def interrupted(rig):
    """SIGINT while replies are on their way: exit 6, in time; the resumed run asks again for these alone"""
    rig.server.scenario('on body="item 3." : hang')
    rig.write("row.lua", ROW)
    rig.log = rig.new_log()
    process = rig.start("run", "row.lua", "--model", MODEL, "--yes", "--log", rig.log, "--ca", rig.server.ca)
    for _ in range(2000):
        if rig.server.stats()["active"] == 1 and rig.server.stats()["requests"] >= 3:
            break
    process.send_signal(2)
    process.communicate(timeout=120)
    expect(process.returncode == 6, "exit %d" % process.returncode)
    rig.server.scenario("")
    before = rig.server.stats()
    again = rig.resume()
    expect(again.code == 0 and rig.since(before)["requests"] == 8, again, rig.since(before))


if __name__ == "__main__":
    main("https", record=True)

"""What HTTP servers do wrong, shown with wf over TLS: statuses, retries and their waits, bad framing, connections that
end. WF names the binary; default build/wf."""
import email.utils
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "server"))
from rig import OTHERS, case, expect, fault, main, quote # noqa: E402


def on_fault(actions):
    return 'on body="fault" : ' + actions


def cured(rig, scenario, requests=5, prompts=(*OTHERS, "fault"), code=0, **more):
    """A fault that another try, or none, gets over: every agent answers. Answers what was counted."""
    rig.server.scenario(scenario)
    before = rig.server.stats()
    done = rig.ask(*prompts, **more)
    expect(done.code == code, "exit %d" % done.code, done)
    expect(done.value() == [{"text": "did: " + text} for text in prompts], "other answers", done)
    counted = rig.since(before)
    if requests is not None:
        expect(counted["requests"] == requests, "%d requests, not %d" % (counted["requests"], requests), done)
    return counted


def wait_of(rig, scenario):
    """Milliseconds between the two requests of an agent that is told to come again."""
    cured(rig, scenario, 2, ["fault"])
    first, second = rig.server.requests()[-2:]
    return second["ms"] - first["ms"]


# ---- statuses ----


@case
def statuses_that_are_final(rig):
    """400, 404 of another thing, 405, 422, 424 are not tried again"""
    for status in (400, 405, 422, 424):
        fault(rig, on_fault("status=%d message=%s" % (status, quote("no: status %d" % status))), "provider",
              "%d.*no: status %d" % (status, status), attempts=1)


@case
def refused_fields(rig):
    """a 400 that names a field which the request can do without: it goes again without it, and so do all after it"""
    refusal = "on body=cache_control : status=400 message='system.0.cache_control: Extra inputs are not permitted'"
    rig.server.scenario(refusal)
    before = rig.server.stats()
    done = rig.ask(*OTHERS, retries=0, options=["--lanes", "1"])
    expect(done.code == 0 and done.value() == [{"text": "did: " + text} for text in OTHERS], done)
    expect(rig.since(before)["requests"] == 4, "it was not remembered", done)
    expect(done.err.count("its server refuses cache_control") == 1, done)
    fault(rig, on_fault("status=400 message='anthropic-version: not supported'"), "provider", "WF_ANTHROPIC_VERSION",
          attempts=1)


@case
def statuses_worth_another_try(rig):
    """408, 409, 500, 502, 503, 504 are tried again, once where one retry is allowed"""
    for status in (408, 409, 500, 502, 503, 504):
        fault(rig, on_fault('status=%d message="not now" header="retry-after-ms: 20"' % status), "provider",
              "%d.*not now" % status, attempts=2)
        cured(rig, 'on body="fault" first=1 : status=%d header="retry-after-ms: 20"' % status)


@case
def should_retry_header(rig):
    """x-should-retry beats the status, both ways"""
    fault(rig, on_fault('status=503 header="x-should-retry: false"'), "provider", "503", attempts=1)
    cured(rig, 'on body="fault" first=1 : status=400 header="x-should-retry: true" header="retry-after-ms: 20"')


@case
def retry_after_forms(rig):
    """retry-after: milliseconds, fractions, seconds, a date; each is waited for"""
    soon = email.utils.formatdate(time.time() + 3, usegmt=True)
    for header, least, most in (("retry-after: " + soon, 1000, 4500), ("retry-after-ms: 150", 150, 1000),
                                ("retry-after: 0.3", 300, 1200), ("retry-after: 1", 1000, 2500)):
        waited = wait_of(rig, "on first=1 : status=429 header=%s" % quote(header))
        # The server counts from the request's coming, the client from when it last looked at the clock.
        expect(least - 50 <= waited <= most, "%s: waited %d ms" % (header, waited))


@case
def default_backoff(rig):
    """no retry-after, or one that makes no sense: half a second, shortened by up to a quarter"""
    for actions in ("", 'header="retry-after: soon"', 'header="retry-after: -5"', 'header="retry-after: 0"'):
        waited = wait_of(rig, "on first=1 : status=529 " + actions)
        expect(370 <= waited <= 1500, "%s: waited %d ms" % (actions, waited))


@case
def retry_after_an_hour(rig):
    """retry-after: 3600 is not slept through: the run pauses at once"""
    rig.server.scenario(on_fault('status=429 message="come back later" header="retry-after: 3600"'))
    done = rig.ask("one", "fault")
    expect(done.code == 75 and "come back later" in done.err and "0 failed" in done.err, done)
    expect(done.seconds < 30, done)


@case
def overloaded_for_a_while(rig):
    """a server that is overloaded for a second is waited for"""
    counted = cured(rig, "on until=1000 : status=529", None, retries=5)
    expect(4 < counted["requests"] <= 20, "%d requests" % counted["requests"])


@case
def rate_limit_is_found(rig):
    """a gateway lets 20 requests a second through: the lanes wait together, few are refused, people read one line"""
    prompts = ["p%d" % i for i in range(50)]
    for lanes, burst in ((16, 1), (64, 20)):
        rig.server.scenario("on rate=1200 burst=%d : status=429 header='retry-after: 1'" % burst)
        before = rig.server.stats()
        done = rig.ask(*prompts, retries=1, options=["--lanes", str(lanes)])
        expect(done.code == 0 and done.value() == [{"text": "did: " + p} for p in prompts], done)
        refused = rig.since(before)["requests"] - len(prompts)
        expect(1 <= refused <= 25 and done.seconds < 30, "%d refused, %.1f s" % (refused, done.seconds), done)
        expect(1 <= done.err.count("rate limit: waiting until") <= 1 + done.seconds / 10, done)
        expect("retry of" not in done.err, done)


@case
def html_page(rig):
    """a gateway's page in HTML: its status and title are shown"""
    fault(rig, on_fault("status=502 html header='retry-after-ms: 20'"), "provider", "502.*Bad Gateway", attempts=2)
    fault(rig, on_fault("status=200 html"), "provider", "html", resumes=False)
    fault(rig, on_fault('status=500 raw="" header="retry-after-ms: 20"'), "provider", "500")


@case
def wrong_content_type(rig):
    """200 with a body that is neither a stream of events nor JSON"""
    fault(rig, on_fault('type=text/plain status=200 raw="It works!"'), "provider", "text/plain|It works")


@case
def redirect(rig):
    """307 is reported with its address, and not followed: the key goes nowhere else"""
    there = rig.server.url("http") + "/v1/messages"
    before = len([r for r in rig.server.requests() if r["port"] == "http"])
    fault(rig, on_fault("status=307 raw='' header=%s" % quote("location: " + there)), "provider", "redirect.*" + there,
          attempts=1)
    expect(len([r for r in rig.server.requests() if r["port"] == "http"]) == before, "the redirect was followed")


# ---- framing ----


@case
def bad_chunk(rig):
    """a chunk whose size is no number"""
    fault(rig, on_fault("bad-chunk"), "provider", "chunk")


@case
def heads_too_large(rig):
    """a header of 100 KB; 1,000 headers: a bounded, named error"""
    fault(rig, on_fault("big-header=100000"), "provider", "head", request_id=False)
    fault(rig, on_fault("many-headers=1000"), "provider", "head", request_id=False)


@case
def no_http(rig):
    """an answer that is not HTTP"""
    rig.server.scenario("accept : garbage")
    done = rig.ask("one", "two", retries=1, port="http")
    expect(done.code == 3 and done.seconds < 60, done)
    expect(all("not HTTP" in e["message"] and e["attempts"] == 2 for e in done.value()), done)


@case
def compressed(rig):
    """gzip, though nobody asked"""
    fault(rig, on_fault("gzip"), "provider", "compress")


@case
def legal_oddities(rig):
    """1xx first, chunk extensions and trailers, a known length, the end of the connection as the end"""
    for actions in ("interim=103", "interim=100", "extensions trailers", "framing=length", "framing=close", "close",
                    "piece=7"):
        cured(rig, "set " + actions, 4)


@case
def early_answer(rig):
    """413 while a body of 1 MB is still being sent: the answer is seen, not the broken pipe"""
    fault(rig, "on head=\"content-length: 100\" : early status=413 message='far too large'", "context", "far too large",
          prompt="fault " + "x" * 1000000, resumes=False)


# ---- connections ----


@case
def reset(rig):
    """a reset before, within and after the head, and in the middle of the stream"""
    for at in (0, 20, 200, 500): # a kept connection that ends before the first byte is no try
        fault(rig, on_fault("reset-at=%d" % at), "provider", "reset|broke", attempts=2 if at else None,
              request_id=at >= 200)
    cured(rig, 'on body="fault" first=1 : reset-at=500')


@case
def cut(rig):
    """a close at the same places"""
    for at in (0, 20, 200, 500):
        fault(rig, on_fault("close-at=%d" % at), "provider", "cut off", attempts=2 if at else None,
              request_id=at >= 200)
    cured(rig, 'on body="fault" first=1 : close-at=500')


@case
def refused(rig):
    """nobody listens: every agent says so, with the address"""
    closed = "https://localhost:%d" % rig.server.ports["closed"]
    done = rig.ask("one", "two", retries=0, port=closed)
    expect(done.code == 3 and done.seconds < 60, done)
    for error in done.value():
        expect(error["kind"] == "provider" and "refused" in error["message"] and closed[8:] in error["message"], done)


@case
def refused_for_a_while(rig):
    """a server that is restarted: connections refused for 700 ms are tried again"""
    cured(rig, "accept first=1 : deaf=700", 4, retries=5)


@case
def reset_on_accept(rig):
    """a connection that is reset when it is made; every second one of them"""
    cured(rig, "accept nth=2 : reset", 4)
    cured(rig, "accept every=2 : reset", 4, retries=5)


@case
def silent(rig):
    """a server that accepts and says nothing: over at the stall limit, not later"""
    fault(rig, on_fault("hang"), "stall", "no byte", options=["--stall", "3s"], request_id=False)
    fault(rig, on_fault("hang-at=600"), "stall", "no byte", options=["--stall", "3s"])
    rig.server.scenario("accept : hang")
    done = rig.ask("one", "two", retries=0, options=["--stall", "3s"])
    expect(done.code == 3 and done.seconds < 60 and {e["kind"] for e in done.value()} == {"stall"}, done)
    cured(rig, "accept nth=2 : hang", 4, options=["--stall", "3s"])


@case
def slow(rig):
    """a slow server is no silent one: bytes keep coming, so the stall limit does not end it"""
    cured(rig, on_fault("piece=20 piece-gap=60"), 4, options=["--stall", "3s"])


@case
def dripping(rig):
    """a byte now and then does not outlive the agent's deadline, nor the run's"""
    fault(rig, on_fault("piece=1 piece-gap=100"), "deadline", ".", options=["--agent-deadline", "4s"],
          request_id=False)
    rig.server.scenario(on_fault("piece=1 piece-gap=100"))
    done = rig.ask("one", "fault", options=["--deadline", "1s"])
    expect(done.code == 7 and done.seconds < 60, done)
    rig.server.scenario("")
    before = rig.server.stats()
    done = rig.resume("--deadline", "60s")
    expect(done.code == 0 and rig.since(before)["requests"] == 1, "resumed: only what was missing", done)


SEQUENCE = """meta = { name = "sequence", description = "One agent after the other, with pauses" }
local said = {}
for i = 1, args.n do
    local text, err = agent("item " .. i, { retries = 0 })
    said[i] = text or err
end
return said
"""


@case
def kept_connections(rig):
    """one connection serves agents that follow one another"""
    rig.write("sequence.lua", SEQUENCE)
    before = rig.server.stats()
    done = rig.run("sequence.lua", args={"n": 10})
    expect(done.code == 0, done)
    counted = rig.since(before)
    expect((counted["requests"], counted["connections"]) == (10, 1), counted)


@case
def stale_connections(rig):
    """kept connections that the server closes, at once or on the next request, cost a second try, not a retry"""
    rig.write("sequence.lua", SEQUENCE)
    for scenario in ("set idle-close=0", "set idle-close=1", "on request=2 : close-at=0", "on request=3 : reset-at=0"):
        rig.server.scenario(scenario)
        done = rig.run("sequence.lua", args={"n": 10})
        expect(done.code == 0 and done.value() == ["did: item %d" % i for i in range(1, 11)], scenario, done)
        expect("retry" not in done.err, scenario, done)


@case
def closing_server(rig):
    """connection: close is heeded; each new connection resumes the TLS session"""
    rig.write("sequence.lua", SEQUENCE)
    rig.server.scenario("set close")
    before = rig.server.stats()
    done = rig.run("sequence.lua", args={"n": 10})
    counted = rig.since(before)
    expect(done.code == 0 and (counted["connections"], counted["resumptions"]) == (10, 9), counted, done)


@case
def many_and_one(rig):
    """40 agents on 16 lanes, every seventh request a fault of some kind: all answer in the end"""
    faults = ["status=529", "reset-at=300", "close-at=0", "sse-error=4", "bad-chunk",
              "status=429 header='retry-after-ms: 30'"]
    rules = "\n".join("on nth=%d : %s" % (7 * (i + 1), actions) for i, actions in enumerate(faults))
    prompts = ["item %d of many" % i for i in range(40)]
    counted = cured(rig, rules, 40 + len(faults), prompts)
    expect(counted["connections"] <= 16 + 2 * len(faults), counted)


if __name__ == "__main__":
    main("http", "https", "closed", record=True)

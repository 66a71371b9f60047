"""Certificates, handshakes, addresses and proxies: who is trusted, and what is said when nobody is. WF names the
binary; default build/wf."""
import os
import re
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "server"))
from rig import KEY, MODEL, Rig, case, expect, main # noqa: E402

SEQUENCE = """meta = { name = "sequence", description = "One agent after the other" }
local said = {}
for i = 1, args.n do said[i] = agent("item " .. i, { retries = 0 }) end
return said
"""


def mistrusted(rig, port, message, **more):
    """Not a byte of a request is sent to a server that cannot be trusted, and no second try made."""
    before = rig.server.stats()
    done = rig.ask("one", "two", port=port, **more)
    expect(done.code == 78 and done.seconds < 60, done)
    expect(re.search(message, done.err), "not said: " + message, done)
    expect("retry of" not in done.err, "tried again", done)
    expect(rig.since(before)["requests"] == 0, "a request was sent", done)
    expect(KEY not in done.err + done.out, done)
    return done


@case
def bad_certificates(rig):
    """expired, not yet valid, for another host, self-signed, by an unknown authority: each is named, nothing is sent"""
    for port, message in (("expired", "expired"), ("early", "not valid (yet|before)|not yet valid"),
                          ("otherhost", "not localhost"), ("selfsigned", "signed by itself|self-signed"),
                          ("unknown", "unknown authority")):
        mistrusted(rig, port, message)


@case
def mended(rig):
    """a run that stopped at a bad certificate goes on when the server has a good one"""
    done = mistrusted(rig, "expired", "expired")
    before = rig.server.stats()
    again = rig.resume("--retry-failed")
    expect(again.code == 0 and again.value() == [{"text": "did: one"}, {"text": "did: two"}], done, again)
    expect(rig.since(before)["requests"] == 2, again)


@case
def authorities(rig):
    """without --ca the system's authorities count, or SSL_CERT_FILE; --ca goes before it; what is no bundle is named"""
    rig.write("nothing.pem", "this is no certificate\n")
    common = ["run", "ask.lua", "--args", '{"prompts":["one"]}', "--model", MODEL, "--yes", "--quiet"]
    alone = rig.wf(*common)
    expect(alone.code != 0 and re.search("unknown authority|root certificates", alone.err), alone)
    named = rig.wf(*common, env={"SSL_CERT_FILE": rig.server.ca})
    expect(named.code == 0, named)
    both = rig.wf(*common, "--ca", rig.server.ca, env={"SSL_CERT_FILE": rig.path("nothing.pem")})
    expect(both.code == 0, both)
    for options, env, name in ((["--ca", "nothing.pem"], {}, "nothing.pem"), (["--ca", "absent.pem"], {}, "absent.pem"),
                               ([], {"SSL_CERT_FILE": "absent.pem"}, "absent.pem")):
        done = rig.wf(*common, *options, env=env)
        expect(done.code == 2 and name in done.err, done)


@case
def versions(rig):
    """TLS 1.2 and 1.3 alone, and a server without ALPN, serve; sessions of both are resumed"""
    rig.write("sequence.lua", SEQUENCE)
    rig.server.scenario("set close")
    for port in ("tls12", "tls13", "noalpn"):
        before = rig.server.stats()
        done = rig.run("sequence.lua", args={"n": 4}, port=port)
        expect(done.code == 0 and rig.since(before)["resumptions"] == 3, port, rig.since(before), done)


@case
def old_tls(rig):
    """a server that knows TLS 1.1 at most is refused, and told so"""
    rig.server.scenario("accept : tls11")
    done = rig.ask("one", retries=0)
    expect(done.code in (3, 78) and re.search("(?i)tls", done.value()[0]["message"] if done.out else done.err), done)


@case
def broken_handshakes(rig):
    """a close, a reset and silence in the handshake: tried again; nobody waits longer than the stall limit"""
    for actions in ("close", "reset-after=1", "hang"):
        rig.server.scenario("accept nth=1 : " + actions)
        done = rig.ask("one", "two", "three", retries=2, options=["--stall", "3s"])
        expect(done.code == 0 and done.seconds < 60, actions, done)
        expect(done.value() == [{"text": "did: " + t} for t in ("one", "two", "three")], actions, done)
    for actions in ("garbage", "close", "reset-after=1", "hang"):
        rig.server.scenario("accept : " + actions)
        done = rig.ask("one", "two", retries=0, options=["--stall", "3s"])
        expect(done.code in (3, 78) and done.seconds < 60, actions, done)
        expect(all(e["kind"] in ("provider", "stall", "auth") for e in done.value()), actions, done)


@case
def refused_handshakes(rig):
    """another protocol and an old TLS are final at once, whatever retries are allowed"""
    for actions, message in (("garbage", "not TLS"), ("tls11", "TLS 1.2")):
        rig.server.scenario("accept : " + actions)
        mistrusted(rig, "https", message, retries=5)


@case
def plain_http(rig):
    """http:// to this machine is allowed, to another one it is not, before anything is sent"""
    done = rig.ask("one", port="http")
    expect(done.code == 0 and done.value() == [{"text": "did: one"}], done)
    done = rig.ask("one", port="http://192.0.2.1:9")
    expect(done.code == 2 and "https://" in done.err and done.seconds < 60, done)
    done = rig.ask("one", port="https://fd00:77::2")
    expect(done.code == 2 and "write [fd00:77::2]" in done.err, done)


@case
def addresses(rig):
    """IPv4 and IPv6 addresses as hosts, their certificates' addresses checked; a name whose first address is deaf"""
    for host in ("127.0.0.1", "localhost"):
        done = rig.ask("one", port=rig.server.url("https", host))
        expect(done.code == 0, host, done)
    mistrusted(rig, rig.server.url("otherhost", "127.0.0.1"), "127.0.0.1")
    if not has_v6():
        return
    other = Rig("", "https", v6=True)
    try:
        done = other.ask("one", port=other.server.url("https", "[::1]"))
        expect(done.code == 0, done)
        done = other.ask("one", port=other.server.url("https", "localhost"))
        expect(done.code == 0, done)
    finally:
        other.close()


def has_v6():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
        return True
    except OSError:
        return False


@case
def unknown_name(rig):
    """a host that does not exist: said by name, in time"""
    done = rig.ask("one", retries=0, port="https://no-such-host.invalid", options=["--agent-deadline", "15s"])
    expect(done.code in (3, 78) and "no-such-host.invalid" in done.err and done.seconds < 60, done)


# ---- proxies ----


# A proxy is never asked for this machine itself, so the server has a name that only the proxy knows.
FAR = "https://other.example"


def proxy(rig, login=""):
    return "http://%s127.0.0.1:%d" % (login, rig.server.ports["proxy"])


@case
def proxied(rig):
    """HTTPS_PROXY: TLS goes through a tunnel; NO_PROXY, and this machine, around it"""
    before = rig.server.stats()
    done = rig.ask("one", "two", env={"HTTPS_PROXY": proxy(rig)}, port=FAR)
    expect(done.code == 0 and rig.since(before)["tunnels"] == 2, rig.since(before), done)
    before = rig.server.stats()
    done = rig.ask("one", env={"https_proxy": proxy(rig)})
    expect(done.code == 0 and rig.since(before)["tunnels"] == 0, rig.since(before), done)
    for spared in ("no-such-host.invalid", "example.com, .invalid", "*"):
        before = rig.server.stats()
        done = rig.ask("one", env={"HTTPS_PROXY": proxy(rig), "NO_PROXY": spared}, port="https://no-such-host.invalid",
                       retries=0, options=["--agent-deadline", "5s"])
        expect(done.code != 0 and rig.since(before)["tunnels"] == 0, spared, done)
    before = rig.server.stats()
    done = rig.ask("one", env={"HTTPS_PROXY": proxy(rig)[len("http://"):], "NO_PROXY": "10.0.0.0/33"}, port=FAR)
    expect(done.code == 0 and rig.since(before)["tunnels"] == 1, rig.since(before), done)
    expect(done.err.count("NO_PROXY: 10.0.0.0/33: passed over") == 1, done)
    connects = [r for r in rig.server.requests() if r["method"] == "CONNECT"]
    expect(connects and not any(KEY in r["head"] for r in connects), "the proxy sees the key")


@case
def proxy_resolves(rig):
    """the proxy looks names up, and the certificate is still checked against the name"""
    done = rig.ask("one", port=FAR, env={"HTTPS_PROXY": proxy(rig)})
    expect(done.code == 0 and done.value() == [{"text": "did: one"}], done)
    mistrusted(rig, "https://third.example", "third.example", env={"HTTPS_PROXY": proxy(rig)})


@case
def proxy_login(rig):
    """a proxy with a password; without it, or with a wrong one, 407 is reported and no password shown"""
    other = Rig("", "https", "otherhost", "proxy", proxy_user="someone:s3cret/word", record=True)
    try:
        done = other.ask("one", env={"HTTPS_PROXY": proxy(other, "someone:s3cret%2Fword@")}, port=FAR)
        expect(done.code == 0, done)
        for login in ("", "someone:wr0ng-word@"):
            done = other.ask("one", retries=1, env={"HTTPS_PROXY": proxy(other, login)}, port=FAR)
            expect(done.code in (3, 78) and "407" in done.err and "HTTPS_PROXY" in done.err and done.seconds < 60, done)
            expect("wr0ng" not in done.err + done.out + other.show(), done)
            expect(("does not accept" in done.err) == bool(login), login, done)
    finally:
        other.close()


@case
def broken_proxies(rig):
    """a proxy that refuses, answers 502, hangs, or is not there"""
    for rule, options, message in (("on method=CONNECT : status=502 html", [], "502"),
                                   ("on method=CONNECT : status=403", [], "403"),
                                   ("on method=CONNECT : hang", ["--stall", "3s"], "."),
                                   ("accept port=proxy : reset", [], "127.0.0.1:")):
        rig.server.scenario(rule)
        done = rig.ask("one", retries=0, options=options, env={"HTTPS_PROXY": proxy(rig)}, port=FAR)
        expect(done.code in (3, 78) and done.seconds < 60 and re.search(message, done.err), rule, done)
    closed = "127.0.0.1:%d" % rig.server.ports["closed"]
    done = rig.ask("one", retries=0, env={"HTTPS_PROXY": "http://" + closed}, port=FAR)
    expect(done.code in (3, 78) and "refused" in done.err and closed in done.err and "the proxy" in done.err, done)
    for bad in ("ftp://127.0.0.1:9", "http://", "http://127.0.0.1:99999", "http://u:a#b@127.0.0.1:9"):
        done = rig.ask("one", env={"HTTPS_PROXY": bad}, port=FAR)
        expect(done.code == 2 and "HTTPS_PROXY" in done.err, bad, done)


if __name__ == "__main__":
    main("http", "https", "expired", "early", "otherhost", "selfsigned", "unknown", "tls12", "tls13", "noalpn", "proxy",
         "closed", record=True)

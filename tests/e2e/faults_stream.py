"""What a model's stream may have in it, and lack: error events, no end, bytes that are no UTF-8, no JSON, stops of
each kind, tools and thinking over the wire. WF names the binary; default build/wf."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "server"))
from rig import case, expect, fault, main, quote # noqa: E402

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def on_fault(actions):
    return 'on body="fault" : ' + actions


def bodies(rig, since=0):
    return [json.loads(r["body"]) for r in rig.server.requests()[since:]]


@case
def error_event(rig):
    """an error event, first or late, fails the reply; overloaded is tried again, a bad request is not"""
    for at in (0, 3, 5):
        fault(rig, on_fault("sse-error=%d message='too busy now'" % at), "provider", "too busy now", attempts=2)
    fault(rig, on_fault("sse-error=4 error=invalid_request_error message='not like this'"), "provider", "not like this",
          attempts=1)


@case
def no_message_stop(rig):
    """a stream that ends with a stop reason, but without message_stop, is a whole reply, and paid once"""
    rig.write("one.lua", 'meta = { name = "one", description = "d" }\nreturn agent("go")')
    for framing in ("", " framing=close", " framing=length"):
        rig.server.scenario("on : text=whole no-stop" + framing)
        before = rig.server.stats()
        done = rig.run("one.lua")
        expect(done.code == 0 and done.out.strip() == "whole", "no-stop" + framing, done)
        expect(rig.since(before)["requests"] == 1, "asked once")


@case
def no_json(rig):
    """an event whose data is no JSON"""
    fault(rig, on_fault("bad-json"), "provider", "reply cannot be used", attempts=2)


@case
def no_utf8(rig):
    """bytes that are no UTF-8: either refused or replaced, and what comes out is UTF-8"""
    rig.server.scenario(on_fault("bad-utf8"))
    done = rig.ask("one", "fault", retries=0)
    text = done.value()[1]
    expect(done.code == 0 and "\ufffd" in text["text"] or done.code == 3 and text["kind"] == "provider", done)
    expect(all(isinstance(r, dict) for r in rig.records()), "the log's records are JSON")


@case
def huge_delta(rig):
    """a delta of 3 MB: the text whole, or a typed error that says so; nobody else is disturbed"""
    rig.server.scenario(on_fault("size=3000000 deltas=1"))
    done = rig.ask("one", "fault", "three", retries=0)
    first, big, third = done.value()
    expect(first == {"text": "did: one"} and third == {"text": "did: three"}, done)
    whole = done.code == 0 and len(big["text"]) == 3000000
    expect(whole or done.code == 3 and big["kind"] == "provider", str(big)[:300], done.err)


@case
def long_reply(rig):
    """a reply of 300 KB in 1,000 deltas, one byte at a time in places, arrives whole"""
    rig.server.scenario(on_fault("size=300000 deltas=1000") + "\n" + 'on body="pieces" : size=2000 deltas=40 piece=1')
    done = rig.ask("fault", "pieces")
    filler = "Every word of this reply is filler of a known length. "
    for told, size in zip(done.value(), (300000, 2000)):
        expect(told["text"] == (filler * (size // len(filler) + 1))[:size], "%d bytes" % len(told["text"]), done.err)


@case
def characters(rig):
    """every kind of character survives both ways"""
    text = 'quotes " and \\, /, tabs\t, lines\n, umlauts äöü, 漢字, 🎉, \u007f, <script>, \u2028'
    rig.server.scenario("")
    done = rig.ask(text, text + " again")
    expect(done.value() == [{"text": "did: " + text}, {"text": "did: " + text + " again"}], done)
    rig.server.scenario(r"""on : text='\ud83c\udf89 \u00e7 \u0000 \/ \b\f'""")
    expect(rig.ask("x").value()[0]["text"] == "\U0001f389 \u00e7 \0 / \b\f", "escapes")


@case
def refusal(rig):
    """a refusal is the agent's error, with its explanation; it is not asked again, unless told to"""
    details = {"type": "refusal", "category": "cyber", "explanation": "this is not for me"}
    done = fault(rig, on_fault("stop=refusal details=%s" % quote(json.dumps(details))), "refused", "this is not for me",
                 attempts=1, resumes=False)
    before = rig.server.stats()
    again = rig.resume()
    expect(again.code == 3 and again.value() == done.value() and rig.since(before)["requests"] == 0, again)


@case
def cut_reply(rig):
    """max_tokens: asked once more with more room; cut again, the text is not taken for an answer"""
    start = len(rig.server.requests())
    rig.server.scenario('on body="fault" first=1 : stop=max_tokens text="half of"')
    done = rig.ask("fault")
    expect(done.value() == [{"text": "did: fault"}], done)
    small, large = (b["max_tokens"] for b in bodies(rig, start))
    expect(small == 16000 and large > small, small, large)
    fault(rig, on_fault('stop=max_tokens text="half of"'), "context", "max_tokens|cut|longer")


@case
def full_context(rig):
    """model_context_window_exceeded is an error of the context, not of the run"""
    fault(rig, on_fault("stop=model_context_window_exceeded"), "context", "context")


@case
def unknown_stop(rig):
    """with a stop reason that is not known here the reply's blocks decide: a text is an answer"""
    rig.write("one.lua", 'meta = { name = "one", description = "d" }\nreturn agent("go")')
    rig.server.scenario("on : text=said stop=coffee_break")
    done = rig.run("one.lua")
    expect(done.code == 0 and done.out.strip() == "said", "taken", done)


@case
def paused_turn(rig):
    """pause_turn: the content goes back unchanged, and the model goes on"""
    content = [{"type": "text", "text": "searching "},
               {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"q": "é"}},
               {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1",
                "content": [{"type": "future", "x": [1.50, None, "\\u00e9"]}]}]
    start = len(rig.server.requests())
    paused = "on turn=0 : stop=pause_turn content=%s\n" % quote(json.dumps(content))
    rig.server.scenario(paused + "on turn=1 : text='found it'")
    done = rig.ask("go")
    expect(done.value() == [{"text": "found it"}], done)
    first, second = bodies(rig, start)
    expect(second["messages"][:-1] == first["messages"], "the history changed")
    expect(second["messages"][-1] == {"role": "assistant", "content": content}, second["messages"][-1])


@case
def thinking_goes_back(rig):
    """thinking blocks go back byte for byte before the result of the tool that they led to"""
    rig.write("note.txt", "the note says 42\n")
    thought = r"hm\u00e4, \ud83c\udf89 <\/x>"
    block = '{"type":"thinking","thinking":"%s","signature":"c2lnbmVk+/=="}' % thought
    call = '{"type":"tool_use","id":"toolu_9","name":"read","input":{"path":"note.txt"}}'
    content = '[%s,{"type":"redacted_thinking","data":"b3BhcXVl"},%s]' % (block, call)
    start = len(rig.server.requests())
    rig.server.scenario("on turn=0 : content='%s'\non turn=1 : text=done" % content)
    done = rig.ask("look")
    expect(done.value() == [{"text": "done"}], done)
    sent = rig.server.requests()[start:][1]["body"]
    for exact in (block, '"data":"b3BhcXVl"', '"tool_use_id":"toolu_9"', "the note says 42"):
        expect(exact in sent, exact, sent)


@case
def tools(rig):
    """tool calls in parallel, without input, with an unknown name, cut anywhere; all results in one message"""
    rig.write("a.txt", "alpha\n")
    rig.write("b.txt", "beta\n")
    calls = [("t1", "read", {"path": "a.txt"}), ("t2", "grep", {"pattern": "b[e]ta", "path": "b.txt"}),
             ("t3", "glob", {}), ("t4", "fly", {"to": "\u00e7"})]
    content = [{"type": "tool_use", "id": i, "name": n, "input": x} for i, n, x in calls]
    start = len(rig.server.requests())
    rig.server.scenario("on turn=0 : deltas=50 content=%s\non turn=1 : text=done" % quote(json.dumps(content)))
    done = rig.ask("work")
    expect(done.value() == [{"text": "done"}], done)
    results = bodies(rig, start)[1]["messages"][-1]["content"]
    expect([r["tool_use_id"] for r in results] == ["t1", "t2", "t3", "t4"], results)
    expect("alpha" in results[0]["content"] and "beta" in results[1]["content"], results)
    expect(results[2].get("is_error") and results[3].get("is_error") and not results[0].get("is_error"), results)


@case
def schema(rig):
    """a schema: the result tool's input is the answer; a wrong one goes back with the reason, and is mended"""
    start = len(rig.server.requests())
    rig.server.scenario("""on turn=0 : tool=result input='{"n":"many"}'\non turn=1 : tool=result input='{"n":7}'""")
    done = rig.ask("count", schema=SCHEMA)
    expect(done.value() == [{"text": {"n": 7}}], done)
    first, second = bodies(rig, start)
    expect(any(t["name"] == "result" for t in first["tools"]), first["tools"])
    told = second["messages"][-1]["content"][0]
    expect(told["is_error"] and "n" in told["content"] and "integer" in told["content"], told)


@case
def never_the_schema(rig):
    """a model that never keeps to the schema: the agent's error, after at most five times"""
    before = rig.server.stats()
    rig.server.scenario("""on : tool=result input='{"n":"many"}'""")
    done = rig.ask("count", schema=SCHEMA)
    expect(done.code == 3 and done.value()[0]["kind"] == "schema", done)
    expect(5 <= rig.since(before)["requests"] <= 6, rig.since(before))


@case
def plain_reply(rig):
    """a server that answers with one JSON object where a stream was asked for is understood"""
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m",
               "content": [{"type": "text", "text": "all at once"}], "stop_reason": "end_turn",
               "stop_sequence": None, "usage": {"input_tokens": 5, "output_tokens": 7}}
    rig.server.scenario("on : status=200 raw=%s" % quote(json.dumps(message)))
    done = rig.ask("go")
    expect(done.code == 0 and done.value() == [{"text": "all at once"}], done)


@case
def usage(rig):
    """tokens are counted as the last figures say, cached ones apart, and priced"""
    rig.server.scenario("set in=1000000 out=100000 cache-read=2000000 cache-write=400000")
    done = rig.ask("go", options=["--budget-usd", "50"])
    shown = rig.show()
    expect(done.code == 0 and "100,000" in done.err, done)
    expect("2.2" in shown and "USD" in shown, shown) # haiku-4-5: 1 + 0.5 + 0.2 + 0.5 for what is written


if __name__ == "__main__":
    main("http", "https", record=True)

"""What a sub-agent's first request takes on the wire, with every tool, the system text and a
schema, against its bounds. WF names the binary."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "server"))
from rig import case, expect, main, quote # noqa: E402

BYTES, TOKENS = 6000, 1500 # of head and body; a token is about four bytes
SCHEMA = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}
RESULT = '[{"type":"tool_use","id":"a","name":"result","input":{"n":1}}]'


@case
def first_request(rig):
    """with all tools, the first request of a sub-agent stays under 6,000 bytes and 1,500 tokens, and its prefix is the same"""
    rig.server.scenario("on : content=%s\n" % quote(RESULT))
    done = rig.ask("one", "two", schema=SCHEMA, options=["--allow", "read,write,bash,exec"])
    expect(done.code == 0 and done.value() == [{"text": {"n": 1}}] * 2, done)
    first, second = rig.server.requests()[-2:]
    body = json.loads(first["body"])
    names = [tool["name"] for tool in body["tools"]]
    expect({"read", "grep", "glob", "write", "edit", "result"} <= set(names), names)
    expect(len(body["system"]) == 1 and "sub-agent" in body["system"][0]["text"], body.get("system"))
    head, size = len(first["head"].encode()) + 2, len(first["body"].encode())
    system = len(body["system"][0]["text"])
    print("# first request with %d tools: %d bytes of head, %d of body (system text %d), about %d tokens"
          % (len(names), head, size, system, size // 4))
    expect(head + size < BYTES and size / 4 < TOKENS, head, size)
    prefix = first["body"].index('"messages"')
    expect(prefix > 1000 and first["body"][:prefix] == second["body"][:prefix], "the prefix is not the same")


if __name__ == "__main__":
    main("https", record=True)

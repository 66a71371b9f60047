#!/usr/bin/env python3
"""Options of agents that reach into the workspace or the purse: agent_type, cwd, budget, meta.budget. WF is the command."""
import json
import os
import shutil
import subprocess
import sys
import tempfile

from lib.tap import case, done, write

WF = os.path.abspath(os.environ.get("WF", "build/wf"))
META = 'meta = { name = "t", description = "d" }\n'

# Says what it was given: system text, tools; and what a glob of its workspace shows.
MODEL = """
return function(r)
    local last, names = r.messages[#r.messages].content[1], {}
    if last.text and string.find(last.text, "^look") then return { tool = { name = "glob", input = { pattern = "**" } } } end
    if last.text == "several" then
        local function use(name, path, more) return { name = name, input = { path = path, content = more } } end
        return { tools = { use("read", "src/a.txt"), use("read", "src/none"), use("write", "src/b.txt", "b"), use("read", "src/b.txt") } }
    end
    local all = {}
    for i, block in ipairs(r.messages[#r.messages].content) do all[i] = block.content end
    if #all > 1 then return { text = table.concat(all, "|") } end
    local name = last.text and string.match(last.text, "^call (%w+)")
    if name then return { tool = { name = name, input = { path = "src/new.txt", content = "x" } } } end
    for _, tool in ipairs(r.tools or {}) do table.insert(names, tool.name) end
    return { text = table.concat({ r.system and r.system[1].text or "nil", table.concat(names, ","), tostring(last.content or last.text) }, "|") }
end
"""

SCOUT = """---
name: scout
description: "looks around"
tools: Read, WebFetch, Glob
model: inherit
color: red
---

You are a scout.
"""

def run(folder, body, *more, log="l.wflog"):
    write(folder, "s.lua", body if body.startswith("meta") else META + body)
    command = [WF, "run", "s.lua", "--yes", "--quiet", "--model", "rules:m.lua", "--log", log, *more]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    if os.path.exists(os.path.join(folder, log)):
        os.rename(os.path.join(folder, log), os.path.join(folder, "last.wflog"))
    return done.returncode, done.stdout, done.stderr


# Fails as "second" if it has no tool `write`, and says who it is.
NAMED = """
return function(r)
    local names = {}
    for _, tool in ipairs(r.tools or {}) do names[tool.name] = true end
    local prompt = r.messages[1].content[1].text
    if prompt == "second" and not names.write then return { error = { status = 400, message = "no" } } end
    return { text = prompt .. " by %s" }
end
"""


def flags(folder):
    """What flags make of an agent type is no part of a call: with other flags finished ones are not asked again, as
    long as the type's text is the same."""
    write(folder, ".wf/agents/editor.md", "---\nname: editor\ntools: Read, Write\nmodel: haiku\n---\nYou edit.\n")
    for name in ("first", "second"):
        write(folder, name + ".lua", NAMED % name)
    body = """local function say(prompt) return (agent(prompt, { agent_type = "editor" })) or "none" end
        return say("first") .. ", " .. say("second")"""
    write(folder, "s.lua", META + body)
    common = ["--yes", "--quiet", "--allow"]

    def wf(*args):
        done = subprocess.run([WF, *args], cwd=folder, capture_output=True, text=True, timeout=60)
        return done.stdout.strip(), done.stderr
    out, err = wf("run", "s.lua", "--log", "t.wflog", "--model", "rules:first.lua", *common, "read")
    case(out == "first by first, none", "an agent type without the tool that it needs", out + err)
    shutil.copy(os.path.join(folder, "t.wflog"), os.path.join(folder, "changed.wflog"))
    out, err = wf("resume", "t.wflog", "--model", "rules:second.lua", *common, "read,write", "--retry-failed")
    case(out == "first by first, second by second", "other tools and another model: what is finished stays", out + err)
    write(folder, ".wf/agents/editor.md", "You edit, and say so.\n")
    out, err = wf("resume", "changed.wflog", "--model", "rules:second.lua", *common, "read,write", "--retry-failed")
    case(out == "first by first, second by second", "the type's text is the log's on a resume", out + err)


def main():
    with tempfile.TemporaryDirectory(prefix="wf-agents-") as folder:
        write(folder, "m.lua", MODEL)
        write(folder, ".claude/agents/scout.md", SCOUT)
        write(folder, ".wf/agents/plain.md", "Only words.\n")
        write(folder, "src/a.txt", "a\n")

        code, out, err = run(folder, 'return agent("go", { agent_type = "scout" })')
        case((code, out.strip()) == (0, "You are a scout.|read,glob|go"), "an agent type gives system text and tools", out + err)
        resumed = subprocess.run([WF, "resume", "last.wflog", "--quiet"], cwd=folder, capture_output=True, text=True)
        case(resumed.stdout == out, "its file is read from the log on a resume", resumed.stderr)
        flags(folder)
        code, out, err = run(folder, 'return agent("go", { agent_type = "scout", system = "Mine.", tools = { "grep" } })')
        case(out.strip() == "Mine.|grep|go", "what the script says goes before the file", out + err)
        code, out, err = run(folder, 'return agent("go", { agent_type = "plain" })')
        case(out.strip() == "Only words.|read,grep,glob|go", "a file without front matter is all system text", out + err)
        write(folder, ".gitignore", ".claude/\n")
        os.makedirs(os.path.join(folder, ".wf/agents/sub"), exist_ok=True)
        write(folder, ".wf/agents/sub/deep.md", "Deep.\n")
        code, out, err = run(folder, 'local t = { "scout", "plain" } agent("go") return { agent("go", { agent_type = t[1] }), agent("go", { agent_type = t[2] }) }')
        case(code == 0 and "You are a scout." in out and "Only words." in out, "names that the script computes: all types were read before", out + err)
        code, out, err = run(folder, 'agent("go") local t = "dee" return agent("go", { agent_type = t .. "p" })')
        case(code == 4 and "before the first agent" in err, "and no other ones are", out + err)
        code, out, err = run(folder, 'return agent("go", { agent_type = "nobody" })')
        case(code == 4 and "write .wf/agents/nobody.md" in err, "an unknown type is named, with the mend", err)
        code, out, err = run(folder, 'return agent("go", { agent_type = "../scout" })')
        case(code == 4 and "agent_type takes a name" in err, "a type is a name, no path", err)

        code, out, err = run(folder, 'return agent("look", { cwd = "src" })')
        case(out.strip().endswith("|a.txt"), "cwd is all that the agent's tools see", out + err)
        code, out, err = run(folder, 'return agent("look", { cwd = ".." })')
        case(code == 4 and "tool: the agent's cwd is no folder of the workspace: .." in err and "1 failed" in err, "one with a cwd outside of the workspace fails", out + err)

        code, out, err = run(folder, 'return agent("call write")')
        case(code == 0 and out.strip().endswith("|it is not allowed in this run; --allow write gives that right"),
             "a tool that the run does not allow: the model is told by which flag it would be", out + err)
        case(not os.path.exists(os.path.join(folder, "src/new.txt")), "and nothing was done")
        code, out, err = run(folder, 'return agent("call write")', "--allow", "read,write")
        case(code == 0 and os.path.exists(os.path.join(folder, "src/new.txt")), "with the flag it is done", out + err)
        os.remove(os.path.join(folder, "src/new.txt"))
        code, out, err = run(folder, 'return agent("call frobnicate")')
        case(code == 0 and out.strip().endswith("|there is no such tool; this run has read, grep, glob"),
             "a tool that nobody has: the model is told which there are", out + err)
        code, out, err = run(folder, 'return agent("call read", { tools = { "glob" } })')
        case(code == 0 and "this tool was not given to you" in out, "a tool that the run has and the agent has not", out + err)

        code, out, err = run(folder, 'return agent("several")', "--allow", "read,write")
        said = out.strip("\n").split("|")
        case(code == 0 and len(said) == 4 and said[0] == "    1\ta\n" and "no such file" in said[1] and said[3].endswith("1\tb"),
             "tool calls of one turn are answered in order, and what is read after a change sees it", out + err)
        os.remove(os.path.join(folder, "src/b.txt"))

        code, out, err = run(folder, 'return { agent("go"), agent("go", { system = "Mine." }) }')
        standard, own = (said.split("|")[0] for said in json.loads(out))
        case(standard.startswith("You are one sub-agent of a larger workflow") and own == "Mine.",
             "an agent without a system text of its own is told how to work; its own goes instead", out)
        tools = [t for t in ("grep", "glob", "bash", "edit", "write", "exec") if t in standard]
        case(len(standard) < 1600 and not tools, "that text is short, and names no tool that may not be there", tools)

        body = 'local v, e = agent("go", { budget = { tokens = 500 } }) return { e and e.kind, (agent("go")) ~= nil }'
        code, out, err = run(folder, body)
        case(code == 3 and json.loads(out) == ["budget", True], "an agent's own budget fails it alone", out + err)
        body = 'meta = { name = "t", description = "d", budget = { tokens = 500 } } return agent("go")'
        code, out, err = run(folder, body)
        case(code == 5, "meta.budget stops the run", "%d %s" % (code, err))
        code, out, err = run(folder, body.replace("500", "500000"))
        case(code == 0, "a larger one does not", "%d %s" % (code, err))
    return done()


sys.exit(main())

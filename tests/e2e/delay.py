#!/usr/bin/env python3
"""A stop is heard soon whatever a script is busy with. For each function of the script API there is work here with ten million
items or the longest texts there may be; while it runs, SIGINT comes, and the processor time (a busy machine does not count)
that the command takes from then to its "stopping" line is printed, and fails above 100 ms. What takes longer is named with its
own bound and the reason. The same for `wf check`, and for models of rules at work and while they are loaded. WF is the
command; WF_CAMPAIGN=full: all of them, else a few with a million items."""
import fcntl
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import time

from lib.tap import case, done, write

WF = os.path.abspath(os.environ.get("WF", "build/wf"))
FULL = os.environ.get("WF_CAMPAIGN") == "full"
ITEMS = 10000000 if FULL else 1000000
BOUND = 100  # ms
META = 'meta = { name = "t", description = "d" }\n'
LIB = """
local N, MIB = %d, 1 << 20
local function list(n) local t = {} for i = 1, n do t[i] = i end return t end
local function names(n) local t = {} for i = 1, n do t["k" .. i] = i end return t end
local function fill(n, v) local t = {} for i = 1, n do t[i] = v end return t end
local function nothing() end
local LONG = ("x"):rep(12 * MIB - 64)
""" % ITEMS

# What Lua does in one go, which nothing of ours can interrupt; it grows with the memory in use.
GROWTH = (1500, "Lua lays a growing table out anew in one go")
ZEROS = (300, "Lua compares texts from zero byte to zero byte")

# name: what is there before, what is done over and over[, its own bound and why]. The first word of a name is what it is work
# of. LUA is what models of rules have too.
LUA = {
    "for": ("", "for i = 1, N do end"),
    "..": ("", "return LONG:sub(1, 6 * MIB) .. LONG:sub(1, 5 * MIB)"),
    "==": ("local a, b = ('x'):rep(12 * MIB - 64), ('x'):rep(12 * MIB - 64)", "return a == b"),
    "<": ("local a, b = ('x'):rep(12 * MIB - 64), ('x'):rep(12 * MIB - 64)", "return a < b"),
    "< zeros": ("local a, b = ('\\0'):rep(12 * MIB - 64), ('\\0'):rep(12 * MIB - 64)", "return a < b", *ZEROS),
    "#": ("local t = list(N)", "return #t"),
    "t[i]": ("", "list(N)", *GROWTH),
    "t[name]": ("", "names(N // 5)", *GROWTH),
    "t[float]": ("", "local t = {} for i = 1, N // 4 do t[i + 0.5] = i end", *GROWTH),
    "strings": ("", "local t = {} for i = 1, N // 4 do t[i] = 'k' .. i end", *GROWTH),
    "closures": ("", "local t = {} for i = 1, N do t[i] = function() return i end end", *GROWTH),
    "garbage": ("local t = list(N)", "for i = 1, N do t[i] = {} end", *GROWTH),
    "varargs": ("local t = list(999000)", "local function f(...) return ... end f(table.unpack(t))"),
    "key": ("local t = {}", "t[LONG] = 1"),
    "assert": ("local t = list(999000)", "assert(table.unpack(t))"),
    "error": ("", "error(LONG)"),
    "getmetatable": ("local t = setmetatable({}, {})", "for i = 1, N do getmetatable(t) end"),
    "setmetatable": ("local t, m = {}, names(N // 5)", "for i = 1, N do setmetatable(t, m) end"),
    "ipairs": ("local t = list(N)", "for _ in ipairs(t) do end"),
    "pairs": ("local t = list(N)", "for _ in pairs(t) do end"),
    "pairs names": ("local t = names(N // 5)", "for _ in pairs(t) do break end"),
    "pairs floats": ("local t = {} for i = 1, N // 4 do t[i + 0.5] = i end", "for _ in pairs(t) do break end"),
    "pairs removed": ("", "local t = list(N) t[0] = 0 local step, s, k = pairs(t) for i = 0, N do t[i] = nil end step(s, k)", *GROWTH),
    "pairs long": ("local t = {} for i = 1, 40 do t[LONG:sub(1, 12 * MIB - 200) .. i] = i end", "for _ in pairs(t) do break end"),
    "next": ("local t = list(N)", "next(t, 5)"),
    "next names": ("local t = names(N // 5)", "next(t, 'k5')"),
    "next queue": ("local t = list(N)", "local k = next(t) t[k] = nil"),
    "next long": ("local t = {} for i = 1, 40 do t[LONG:sub(1, 12 * MIB - 200) .. i] = i end", "next(t, 'a')"),
    "pcall": ("local t = list(999000)", "pcall(select, table.unpack(t))"),
    "xpcall": ("local t = list(999000)", "xpcall(select, nothing, table.unpack(t))"),
    "rawequal": ("local a, b = ('x'):rep(12 * MIB - 64), ('x'):rep(12 * MIB - 64)", "return rawequal(a, b)"),
    "rawget": ("local t = names(N // 5)", "for i = 1, N do rawget(t, i) end"),
    "rawlen": ("local t = list(N)", "for i = 1, N do rawlen(t) end"),
    "rawset": ("", "local t = {} for i = 1, N do rawset(t, i, i) end", *GROWTH),
    "select": ("local t = list(999000)", "select('#', table.unpack(t)) select(-1, table.unpack(t))"),
    "tonumber": ("local a = ('1'):rep(12 * MIB - 64)", "tonumber(a) tonumber(a, 10)"),
    "tonumber blanks": ("local a = (' '):rep(12 * MIB - 64)", "tonumber(a)"),
    "tonumber hex": ("local a = '0x' .. ('1'):rep(12 * MIB - 100)", "tonumber(a)"),
    "tonumber exp": ("local a = ('1'):rep(6 * MIB - 100) .. 'e' .. ('1'):rep(100)", "tonumber(a)"),
    "tonumber frac": ("local a = '0.' .. ('0'):rep(12 * MIB - 100) .. '1'", "tonumber(a)"),
    "arith": ("local a = ('1'):rep(12 * MIB - 64)", "return a + 1"),
    "tostring": ("", "for i = 1, N do tostring(i + 0.5) end"),
    "type": ("", "for i = 1, N do type(i) end"),
    "print": ("", "print(LONG)"),
    "print many": ("local t = list(999000)", "print(table.unpack(t))"),
    "json.array": ("local t = list(N)", "json.array(t)"),
    "json.decode": ("local a = '[' .. ('1,'):rep(6 * MIB - 64) .. '1]'", "json.decode(a)", *GROWTH),
    "json.decode objects": ('local a = \'[\' .. (\'{"a":[]},\'):rep(1200000) .. \'1]\'', "json.decode(a)", *GROWTH),
    "json.decode names": ('local p = {} for i = 1, 600000 do p[i] = (\'"k%d":%d\'):format(i, i) end local a = \'{\' .. table.concat(p, \',\') .. \'}\'', "json.decode(a)", *GROWTH),
    "json.decode text": ('local a = \'"\' .. (\'\\\\n\'):rep(6 * MIB - 64) .. \'"\'', "json.decode(a)"),
    "json.decode blanks": ("local a = (' '):rep(12 * MIB - 64)", "json.decode(a)"),
    "json.decode digits": ("local a = ('1'):rep(12 * MIB - 64)", "json.decode(a)"),
    "json.decode bad": ("local a = ('\\n'):rep(12 * MIB - 64)", "json.decode(a)"),
    "json.encode": ("local t = list(N)", "json.encode(t)"),
    "json.encode floats": ("local t = list(N // 10) for i = 1, #t do t[i] = i / 7 end", "json.encode(t)"),
    "json.encode names": ("local t = names(N // 10)", "json.encode(t)"),
    "json.encode text": ("local a = ('\\1'):rep(12 * MIB - 64)", "json.encode(a)"),
    "json.encode texts": ("local t = {} for i = 1, 100 do t[i] = LONG end", "json.encode(t)"),
    "json.encode bad": ("local t = list(N) t[N + 1] = nothing", "json.encode(t)"),
    "json.encode mixed": ("local t = list(N) t[-1] = nothing", "json.encode(t)"),
    "string.byte": ("", "string.byte(LONG, 1, 999000)"),
    "string.char": ("local t = {} for i = 1, 999000 do t[i] = 65 end", "string.char(table.unpack(t))"),
    "string.find": ("", "string.find(LONG, 'y')"),
    "string.find plain": ("local p = ('x'):rep(MIB) .. 'y'", "string.find(LONG, p, 1, true)"),
    "string.find set": ("", "string.find(LONG, '[^x]')"),
    "string.find balance": ("", "string.find(LONG, '%bxy')"),
    "string.find back": ("local a = LONG:sub(1, 6 * MIB) local b = a .. a:sub(1, 5 * MIB)", "string.find(b, '(x+)%1y')"),
    "string.find pattern": ("local p = '[' .. ('a'):rep(11 * MIB) .. ']y'", "string.find('xxxxxxxxxxxxxxxx', p)"),
    "string.find pattern2": ("local p = ('a?'):rep(5 * MIB)", "string.find('xxxxxxxxxxxxxxxx', p)"),
    "string.format": ("", "string.format('%s', LONG)"),
    "string.format q": ("local a = ('\\0'):rep(3 * MIB)", "string.format('%q', a)"),
    "string.format many": ("local t, f = list(100000), ('%d'):rep(100000)", "string.format(f, table.unpack(t))"),
    "string.format pad": ("local f = ('%99d'):rep(100000) local t = list(100000)", "string.format(f, table.unpack(t))"),
    "string.format long": ("", "string.format(LONG)"),
    "string.format percents": ("local a = ('%%'):rep(6 * MIB - 64)", "string.format(a)"),
    "string.gmatch": ("", "for _ in string.gmatch(LONG, 'x') do end"),
    "string.gmatch y": ("", "for _ in string.gmatch(LONG, 'y') do end"),
    "string.gsub": ("", "string.gsub(LONG, 'x', 'z')"),
    "string.gsub repl": ("local p = ('%1'):rep(5 * MIB)", "string.gsub('aaa', '(a)', p)", *GROWTH),
    "string.len": ("", "for i = 1, N do string.len(LONG) end"),
    "string.lower": ("", "string.lower(LONG)"),
    "string.match": ("", "string.match(LONG, '.-y')"),
    "string.match captures": ("", "string.match(LONG, ('(.*)'):rep(30) .. 'y')"),
    "string.match many": ("", "string.match(LONG, ('((((((((((x*))))))))))'))"),
    "string.pack": ("", "string.pack('s8', LONG)"),
    "string.pack z": ("", "string.pack('z', LONG)"),
    "string.pack pad": ("local f = ('!16Xi16b'):rep(100000) local t = list(100000)  for i = 1, #t do t[i] = 1 end", "string.pack(f, table.unpack(t))"),
    "string.packsize": ("local f = ('b'):rep(12 * MIB - 64)", "string.packsize(f)"),
    "string.packsize digits": ("local f = ('x'):rep(12 * MIB - 64)", "string.packsize(f)"),
    "string.rep": ("", "string.rep('x', 12 * MIB - 64) string.rep('', N)"),
    "string.rep sep": ("", "string.rep('x', 6 * MIB - 64, ',')"),
    "string.reverse": ("", "string.reverse(LONG)"),
    "string.sub": ("", "string.sub(LONG, 2)"),
    "string.unpack": ("local a = LONG:sub(1, 11 * MIB) .. '\\0'", "string.unpack('z', a)"),
    "string.unpack many": ("local f = ('b'):rep(999000)", "string.unpack(f, LONG)"),
    "string.upper": ("", "string.upper(LONG)"),
    "table.concat": ("local t = {} for i = 1, N do t[i] = 'x' end", "table.concat(t)"),
    "table.concat empty": ("local t = {} for i = 1, N do t[i] = '' end", "table.concat(t)"),
    "table.concat big": ("local t = {} for i = 1, 11 do t[i] = LONG:sub(1, MIB) end", "table.concat(t)"),
    "table.concat floats": ("local t = {} for i = 1, N do t[i] = i + 0.5 end", "table.concat(t)"),
    "table.insert": ("local t = list(N)", "table.insert(t, 1, 0)"),
    "table.move": ("local t = list(N)", "table.move(t, 1, N, 2, {})", *GROWTH),
    "table.pack": ("local t = list(999000)", "table.pack(table.unpack(t))"),
    "table.remove": ("local t = list(N)", "table.remove(t, 1)"),
    "table.sort": ("local t = list(N)", "table.sort(t)", *GROWTH),
    "table.sort long": ("local t = {} for i = 1, 40 do t[i] = LONG:sub(1, 12 * MIB - 200) .. i end", "table.sort(t)"),
    "table.sort zeros": ("local t = {} for i = 1, 20 do t[i] = ('\\0'):rep(12 * MIB - 200) .. i end", "table.sort(t)", *ZEROS),
    "table.unpack": ("local t = list(999000)", "table.unpack(t)"),
    "utf8.char": ("local t = {} for i = 1, 999000 do t[i] = 8364 end", "utf8.char(table.unpack(t))"),
    "utf8.codepoint": ("", "utf8.codepoint(LONG, 1, 999000)"),
    "utf8.codes": ("", "for _ in utf8.codes(LONG) do end"),
    "utf8.codes cont": ("local a = 'x' .. ('\\x80'):rep(11 * MIB)", "for _ in utf8.codes(a) do end"),
    "utf8.len": ("", "utf8.len(LONG)"),
    "utf8.len wide": ("local a = ('\\u{20AC}'):rep(4 * MIB - 64)", "utf8.len(a)"),
    "utf8.offset": ("", "utf8.offset(LONG, 12 * MIB - 100)"),
    "utf8.offset cont": ("local a = ('\\x80'):rep(12 * MIB - 64)", "utf8.offset(a, -1)"),
    "math.max": ("local t = list(999000)", "math.max(table.unpack(t))"),
    "math.min": ("local t = list(999000)", "math.min(table.unpack(t))"),
}
for _name in "abs acos asin atan ceil cos deg exp floor log modf rad sin sqrt tan tointeger type".split():
    LUA["math." + _name] = ("", "for i = 1, N do math.%s(i) end" % _name)
for _name in ("fmod", "ult"):
    LUA["math." + _name] = ("", "for i = 1, N do math.%s(i, 3) end" % _name)
SCRIPT = {
    "math.random": ("", "for i = 1, N do math.random(i) end"),
    "random": ("", "for i = 1, N do random(i) end"),
    "now": ("", "for i = 1, N do now() end"),
    "budget.total": ("", "for i = 1, N do budget.total('usd') end"),
    "budget.spent": ("", "for i = 1, N do budget.spent('tokens') end"),
    "budget.remaining": ("", "for i = 1, N do budget.remaining('seconds') end"),
    "agent": ("local t = LONG:sub(1, 10 * MIB)", "agent(t)"),
    "agent schema": ("", "agent('x', { schema = { type = 'object', description = LONG } })"),
    "agent result": ("", "agent('big', { schema = { type = 'object', properties = {} } })"),
    "agent tools": ("local t = {} for i = 1, N do t[i] = 'x' end", "agent('x', { tools = t })"),
    "ask": ("", "ask(LONG, { choices = { 'a', 'b' }, default = 'a' })"),
    "ask choices": ("local t = {} for i = 1, N // 10 do t[i] = 'x' .. i end", "ask('x', { choices = t, default = 'x1' })"),
    "exec": ("local t = {} for i = 1, N do t[i] = 'x' end", "exec(t)"),
    "exec env": ("local t = {} for i = 1, N // 5 do t['k' .. i] = 'x' end", "exec('true', { env = t })"),
    "exec input": ("", "exec('cat', { input = LONG })"),
    "files": ("local t = {} for i = 1, 900000 do t[i] = 'x' end", "files(table.unpack(t))"),
    "read": ("", "read('big.txt')"),
    "log": ("", "log(LONG)"),
    "phase": ("", "phase(LONG)"),
    "parallel": ("local t = fill(100000, nothing)", "parallel(t)"),
    "parallel errors": ("local t = fill(100000, function() error('x') end)", "parallel(t)"),
    "parallel many": ("local t = fill(N, nothing)", "parallel(t)"),
    "parallel agents": ("local t = fill(100000, function() return agent('x') end)", "parallel(t)"),
    "pipeline": ("local t = list(100000)", "pipeline(t, nothing, nothing)"),
    "race": ("local t = fill(100000, nothing)", "race(t)"),
    "race kills": ("local t = fill(100000, function() return agent('slow') end) t[1200] = function() return 1 end", "race(t)"),
    "verify": ("local t = {} for i = 1, 100000 do t[i] = 'x' end", "verify(t)"),
    "verify one": ("local t = names(N // 10)", "verify(t)"),
    "verify lenses": ("local t = {} for i = 1, 10000 do t[i] = 'x' end", "verify('claim', { lenses = t })"),
    "vote": ("", "vote(LONG:sub(1, MIB), { voters = 100 })"),
    "workflow": ("local t = list(N)", "workflow('sub.lua', t)"),
    "workflow names": ("local t = names(N // 10)", "workflow('sub.lua', t)"),
    "pairs _ENV": ("", "pairs(_ENV)"),
}
FEW = ("json.decode", "json.encode", "pairs names", "next names", "table.concat", "string.gsub")
FEW_ELSEWHERE = ("json.encode", "pairs names")

ENVIRONMENT = """
local out = {}
for name, v in pairs(_ENV) do
    if type(v) == "function" then out[#out + 1] = name end
    for member, f in pairs(type(v) == "table" and name ~= "meta" and name ~= "args" and v or {}) do
        if type(f) == "function" then out[#out + 1] = name .. "." .. member end
    end
end
return table.concat(out, " ")
"""
# The work begins behind an error of a branch, which every command shows.
BUSY = META + LIB + """%s
local function work() %s end
parallel({ function() error("ready") end })
while true do pcall(work) end
"""
ASKING = META + """
agent("prepare")
parallel({ function() error("ready") end })
while true do agent("work") end
"""
MODEL = """
local work
return function(request)
    if request.messages[1].content[1].text == "prepare" then
        %s%s
        work = function() %s end
        return { text = "ready" }
    end
    while true do pcall(work) end
end
"""
LOADING = META + """
parallel({ function() error("ready") end })
return agent("x", { model = "rules:model.lua" })
"""
LOADED = """
%s%s
local function work() %s end
while true do pcall(work) end
"""
# What scripts ask: "slow" waits, and where a result is wanted there is a long one.
ANSWERS = """
local long = {}
for i = 1, 100000 do long[i] = i end
return function(request)
    if request.messages[1].content[1].text == "slow" then return { text = "x", delay = 100 } end
    for _, tool in ipairs(request.tools or {}) do
        local input = { list = long, refuted = false, reason = "x", answer = "yes" }
        if tool.name == "result" then return { tool = { name = "result", input = input } } end
    end
    return { text = "x" }
end
"""


def processor_ms(pid):
    """What the command's main thread has used."""
    with open("/proc/%d/task/%d/schedstat" % (pid, pid)) as f:
        return int(f.read().split()[0]) / 1e6


def wait_until(process, pipe, text, seconds=120):
    """Reads the command's messages until there is one with this text; what has been read, or None."""
    got, end = b"", time.time() + seconds
    while time.time() < end:
        if select.select([pipe], [], [], 0.2)[0]:
            piece = os.read(pipe, 65536)
            got += piece
            if text in got:
                return got
            if not piece:
                return None
        elif process.poll() is not None:
            return None
    return None


def fill_pipe(fd):
    """Until nothing fits in: the next who writes there sleeps, and uses no more of the processor."""
    own = os.open("/proc/self/fd/%d" % fd, os.O_WRONLY | os.O_NONBLOCK)
    for size in (4096, 1):
        try:
            while True:
                os.write(own, b"\n" * size)
        except BlockingIOError:
            pass
    os.close(own)


def sleeps(pid, used):
    """Whether it does and has done so since it had used so much."""
    with open("/proc/%d/task/%d/stat" % (pid, pid)) as f:
        return f.read().rsplit(")", 1)[1].split()[0] == "S" and processor_ms(pid) == used


def delay(work, folder, arguments):
    """ms of the processor's time between a signal and the line that says so; a text: why there is none."""
    read_end, write_end = os.pipe()
    fcntl.fcntl(write_end, 1031, 4096)  # F_SETPIPE_SZ
    process = subprocess.Popen([WF] + arguments, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=write_end)
    try:
        if wait_until(process, read_end, b"ready") is None:
            return "%s: never began its work" % work
        time.sleep(0.5)  # it is in the midst of it
        while select.select([read_end], [], [], 0)[0]:
            os.read(read_end, 65536)
        fill_pipe(write_end)
        before = processor_ms(process.pid)
        process.send_signal(signal.SIGINT)
        used, end = before, time.time() + 60
        while time.time() < end and not sleeps(process.pid, used):
            used = processor_ms(process.pid)
            time.sleep(0.02)
        heard = wait_until(process, read_end, b"stopping", 10)
        return used - before if heard is not None else "%s: no stop was heard" % work
    finally:
        process.kill()
        process.wait()
        os.close(read_end)
        os.close(write_end)


def measure(kind, name, entry, folder, arguments):
    bound, why = entry[2:] if len(entry) > 2 else (BOUND, "")
    longest = max((delay(name, folder, arguments) for _ in range(3 if FULL else 1)), key=lambda ms: (isinstance(ms, str), ms))
    if isinstance(longest, str):
        case(False, "%s: %s" % (kind, name), longest)
        return
    text = "%s: %s: a stop is heard after %.0f ms" % (kind, name, longest)
    case(longest <= bound, text + (" (at most %d: %s)" % (bound, why) if why else ""), "more than %d ms" % bound)


def environment(folder):
    write(folder, "env.lua", META + ENVIRONMENT)
    run = subprocess.run([WF, "run", "env.lua", "--model", "rules:answers.lua", "--yes"], cwd=folder, capture_output=True, text=True)
    known = {name.split()[0] for name in list(LUA) + list(SCRIPT)}
    missing = [name for name in run.stdout.split() if name not in known]
    case(run.returncode == 0 and len(run.stdout.split()) > 80 and not missing, "each function of the script API is measured here",
         "no work is here for: %s\n%s" % (" ".join(missing), run.stderr))


def main():
    signal.signal(signal.SIGINT, signal.default_int_handler)  # who ignores it makes its children do so
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_STATE_HOME"] = os.path.join(folder, "state")
        write(folder, "answers.lua", ANSWERS)
        write(folder, "sub.lua", 'meta = { name = "s", description = "d" } return #args')
        write(folder, "big.txt", "x\n" * 5000000)
        environment(folder)
        pattern = re.compile(sys.argv[1] if len(sys.argv) > 1 else ".")
        chosen = lambda names, few: [n for n in names if (FULL or len(sys.argv) > 1 or n in few) and pattern.search(n)]
        both = dict(LUA, **SCRIPT)
        for name in chosen(both, FEW):
            write(folder, "t.lua", BUSY % both[name][:2])
            measure("run", name, both[name], folder, ["run", "t.lua", "--model", "rules:answers.lua", "--yes", "--allow", "read,exec"])
        for name in chosen(both, FEW_ELSEWHERE):
            write(folder, "t.lua", BUSY % both[name][:2])
            measure("check", name, both[name], folder, ["check", "t.lua", "--allow", "read,exec"])
        for name in chosen(LUA, FEW_ELSEWHERE):
            write(folder, "t.lua", ASKING)
            write(folder, "model.lua", MODEL % ((LIB,) + LUA[name][:2]))
            measure("rules", name, LUA[name], folder, ["run", "t.lua", "--model", "rules:model.lua", "--yes"])
            write(folder, "t.lua", LOADING)
            write(folder, "model.lua", LOADED % ((LIB,) + LUA[name][:2]))
            measure("loading", name, LUA[name], folder, ["run", "t.lua", "--model", "rules:answers.lua", "--yes"])
    return done()


if __name__ == "__main__":
    sys.exit(main())

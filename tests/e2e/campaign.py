#!/usr/bin/env python3
"""Random workflows in a random world, with the real command: killed, stopped, edited and resumed until they end.

What the model's server counted and what the commands left decides, not the log: no reply that was heard is asked for again,
but for those in flight at a kill; no command leaves its line twice; no more tokens are billed than the budget; nothing is asked
after a stop; and the result is that of a run which nothing disturbed. tests/script/test_campaign.c is the same on fakes, in more
detail. WF is the command; WF_CAMPAIGN=full: 400 cases; WF_SEED=N repeats one case (as far as time allows).
"""
import collections
import concurrent.futures
import http.server
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

from lib.tap import case, done

WF = os.path.abspath(os.environ.get("WF", "build/wf"))
FULL = os.environ.get("WF_CAMPAIGN") == "full"
ONE = os.environ.get("WF_SEED")
CASES = 400 if FULL else 14
WORKERS = 3
MODEL = "anthropic:claude-haiku-4-5"
LIMITS = {"--agents": "1000", "--deadline": "1h", "--budget-tokens": "100000000"}
STOPS = ("none", "none", "signal", "deadline", "tokens", "agents", "quota", "auth")

HEAD = """meta = { name = "c", description = "random" }
local v, sfx = "start", ""
local function text(x) return (string.gsub(string.sub(type(x) == "table" and json.encode(x) or tostring(x), 1, 80), "[^%w.]", "_")) end
local function got(x, e) if x == nil then return e.kind end return text(x) end
local function ran(id) local r, e = exec("sleep 0.00" .. #id % 9 .. "; echo " .. id .. " >>effects") return r == nil and e.stop and e.kind or "ran" end
"""


class Script:
    """Statements that follow from seed and number alone, so that an edit of one changes no other."""

    def __init__(self, seed):
        self.seed, self.edits = seed, []
        self.steps = 1 + random.Random(seed).randrange(3)

    def edit(self, chance):
        kind = chance.choice(("line", "agent", "drop", "mark", "all", "inner"))
        self.edits.append((kind, chance.randrange(self.steps)))

    def write(self):
        return HEAD + "".join(self.statement(i) for i in range(self.steps)) + "return { v }\n"

    def statement(self, i):
        self.chance, self.calls, self.step = random.Random(self.seed * 31 + i), 0, i
        mine = [kind for kind, at in self.edits if at == i]
        self.mark, self.all = "m" * mine.count("mark"), "all" in mine
        out = ["log('edited')\n"] * mine.count("line")
        out += ["agent('b%d_%d | x')\n" % (i, n) for n in range(mine.count("agent"))]
        if "drop" in mine:
            return "".join(out)
        body = self.fan_out(0) + self.block(0, self.chance.randrange(3))
        return "".join(out) + ("parallel({ function()\n%send })\n" if "inner" in mine else "do\n%send\n") % body

    def name(self, kind):
        self.calls += 1
        return "'%s%d_%d%s' .. sfx" % (kind, self.step, self.calls, self.mark)

    def agent(self, flags):
        return "v = got(agent(%s .. ' %s| ' .. v))\n" % (self.name("a"), flags)

    def call(self):
        kind = self.chance.randrange(7)
        if kind < 2:
            return "v = ran(%s) .. v\n" % self.name("x")
        if kind == 2:
            return "v = got(ask(%s, { default = 'yes' }))\n" % self.name("q")
        if kind == 3:
            return "v = text(read('note.txt')) .. #files('*.txt')\n"
        return self.agent(self.chance.choice(("", "", "", "t", "tt", "c", "c", "r", "e", "f")))

    def fan_out(self, depth):
        kind, c = self.chance.randrange(4), self.chance
        if kind == 0:
            branches = "".join("function() return agent(%s .. ' %s| ' .. v) end,\n" % (self.name("a"), flags) for flags in ("z", "ef" if self.all else "w"))
            return "v = text(%s({\n%s}))\n" % ("parallel" if self.all else "race", branches)
        if kind == 1:
            return ("v = text(pipeline({ 'a', 'b', 'c' }, function(x, _, i) local v, sfx = v, sfx .. '.' .. i %sreturn v end, "
                    "function(v, _, i) local sfx = sfx .. '.' .. i %sreturn v end))\n" % (self.block(depth + 1, 1), self.block(depth + 1, 1)))
        return "v = text(parallel({\n%s}))\n" % "".join("function() local v = v %sreturn v end,\n" % self.block(depth + 1, 1 + c.randrange(2))
                                                       for _ in range(2 + c.randrange(3)))

    def block(self, depth, count):
        return "".join(self.fan_out(depth) if depth < 2 and self.calls < 8 and self.chance.randrange(4) == 0 else self.call()
                       for _ in range(count))


class World(http.server.ThreadingHTTPServer):
    """The model, what it was asked, and what it sent whole."""
    daemon_threads = True
    request_queue_size = 64

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Model)
        self.lock = threading.Lock()
        self.case = 0
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.anew()

    def handle_error(self, *_):
        pass # who is asked is killed now and then

    def anew(self):
        with self.lock:
            self.heard = {} # (prompt, turn): the life in which its reply was sent whole
            self.ends = {} # of a life: "order", or "cut" with replies on their way
            self.again = collections.defaultdict(set) # by life: what was asked for again that was sent whole in it
            self.tries = collections.Counter()
            self.billed = self.requests = self.life = 0
            self.faults, self.lenient, self.wrong = False, False, []
            self.case += 1
            self.begin("none", 0, None)

    def url(self):
        """It tells who asks: what a process that was killed had sent may be read when the next one is there."""
        return "http://127.0.0.1:%d/%d/%d" % (self.server_address[1], self.case, self.life)

    def begin(self, stop, at, hook):
        """A life: what happens at the at-th of its requests."""
        self.life += 1
        self.stop, self.at, self.hook, self.count = stop, at, hook, 0

    def judge(self, prompt, turn, life):
        """Of a request that has come: whether it may."""
        before = self.heard.get((prompt, turn))
        if before is None:
            return
        self.again[before].add((prompt, turn))
        refused = "r" in flags_of(prompt) and self.lenient
        if self.ends.get(before) != "cut" and not refused:
            self.wrong.append("life %d: turn %d of \"%s\" was heard in life %d, and is asked for again" % (life, turn, prompt, before))


def flags_of(prompt):
    return prompt.split("|")[0].split(" ", 1)[1]


class Model(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        world, body = self.server, self.rfile.read(int(self.headers["content-length"]))
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        request = json.loads(body)
        prompt = request["messages"][0]["content"][0]["text"]
        turn = sum(m["role"] == "assistant" for m in request["messages"])
        flags = flags_of(prompt)
        mine = tuple(map(int, self.path.split("/")[1:3]))
        with world.lock:
            now = mine == (world.case, world.life)
            if mine[0] != world.case:
                return None
            world.requests += 1
            world.count += now
            count, hook = world.count, world.hook
            world.tries[prompt, turn] += 1
            tries = world.tries[prompt, turn]
            world.judge(prompt, turn, mine[1])
        if hook and now and count == world.at:
            hook()
        if now and world.stop in ("quota", "auth") and count >= world.at:
            return self.fail(402 if world.stop == "quota" else 401)
        time.sleep(3 if "w" in flags else (hash_of(prompt) % 12) / 1000)
        fault = random.Random("%s %d %d" % (prompt, turn, tries)).randrange(24)
        if world.faults and tries < 3 and "z" not in flags and fault < 3:
            if fault == 0:
                return self.fail(529)
            if fault == 1:
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return None
        else:
            fault = None
        lowered = request["max_tokens"] < 3000 # to what a budget left: too little, say
        if "e" in flags or "w" in flags: # who loses a race could not win it
            return self.fail(400)
        return self.reply(prompt, turn, flags, len(body), cut=fault == 2, lowered=lowered, mine=mine)

    def fail(self, status):
        text = json.dumps({"type": "error", "error": {"type": "x", "message": "as wished"}}).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def reply(self, prompt, turn, flags, size, cut, lowered, mine):
        name = prompt.split(" ")[0]
        block = {"type": "text", "text": "%s_%d" % (name, hash_of(prompt))}
        if flags.count("t") + flags.count("c") > turn:
            tool = ("bash", {"command": "sleep 0.003; echo %s.%d.%d >>effects" % (name, turn, hash_of(prompt))})
            tool = tool if "c" in flags else ("read", {"path": "note.txt"})
            block = {"type": "tool_use", "id": "u%d" % turn, "name": tool[0], "input": tool[1]}
        use = block["type"] == "tool_use"
        delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])} if use else {"type": "text_delta", "text": block["text"]}
        usage = {"input_tokens": size // 4, "output_tokens": 1}
        start = {**block, "input": {}} if use else {"type": "text", "text": ""}
        reason = "max_tokens" if lowered else "tool_use" if use else "refusal" if "r" in flags else "end_turn"
        events = [{"type": "message_start", "message": {"id": "m", "type": "message", "role": "assistant", "content": [], "usage": usage}},
                  {"type": "content_block_start", "index": 0, "content_block": start},
                  {"type": "content_block_delta", "index": 0, "delta": delta}, {"type": "content_block_stop", "index": 0},
                  {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": 9}}, {"type": "message_stop"}]
        text = "".join("event: %s\ndata: %s\n\n" % (e["type"], json.dumps(e)) for e in events).encode()
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        world = self.server
        with world.lock: # before another process can ask: it is sent, whether or not somebody reads it
            if world.case != mine[0]:
                return
            world.billed += size // 4 + (0 if cut else 9)
            if not cut and not lowered:
                world.heard[prompt, turn] = mine[1]
        self.wfile.write(text[:len(text) // 2] if cut else text)
        self.wfile.flush()
        self.close_connection |= cut


def hash_of(text):
    value = 0
    for c in text:
        value = (value * 31 + ord(c)) % 1000003
    return value


class Run:
    """A script's run in a folder of its own, life after life."""

    def __init__(self, world, script, folder):
        self.world, self.script, self.folder = world, script, folder
        self.log = os.path.join(folder, "run.wflog")
        self.edited = True
        os.makedirs(os.path.join(folder, "root"))
        with open(os.path.join(folder, "root", "note.txt"), "w") as f:
            f.write("a note\n")

    def start(self, *options):
        with open(os.path.join(self.folder, "c.lua"), "w") as f:
            f.write(self.script.write())
        command = [WF, "run", "../c.lua", "--log", self.log, "--model", MODEL, "--allow", "read,write,bash,exec"]
        if not self.edited and os.path.exists(self.log):
            command = [WF, "resume", self.log]
        self.edited = False
        env = {"PATH": os.environ["PATH"], "HOME": self.folder, "ANTHROPIC_API_KEY": "sk-ant-TEST", "ANTHROPIC_BASE_URL": self.world.url()}
        return subprocess.Popen([*command, "--yes", "--quiet", *options], cwd=os.path.join(self.folder, "root"), env=env,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def finish(self, process):
        try:
            out, err = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            raise AssertionError("a life that does not end: " + err.decode(errors="replace")[-1000:]) from None
        return process.returncode, out, err.decode(errors="replace")

    def repeated(self):
        try:
            with open(os.path.join(self.folder, "root", "effects")) as f:
                return [line for line, n in collections.Counter(f.read().split()).items() if n > 1]
        except FileNotFoundError:
            return []


TOTAL = collections.Counter()


class Case:
    def __init__(self, seed, world, work):
        self.seed, self.world, self.chance = seed, world, random.Random(seed)
        self.script = Script(seed)
        self.run = Run(world, self.script, os.path.join(work, "c%d" % seed))
        self.trail, self.budget, self.agents, self.edits = [], 0, 0, 0

    def undisturbed(self, name):
        self.world.anew()
        run = Run(self.world, self.script, self.run.folder + name)
        began = time.monotonic()
        code, out, err = run.finish(run.start())
        expect(code in (0, 3), "undisturbed: exit %d: %s" % (code, err[-500:]))
        return out, self.world.requests, self.world.billed, time.monotonic() - began

    def life(self, length, requests):
        """One that may be cut, stopped, or both."""
        chance, world = self.chance, self.world
        stop, at = chance.choice(STOPS), 1 + chance.randrange(requests + 1)
        if stop == "auth": # after an answer it is a failure of one agent, and no stop
            at = 1
        kill = chance.choice(("request", "late", "time")) if stop == "none" or chance.random() < 0.25 else "no"
        lanes = 2 + chance.randrange(5)
        limits = dict(LIMITS)
        if stop == "deadline":
            limits["--deadline"] = "%dms" % (1 + chance.random() * length * 1000)
        if stop == "tokens":
            self.budget = world.billed + 2000 + chance.randrange(1 + requests * 3000)
            limits["--budget-tokens"] = str(self.budget)
        if stop == "agents":
            self.agents += 1 + chance.randrange(requests + 1)
            limits["--agents"] = str(self.agents)
        retries = chance.random() < 0.1
        options = ["--lanes", str(lanes), *sum(limits.items(), ())] + ["--retry-failed"] * retries
        world.lenient |= retries
        self.trail.append("life %d: stop %s at %d, kill %s, %s" % (world.life + 1, stop, at, kill, " ".join(options)))
        end = {"process": None}
        sure = signal.SIGKILL if kill != "no" else signal.SIGINT

        def strike():
            for _ in range(1000):
                if end["process"]:
                    break
                time.sleep(0.001)
            if kill == "late":
                time.sleep(random.random() * 0.02)
            end["process"].send_signal(sure)

        hook = strike if stop == "signal" or kill in ("request", "late") else None
        with world.lock:
            world.faults = chance.random() < 0.5
            world.begin(stop, at, hook)
        end["process"] = process = self.run.start(*options)
        if kill == "time":
            timer = threading.Timer(chance.random() * length * 1.2, process.kill)
            timer.start()
        code, _, err = self.run.finish(process)
        if kill == "time":
            timer.cancel()
        cut = code == -signal.SIGKILL or code in (6, 7)
        with world.lock:
            world.ends[world.life] = "cut" if cut else "order"
        TOTAL["kills"] += code == -signal.SIGKILL
        TOTAL["stops"] += code in (5, 6, 7, 75, 78)
        self.trail[-1] += ": exit %d, %d requests" % (code, world.count)
        expect(code in (-signal.SIGKILL, 0, 3, 5, 6, 7, 75, 78), "exit %d: %s" % (code, err[-500:]))
        if stop == "tokens":
            expect(world.billed <= self.budget, "%d tokens were billed, the budget was %d" % (world.billed, self.budget))
        self.lanes[world.life] = lanes

    def play(self):
        self.lanes = {}
        want, requests, _, length = self.undisturbed("w")
        self.world.anew()
        for _ in range(1 + self.chance.randrange(4)):
            self.life(length, requests)
            if self.chance.random() < 0.25:
                self.script.edit(self.chance)
                self.edits += 1
                self.run.edited = self.world.lenient = True
        with self.world.lock:
            self.world.begin("none", 0, None)
        code, out, err = self.run.finish(self.run.start(*sum(LIMITS.items(), ())))
        expect(code in (0, 3), "the last life: exit %d: %s" % (code, err[-500:]))
        asked = self.world.requests
        again = self.run.finish(self.run.start())
        expect(again[0] == code and again[1] == out and self.world.requests == asked, "a finished log, resumed: exit %d, %r" % again[:2])
        for life, asked_again in self.world.again.items():
            if self.world.ends.get(life) == "cut" and len(asked_again) > self.lanes[life]:
                self.world.wrong.append("%d replies of life %d were asked for again, it had %d lanes"
                                        % (len(asked_again), life, self.lanes[life]))
        expect(not self.world.wrong, *self.world.wrong[:5])
        expect(not self.run.repeated(), "done twice: %s" % self.run.repeated())
        TOTAL["requests"] += asked
        TOTAL["edits"] += self.edits
        if self.edits:
            want = self.undisturbed("e")[0]
        expect(out == want, "the result is\n%s\nand of an undisturbed run\n%s" % (out, want))


def expect(good, *notes):
    if not good:
        raise AssertionError("\n".join(notes))


def play(seed, world, work):
    """What is wrong with one case; empty: nothing."""
    one = Case(seed, world, work)
    try:
        one.play()
        shutil.rmtree(one.run.folder)
        return ""
    except AssertionError as wrong:
        return "WF_SEED=%d repeats it\n%s\n%s\n%s" % (seed, wrong, "\n".join(one.trail), one.script.write() if ONE else "")


def main():
    work = tempfile.mkdtemp(prefix="wf-campaign-")
    seeds = iter([int(ONE)] if ONE else range(1, CASES + 1))
    lock = threading.Lock()

    def worker(_):
        world, wrong = World(), []
        while True:
            with lock:
                seed = next(seeds, None)
            if seed is None:
                break
            wrong += filter(None, [play(seed, world, work)])
            TOTAL["cases"] += 1
        world.shutdown()
        return wrong

    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        wrong = sum(pool.map(worker, range(1 if ONE else WORKERS)), [])
    case(not wrong, ", ".join("%d %s" % (TOTAL[name], name) for name in ("cases", "requests", "kills", "stops", "edits")),
         "\n\n".join(wrong[:5]))
    case(TOTAL["kills"] + TOTAL["stops"] > TOTAL["cases"] // 2 or ONE, "the lives were cut")
    if wrong:
        print("# their folders are kept in " + work)
    else:
        shutil.rmtree(work)
    return done()


sys.exit(main())

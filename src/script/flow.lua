-- The part of the script API that starts work and waits for it: agent, parallel, pipeline, race, phase, log, budget, now. Runs
-- once, before the script, with two tables: `host`, private, and `env`, the script's globals. What the other parts need of it goes
-- into host.
--
-- A branch is a coroutine of the host's. It has a path, its logical place in the script: every call, effect and fan-out in it
-- takes the next number of the branch (1, 2, ...), and branch i of fan-out n has the path "n[i]" below its parent's. So a
-- place is the same in every run of the same script, whatever finishes when.

local host, env = ...
local fail, branch_call, branch_effect, block, wake = host.fail, host.agent, host.effect, host.block, host.wake
local near, workflow_now = host.near, host.workflow
local spawn, start, kill, self, scope = host.spawn, host.start, host.kill, host.self, host.scope
local short, drop, note, phase_now = host.short, host.drop, host.note, host.phase
local reject, count_error, status, refuses = host.reject, host.count_error, host.status, host.refuses
local try, names_line, metamethod = host.try, host.names_line, host.metamethod
local check_schema, random_bits = host.check_schema, host.random
local pcall = host.pcall
local error, rawget, setmetatable, tostring, type = env.error, env.rawget, env.setmetatable, env.tostring, env.type
local select, pairs, null = env.select, env.pairs, env.null
local format, match, sub = env.string.format, env.string.match, env.string.sub
local encode, array = env.json.encode, env.json.array
local pack, unpack, concat = env.table.pack, env.table.unpack, env.table.concat
local huge, tointeger, math_type, floor = env.math.huge, env.math.tointeger, env.math.type, env.math.floor
local maxinteger = env.math.maxinteger

local ITEMS_MAX = 100000 -- of one fan-out
-- Branches of one fan-out that have begun and not ended: they cost memory. No power of two, which would fill the tables they are
-- kept in to the brim, where each insertion makes Lua lay the table out anew.
local LIVE_MAX = 1280
local LINE, PHASE, ERROR = 0, 1, 2 -- kinds of notes

---- errors ---------------------------------------------------------------------------------------------------------------

local function failure_text(e)
    return tostring(e.kind) .. ": " .. tostring(e.message)
end

-- counted: the census has it, so raising it on is no new error.
local failure_meta = { __tostring = failure_text, __name = "error", counted = true }
local uncounted_meta = { __tostring = failure_text, __name = "error" } -- an effect's, or one that was only returned

-- stop: the run has stopped; a resume will ask for it.
local function failure(kind, message, agent, attempts, meta, stop)
    local e = { kind = kind, message = message, agent = agent, attempts = attempts, stop = stop or nil }
    return setmetatable(e, meta or failure_meta)
end

local function is_failure(e)
    return type(e) == "table" and rawget(e, "kind") ~= nil
end

local function text_of(e)
    local ok, message = pcall(tostring, e)
    return ok and message or "an error whose __tostring raises an error"
end

-- What a branch raised or returned, as the table that scripts are promised.
local function as_failure(e, meta)
    return is_failure(e) and e or failure("script", text_of(e), nil, nil, meta)
end

local refused = false -- the script knows that the run stops; what branches raise then is its doing

-- The error of a call that was not answered.
local function unanswered(kind, message, agent, attempts, stop, meta)
    refused = refused or stop
    return failure(kind, message, agent, attempts, meta, stop)
end

-- The error that n calls would meet now, as the run has stopped; nil: it has not.
local function stopped(n)
    local kind, message = refuses(n)
    return kind and unanswered(kind, message, nil, nil, true)
end

-- The text of what a branch raised, with its line.
local function describe(e, where)
    local message
    if type(e) == "table" and type(rawget(e, "message")) == "string" then
        local kind = rawget(e, "kind")
        message = rawget(e, "message")
        if kind ~= nil and kind ~= "script" then message = tostring(kind) .. ": " .. message end
    elseif type(e) == "string" or metamethod(e, "__tostring") ~= nil then
        message = text_of(e)
    else
        message = format("an error without a message: %s", type(e) == "table" and "a table" or tostring(e))
    end
    return names_line(message) and message or where .. message
end

local SAID_MAX, SAID_BYTES = 20, 2000
local said, said_count = {}, 0

-- A mistake of the script ended a branch: it is counted, and shown once, for many branches make the same one.
local function script_error(e, where)
    if refused or metamethod(e, "counted") then return end
    count_error()
    if said_count > SAID_MAX then return end
    local message = sub(describe(e, where), 1, SAID_BYTES)
    if said[message] then return end
    said[message], said_count = true, said_count + 1
    note(ERROR, said_count <= SAID_MAX and message or "more of them, which are only counted")
end

---- meta and args ------------------------------------------------------------------------------------------------------------

-- { tokens, usd } -> whole tokens and billionths of a dollar
local function read_budget(v, whose)
    if type(v) ~= "table" then fail(whose .. "budget takes a table, such as { tokens = 50000 }") end
    for unit, n in pairs(v) do
        if unit ~= "tokens" and unit ~= "usd" then fail(format("%sbudget knows tokens and usd, not '%s'", whose, tostring(unit))) end
        local least = unit == "usd" and 1e-9 or 1 -- less would round to nothing, which is no budget at all
        if type(n) ~= "number" or not (n >= least and n < 1e9) then
            fail(format("%sbudget.%s takes a number from %g to a billion", whose, unit, least))
        end
    end
    return { tokens = v.tokens and floor(v.tokens), nano = v.usd and floor(v.usd * 1e9) }
end

local main = { globals = env } -- the script; a workflow that it runs has a table of its own (agents.lua)

-- where: before the message, once no line of the script is running that the message could name.
local function check_meta(where)
    local flow = workflow_now() or main
    if flow.checked then return end
    local meta = rawget(flow.globals, "meta")
    if type(meta) ~= "table" or type(meta.name) ~= "string" or type(meta.description) ~= "string" then
        fail((where or "") .. 'the script has no meta: let it begin with  meta = { name = "...", description = "..." }')
    end
    if meta.budget ~= nil then
        local budget = read_budget(meta.budget, "meta.")
        if flow == main then host.cap(budget.tokens, budget.nano) end -- a workflow inside has no budget but the run's
    end
    if meta.args ~= nil then
        local why = check_schema(encode(meta.args), encode(rawget(flow.globals, "args")))
        if why then fail("args do not match meta.args: " .. why) end
    end
    flow.checked = true
end

---- options --------------------------------------------------------------------------------------------------------------------

local DURATION_MAX = 4000000 -- seconds; a little less than 2^32 ms

-- Readers of one option each: (value, name, whose option it is) -> what the host takes.

local function duration(v, name, whose)
    if type(v) == "number" and v >= 0.001 and v < DURATION_MAX then return floor(v * 1000) end
    local n, unit
    if type(v) == "string" then n, unit = match(v, "^(%d+)(m?[smh])$") end
    local scale = unit and ({ ms = 1, s = 1000, m = 60000, h = 3600000 })[unit]
    n = scale and tointeger(n)
    if not n or n < 1 or n * scale > DURATION_MAX * 1000 then
        fail(format("%s: %s takes seconds up to %d, or a text such as \"90s\", \"5m\" or \"2h\"", whose, name, DURATION_MAX))
    end
    return n * scale
end

local function count(v, name, whose, least)
    local n = math_type(v) and tointeger(v)
    least = least or 1
    if not n or n < least or n > 1 << 30 then fail(format("%s: %s takes a whole number from %d up", whose, name, least)) end
    return n
end

local function retries(v, name, whose)
    local n = count(v, name, whose, 0)
    return n > 0 and n or 0xffffffff -- none; the host takes 0 for "as the run"
end

local function text(v, name, whose)
    if type(v) ~= "string" then fail(format("%s: %s takes a text, got %s", whose, name, type(v))) end
    return v
end

-- A misspelt one would be passed over by some models, and refused by others after it has been sent.
local EFFORTS = { low = true, medium = true, high = true, xhigh = true, max = true }

local function effort(v, name, whose)
    if not EFFORTS[v] then fail(format('%s: %s takes "low", "medium", "high", "xhigh" or "max"', whose, name)) end
    return v
end

local function names(v, name, whose)
    if type(v) == "string" then v = { v } end
    local fine, n = type(v) == "table", 0
    for _ in pairs(fine and v or {}) do n = n + 1 end
    fine = fine and n == #v -- { read = true } is no list, and not an empty one
    for i = 1, fine and n or 0 do fine = fine and type(v[i]) == "string" and v[i] ~= "" end
    if not fine then fail(format("%s: %s takes a list of names", whose, name)) end
    return n == 0 and "none" or concat(v, ",")
end

-- What has been named. Schemas may be made for each agent, so what is kept of them must not grow with their number.
local IGNORED_MAX = 100
local ignored_seen, ignored_count = {}, 0

-- The schema as JSON. Keywords that nobody will check are named once, so that nobody relies on them.
local function schema_text(v)
    if type(v) ~= "table" then fail("agent: schema takes a table") end
    local schema = encode(v)
    local ignored = host.schema_ignored(schema)
    if ignored and not ignored_seen[ignored] and ignored_count < IGNORED_MAX then
        ignored_seen[ignored] = true
        ignored_count = ignored_count + 1
        note(LINE, "schema: not checked: " .. ignored)
    end
    return schema
end

local function boolean(v, name, whose)
    if type(v) ~= "boolean" then fail(format("%s: %s takes true or false", whose, name)) end
    return v
end

local function callback(v, name, whose)
    if type(v) ~= "function" then fail(format("%s: %s takes a function", whose, name)) end
    return v
end

-- Options of a call, by readers for each; false instead of a reader: it belongs to a later stage.
local function read_options(opts, readers, whose)
    local out = {}
    if opts == nil then return out end
    if type(opts) ~= "table" then fail(format("%s: options take a table, got %s", whose, type(opts))) end
    for name, value in pairs(opts) do
        local read = readers[name]
        if read == false then fail(format("%s: the option '%s' is not in this build yet", whose, name)) end
        if not read then fail(format("%s: there is no option '%s'%s", whose, tostring(name), near(tostring(name), readers))) end
        out[name] = read(value, name, whose)
    end
    return out
end

---- effects ----------------------------------------------------------------------------------------------------------------------

-- An effect: its answer, or nil and an error. ms: its deadline, nil for an agent's. changes: it changes the world, and so is
-- never begun twice; reads: it only reads, and is answered after a stop too.
local function run_effect(name, input, ms, changes, reads)
    local kind, value, agent, attempts, stop = branch_effect(name, encode(input), ms, changes, reads)
    if kind == "none" then return value end
    return nil, unanswered(kind, value, agent, attempts, stop, not stop and uncounted_meta)
end

---- agent ------------------------------------------------------------------------------------------------------------------------

local REJECTIONS_MAX = 2

-- What makes the call the same call again: what the script wrote, and the text of the agent type that it names, but nothing that
-- the run's flags have made of it; nor limits, labels and phases. Large, so nobody keeps it.
local function identity(prompt, o, source)
    local parts = array({ prompt, o.schema or null, o.model or null, o.effort or null, o.system or null, o.tools or null, o.cwd or null })
    if source then
        parts[#parts + 1] = o.agent_type
        parts[#parts + 1] = source
    end
    return encode(parts)
end

-- The options as the agent type completes them, and the text of the type.
local function complete(o)
    if not o.agent_type then return o end
    local all, source = host.agent_type(o.agent_type)
    for option, value in pairs(o) do all[option] = value end
    return all, source
end

-- written: the options as the script wrote them, source: the text of its agent type; o: complete.
local function answer(prompt, written, source, o, phase)
    local kind, value, agent, attempts, stop = branch_call(prompt, identity(prompt, written, source), o.label, phase, o.schema, o.model, o.effort, o.system,
        o.tools, o.max_turns, o.max_tokens, o.retries, o.deadline, o.stall, o.cache == false,
        o.budget and o.budget.tokens, o.budget and o.budget.nano, o.cwd)
    if kind == "none" then return value, nil, agent, attempts end
    return nil, unanswered(kind, value, agent, attempts, stop)
end

local AGENT_OPTIONS = {
    label = text, phase = text, model = text, effort = effort, system = text, schema = schema_text, tools = names,
    max_turns = count, max_tokens = count, retries = retries, deadline = duration, stall = duration,
    cache = boolean, check = callback, cwd = text, agent_type = text, isolation = false,
    budget = function(v) return read_budget(v, "agent: ") end,
}

function env.agent(prompt, opts)
    if type(prompt) ~= "string" then fail("agent: the prompt takes a text, got " .. type(prompt)) end
    check_meta()
    local written = read_options(opts, AGENT_OPTIONS, "agent")
    local o, source = complete(written)
    if host.rules() < 2 then written, source = o, nil end
    host.agent_begins()
    local phase = o.phase or phase_now()
    local question, value, e, id, attempts = prompt, nil, nil, nil, nil
    for _ = 0, REJECTIONS_MAX do
        value, e, id, attempts = answer(question, written, source, o, phase)
        if e then return nil, e end
        if not o.check then return value end
        local fine, reason = o.check(value)
        if fine then return value end
        reason = tostring(reason or "the answer was rejected")
        e = failure("schema", "rejected by check: " .. reason, id, attempts)
        question = format("%s\n\nAn earlier answer was rejected: %s\nThat answer was: %s", prompt, reason,
            type(value) == "string" and value or encode(value))
    end
    reject()
    note(LINE, format("%s: %s", o.label or "an agent", e.message))
    return nil, e
end

---- fan-outs -----------------------------------------------------------------------------------------------------------------------

local function check_list(t, name)
    if type(t) ~= "table" then fail(format("%s takes a list, got %s", name, type(t))) end
    local n = #t
    if math_type(n) ~= "integer" then fail(format("%s: the length of the list is no whole number", name)) end
    if n > ITEMS_MAX then fail(format("%s: %d items, more than the limit of %d for one fan-out", name, n, ITEMS_MAX)) end
    return n
end

local function check_functions(t, name)
    local n = check_list(t, name)
    for i = 1, n do
        if type(t[i]) ~= "function" then fail(format("%s: item %d is no function but a %s", name, i, type(t[i]))) end
    end
    return n
end

-- Runs body(i) in a branch of its own for i = 1..n, each branch at once as far as the limit allows, and waits for all of them.
-- done(i, ok, ...) gets what a body returned, or what it raised and the line; if it returns true, the rest is cancelled. place:
-- the next one of this branch, unless it is given. After a stop no further branch begins: done gets nil and the stop's error.
local function fan_out(n, body, done, place)
    local me, live, begun, running, over = self(), {}, 0, 0, false
    place = place or scope()
    local function cancel_rest()
        over = true
        for i = 1, begun do -- nothing here allocates: memory may be what ran out
            if live[i] then kill(live[i]) end
        end
    end
    -- Each runs until it waits before the next begins, so that memory is not filled by branches that only stand in line.
    -- Answers whether it stopped for want of memory.
    local function launch()
        while not over and running < LIVE_MAX and begun < n do
            local stop = stopped(n - begun)
            if stop then
                for i = begun + 1, n do done(i, true, nil, stop) end
                n = begun
                return
            end
            if running > 0 and short() then return true end
            begun = begun + 1
            running = running + 1
            local i = begun
            live[i] = false -- room for it, before there is something to lose
            spawn(place, i, function()
                live[i] = self() -- not by who spawns it: that may be pre-empted, and come back when this has ended
                local result = pack(try(body, i))
                live[i] = nil
                running = running - 1
                if done(i, unpack(result, 1, result.n)) then cancel_rest() end
                wake(me)
            end)
            start()
        end
    end
    while true do
        local ok, held = pcall(launch)
        if not ok then
            cancel_rest() -- else they would go on, and be paid for, with nobody to wait for them
            error(held, 0)
        end
        if running == 0 or over then return end
        block(held)
    end
end

-- Sorts out how a branch ended. A raise (then e is the line), or nil and an error: failed. A bare nil: dropped on purpose.
local function judge(ok, value, e)
    if not ok then
        script_error(value, e)
        return "failed", as_failure(value)
    end
    if value ~= nil then return "value", value end
    if e ~= nil then return "failed", as_failure(e, uncounted_meta) end
    return "dropped"
end

-- A list of { index, error } of n branches. It also has at[i] and dropped[i], and the kind and message
-- of an error, without these being among its items.
local function failure_list(list, at, dropped, n)
    local e = list[1] and list[1].error
    local kind, message = e and rawget(e, "kind"), format("%d of %d failed", #list, n)
    if e then message = format("%s: %s: %s", message, tostring(kind), tostring(rawget(e, "message"))) end
    local fields, counted = { at = at, dropped = dropped, kind = kind, message = message }, #list > 0
    for i = 1, #list do counted = counted and metamethod(list[i].error, "counted") end
    local meta = { __index = fields, __tostring = function() return message end, counted = counted }
    return setmetatable(list, array(meta))
end

-- Runs the bodies and sorts out how they ended: value(i, v) gets what succeeded, and may answer true to cancel the rest.
-- Answers the failures.
local function collect(n, body, value)
    local failures, at, dropped = {}, {}, {}
    fan_out(n, body, function(i, ...)
        local how, what = judge(...)
        if how == "value" then return value(i, what) end
        if how == "failed" then
            at[i] = what
        else
            dropped[i] = true
            drop()
        end
    end)
    for i, e in pairs(at) do failures[#failures + 1] = { index = i, error = e } end
    return failure_list(failures, at, dropped, n)
end

local function collect_all(n, body)
    local results = array({})
    for i = 1, n do results[i] = false end
    local failures = collect(n, body, function(i, v) results[i] = v end)
    return results, failures
end

function env.parallel(fns)
    local n = check_functions(fns, "parallel")
    return collect_all(n, function(i) return fns[i]() end)
end

function env.pipeline(items, ...)
    local n, stages = check_list(items, "pipeline"), pack(...)
    for s = 1, stages.n do
        if type(stages[s]) ~= "function" then fail(format("pipeline: stage %d is no function but a %s", s, type(stages[s]))) end
    end
    return collect_all(n, function(i)
        local item, value, e = items[i], items[i], nil
        for s = 1, stages.n do
            value, e = stages[s](value, item, i)
            if value == nil then return nil, e end
        end
        return value
    end)
end

function env.race(fns)
    local n = check_functions(fns, "race")
    local winner, index
    local failures = collect(n, function(i) return fns[i]() end, function(i, v)
        winner, index = v, i
        return true
    end)
    if index then return winner, index end
    return nil, failures
end

---- the rest --------------------------------------------------------------------------------------------------------------------

function env.phase(title)
    if type(title) ~= "string" then fail("phase: the title takes a text, got " .. type(title)) end
    phase_now(title)
    note(PHASE, title)
end

function env.log(fmt, ...)
    note(LINE, select("#", ...) > 0 and format(fmt, ...) or tostring(fmt))
end

env.budget = {}
for name, index in pairs({ total = 1, spent = 2, remaining = 3 }) do
    env.budget[name] = function(unit)
        local total, spent = status(type(unit) == "string" and unit or "")
        if not spent then fail(format("budget.%s takes \"usd\", \"tokens\" or \"seconds\"", name)) end
        if index == 1 then return total end
        if index == 2 then return spent end
        return total and total - spent or huge
    end
end

function env.now()
    local _, _, now = status("seconds")
    return now
end

-- As math.random of the standard library, but the same again on every replay.
function env.random(m, n)
    if m == nil then return (random_bits() >> 11) * (0.5 ^ 53) end
    if n == nil then m, n = 1, m end
    m, n = tointeger(m), tointeger(n)
    if not m or not n or m > n then fail("random takes whole numbers m and n with m <= n") end
    local span = n - m + 1
    if span <= 0 then return random_bits() end -- the whole range of integers
    return m + (random_bits() & maxinteger) % span
end

for _, name in pairs({ "agent", "parallel", "pipeline", "race", "phase", "log", "random" }) do
    env[name] = host.front(env[name])
end
env.math.random = env.random

host.check_meta, host.run_effect, host.read_options, host.fan_out = check_meta, run_effect, read_options, fan_out
host.text, host.duration, host.failure, host.uncounted_meta = text, duration, failure, uncounted_meta
host.stopped = stopped

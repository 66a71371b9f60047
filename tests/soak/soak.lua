-- soak.lua: rounds of args.lanes branches, each with one of many kinds of work, until args.seconds are over. What an agent's prompt
-- begins with tells the server which fault to answer with (soak.py).
meta = { name = "soak", description = "Many kinds of work, again and again" }

local SCHEMA = { type = "object", properties = { n = { type = "integer" } }, required = { "n" } }
local LAST = 47 -- kinds of prompts

local function ended(value, e)
    if value == nil then assert(e and e.kind ~= "memory" and e.kind ~= "script", tostring(e)) end
    return true
end

local function ask(k, i, opts)
    return agent(string.format("k%02d item %d", k, i), opts)
end

local KINDS = {
    [3] = function(i) return ended(ask(3, i, { retries = 10 })) end, -- now and then a rate limit
    [8] = function(i) return ended(ask(8, i, { retries = 3, stall = 1 })) end,
    [9] = function(i) return ended(ask(9, i, { retries = 3, stall = 1 })) end,
    [30] = function(i) return ended(ask(30, i, { schema = SCHEMA })) end,
    [31] = function(i) return ended(ask(31, i, { schema = SCHEMA, retries = 0 })) end,
    [32] = function(i) return ended(ask(32, i, { check = function() return i % 2 == 0, "odd" end })) end,
    [33] = function(i) return ended(ask(33, i, { deadline = 0.5 })) end,
    [34] = function(i)
        race({ function() return ask(0, i) end, function() return ask(33, i, { deadline = 1 }) end })
        return true
    end,
    [35] = function(i) return #pipeline({ 1, 2 }, function(x) return ask(0, x) end, function(x) return #x end) end,
    [36] = function(i) return #verify({ "claim " .. i % 10 }, { lenses = { "one" } }) end,
    [37] = function(i) return exec({ "echo", "x" }) and exec("exit 3") and true end,
    [38] = function(i) return #read("notes.txt") > 0 and read("absent") == nil end,
    [39] = function(i) return #files("*.txt") end,
    [40] = function(i) return ended(ask(40, i, { model = i % 3 > 0 and "exec:cat >/dev/null; echo ok" or "exec:exit 3" })) end,
    [41] = function(i) for _ = 1, 500 do local t = {} end return ended(ask(0, i)) end,
    [42] = function(i) return ended(ask(0, i, { schema = { type = "object", ["x-" .. i] = string.rep("s", 1500) }, retries = 0 })) end,
    [43] = function(i) error("raised " .. i) end,
}

local function work(i)
    local k = i % LAST
    if KINDS[k] then return KINDS[k](i) end
    return ended(ask(k, i, { retries = 3, label = "k" .. k }))
end

local ROUNDS = 6 -- at least, however slow the machine is
local began, calls, rounds = now(), 0, 0
repeat
    local branches = {}
    for i = 1, args.lanes do branches[i] = function() return work(i) end end
    local results, failures = parallel(branches)
    for i = 1, args.lanes do
        local expected = i % LAST == 43
        assert(expected == (failures.at[i] ~= nil), expected and "it did not fail" or tostring(failures.at[i]))
    end
    calls, rounds = calls + 6 * args.lanes // 5, rounds + 1
    branches, results, failures = nil, nil, nil
    log("round")
until rounds >= ROUNDS and now() - began > args.seconds or calls + 2 * args.lanes > args.rows

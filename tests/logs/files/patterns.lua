meta = { name = "patterns", description = "Schemas, verify, vote, race, a workflow inside" }
local NUMBER = {
    type = "object",
    properties = {
        n = { type = "integer" },
        list = { type = "array", items = { type = "string" } },
    },
    required = { "n" },
}
local first = agent("count", { schema = NUMBER })
local tries = 0
local checked = agent("checked", { check = function()
    tries = tries + 1
    return tries > 1, "once more"
end })
local kept, rest = verify({ "right", "wrong", "also right" },
    { lenses = { "correctness", "reachability" }, context = "none" })
local verdict = vote("Is it so?", { voters = 5 })
local winner, index = race({
    function() return nil end,
    function() return agent("quick") end,
    function() return agent("hold: never " .. (args.hold and "" or "again")) end,
})
local inside = workflow("inside.lua", { n = 3 })
local dropped = #parallel({ function() return nil end, function() return agent("in between") end })
local last = parallel({
    function() return agent("hold: schema", { schema = NUMBER }) end,
    function() return agent("schema", { schema = NUMBER }) end,
    function() return workflow("inside.lua", { n = 2, hold = true }) end,
})
local verdicts = {}
for i, r in ipairs(rest) do verdicts[i] = r.claim .. ": " .. r.verdict end
return { first, checked, tries, kept, verdicts, verdict, winner, index, inside, dropped, last }

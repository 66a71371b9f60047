meta = { name = "edited", description = "plain.lua, one agent added, one gone, some changed" }
local before = agent("a new first one", { label = "new" })
phase("First")
local items = {}
for i = 1, 8 do items[i] = (args.hold and i > 5 and "hold item " or "item ") .. i end
table.remove(items, 3)
local results, failures = pipeline(items,
    function(item) return agent("one: " .. item, { label = item, phase = "First" }) end,
    function(text, item)
        return agent("hold: changed " .. item .. " of " .. text, { phase = "Second" })
    end)
local last = agent("sum up " .. #results, { effort = "low", max_tokens = 500 })
return { before = before, results = results, failures = #failures, last = last }

meta = { name = "plain", description = "Two stages, phases, lines, the run's clock and chance" }
phase("First")
log("begins at %s", now() > 0)
local items = {}
for i = 1, 8 do items[i] = (args.hold and i > 5 and "hold item " or "item ") .. i end
local results, failures = pipeline(items,
    function(item) return agent("one: " .. item, { label = item, phase = "First" }) end,
    function(text, item, i)
        local prompt = item .. " of " .. text .. " by " .. random(1, 1000000)
        return agent(prompt, { label = "second " .. i, phase = "Second" })
    end)
local paths = files("*.txt")
local last = agent("sum up " .. #results, { effort = "low", max_tokens = 500 })
local text = read("notes.txt", 2, 2)
return { results = results, failures = #failures, last = last, paths = paths, text = text,
         chance = random(1, 1000000) }

meta = { name = "thousand", description = "1,000 agents of two fan-outs" }
local sum = 0
for round = 1, 2 do
    local items = {}
    for i = 1, 500 do items[i] = (round == 2 and i > 140 and "hold " or "") .. round .. "." .. i end
    local results = pipeline(items, function(item) return agent(item) end)
    for i = 1, #results do
        local n = tonumber(string.match(results[i] or "", "%d+")) or -1
        sum = (sum * 7 + n) % 1000000007
    end
end
return { sum = sum }

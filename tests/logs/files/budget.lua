meta = { name = "budget", description = "Ten agents, one after the other, and a budget for five" }
local said = {}
for i = 1, 10 do
    said[i] = assert(agent("step " .. i, { label = "step " .. i, max_tokens = 100 }))
end
return said

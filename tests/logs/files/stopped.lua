meta = { name = "stopped", description = "Twelve at once; one ends the run, or waits" }
local fns = {}
for i = 1, 12 do
    local prompt = (i == 9 and args.kind .. " " or "") .. "part " .. i
    fns[i] = function() return agent(prompt, { label = "part " .. i }) end
end
local results = parallel(fns)
return results

meta = { name = "inside", description = "A workflow that another one runs" }
local fns = {}
for i = 1, args.n do
    local prompt = (args.hold and i == 1 and "hold: " or "") .. "inside " .. i .. " of " .. args.n
    fns[i] = function() return agent(prompt) end
end
local results = parallel(fns)
return { n = args.n, results = results }

meta = { name = "failed", description = "Six agents, two of which fail" }
local results, failures = parallel((function()
    local fns = {}
    for i = 1, 6 do
        local prompt = (i % 3 == 2 and "fault " or "fine ") .. i
        fns[i] = function() return agent(prompt, { retries = 0 }) end
    end
    return fns
end)())
return { results = results, failures = #failures }

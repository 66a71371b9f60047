meta = { name = "tools", description = "Agents with tools; commands, files, a question" }
local look = agent("tools: look", { label = "look" })
local written = agent("tools: write", { label = "write", tools = { "write", "edit", "read" } })
local ran = agent("tools: bash", { label = "bash" })
local made = exec({ "sh", "-c", "cat; echo $NAME; exit 3" },
    { input = "in ", env = { NAME = "value" }, timeout = "1m" })
local said = ask("Go on?", { choices = { "yes", "no" }, default = "no", label = "go" })
local typed = agent("as a type", { agent_type = "reader" })
local text, paths = read("out/a.txt"), files("out/*")
local rest = parallel({
    function() return agent("tools: hang", { label = "hang" }) end,
    function()
        local done = exec("echo begun; sleep 1000")
        return done and "it ended" or "it was interrupted"
    end,
})
return { look, written, ran, made.code, made.out, said, typed, text, paths, rest }

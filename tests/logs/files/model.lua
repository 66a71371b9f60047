-- The model of all these runs. `make` sets MAKING: then agents that are to be under way when the
-- run ends ("hold") do not answer, and those that end it ("quota") or fail ("fault") do so.
local MAKING = false

local function tool(name, input) return { name = name, input = input } end

local TOOLS = {
    look = {
        { tool("read", { path = "notes.txt" }), tool("grep", { pattern = "beta" }) },
        { tool("glob", { pattern = "*.txt" }) },
    },
    write = {
        { tool("write", { path = "out/a.txt", content = "first\nsecond\n" }) },
        { tool("edit", { path = "out/a.txt", old = "second", new = "third" }),
          tool("read", { path = "out/a.txt" }) },
    },
    bash = {
        { tool("bash", { command = "echo one; echo two >&2" }) },
        { tool("bash", { command = "cat notes.txt" }) },
    },
    hang = { { tool("bash", { command = "echo begun; sleep 1000" }) } },
}

local function hash(text)
    local h = 0
    for i = 1, #text do h = (h * 31 + string.byte(text, i)) % 1000003 end
    return h
end

-- A value for the tool `result`, by the properties that its schema has.
local function value(schema, prompt)
    local has = schema.properties
    local seed = hash(prompt)
    if has.refuted then
        local refuted = string.find(prompt, "Claim:\nwrong", 1, true) ~= nil
        return { refuted = refuted, reason = "by its text" }
    end
    if has.answer then return { answer = "yes", reason = "of course" } end
    return { n = seed % 100, list = { "a", "b" } }
end

local function result_schema(request)
    for _, t in ipairs(request.tools or {}) do
        if t.name == "result" then return t.input_schema end
    end
end

return function(request)
    local prompt, turn = request.messages[1].content[1].text, (#request.messages + 1) // 2
    local plan = TOOLS[string.match(prompt, "^tools: (%w+)") or ""]
    if MAKING and string.find(prompt, "^quota") then
        return { error = { status = 402, message = "no credit left" } }
    end
    if MAKING and string.find(prompt, "^fault") then
        return { error = { status = 400, message = "bad request" } }
    end
    local delay = MAKING and string.find(prompt, "^hold") and 100 or 0
    if plan and plan[turn] then return { tools = plan[turn] } end
    local schema = result_schema(request)
    if schema then return { tool = tool("result", value(schema, prompt)), delay = delay } end
    local usage = { input_tokens = 100, output_tokens = 10 }
    return { text = "answer " .. hash(prompt), delay = delay, usage = usage }
end

-- What stands between a rules model and the Messages API: calls the model's function with a request and turns its answer into
-- a response. Runs once for each model file, with the tables `host` and `env` as the rest of our Lua code.

local host, env = ...
local error, pairs, tostring, type = env.error, env.pairs, env.tostring, env.type
local format, encode, array = env.string.format, env.json.encode, env.json.array
local floor, math_type = env.math.floor, env.math.type

local KNOWN = { text = true, tool = true, tools = true, error = true, delay = true, usage = true, stop_reason = true }

local function bad(why)
    error("the model's answer is not valid: " .. why, 0)
end

local function number(v, name, most)
    if type(v) ~= "number" or not (v >= 0 and v <= most) then bad(format("%s must be a number from 0 to %d", name, most)) end
    return v
end

local function tool_block(tool, request, i)
    if type(tool) ~= "table" or type(tool.name) ~= "string" then bad("a tool needs a name and an input") end
    local input = tool.input
    if input == nil then input = {} end
    if type(input) ~= "table" then bad("a tool's input must be a table") end
    -- a pure function of the request: the turn's number and the call's number in it
    local id = format("toolu_%d_%d", #request.messages, i)
    return { type = "tool_use", id = id, name = tool.name, input = input }
end

local function content_of(answer, request)
    local content = array({})
    if answer.text ~= nil then
        if type(answer.text) ~= "string" then bad("text must be a text") end
        content[1] = { type = "text", text = answer.text }
    end
    local tools = answer.tools or { answer.tool }
    if type(tools) ~= "table" then bad("tools must be a list") end
    for i = 1, #tools do content[#content + 1] = tool_block(tools[i], request, i) end
    if #content == 0 then bad("it has none of text, tool, tools, error") end
    return content, #tools > 0
end

local function usage_of(answer, request_bytes, content)
    local usage = answer.usage or {}
    if type(usage) ~= "table" then bad("usage must be a table") end
    local out = {}
    for name, value in pairs(usage) do
        out[name] = number(value, "usage." .. tostring(name), 1 << 40)
        if name ~= "usd" and math_type(value) ~= "integer" then bad(format("usage.%s must be a whole number", tostring(name))) end
    end
    if not out.input_tokens then out.input_tokens = request_bytes // 4 end
    if not out.output_tokens then out.output_tokens = #encode(content) // 4 end
    return out
end

-- (model function, what reads the request, its bytes) -> status, delay in ms, retry-after in ms or -1, body
function host.answer(model, read, request_bytes)
    local request = read()
    local answer = model(request)
    if type(answer) ~= "table" then bad("a table is expected, got " .. type(answer)) end
    for name in pairs(answer) do
        if not KNOWN[name] then bad(format("there is no field '%s'", tostring(name))) end
    end
    local delay = floor(number(answer.delay or 0, "delay", 86400) * 1000)
    if answer.error ~= nil then
        local e = answer.error
        if type(e) ~= "table" then bad("error must be a table") end
        local status = e.status or 500
        if math_type(status) ~= "integer" or status < 400 or status > 599 then bad("error.status must be 400 to 599") end
        local after = e.retry_after and floor(number(e.retry_after, "error.retry_after", 86400) * 1000) or -1
        local body = { type = "error", error = { type = "api_error", message = tostring(e.message or "an error of the rules model") } }
        return status, delay, after, encode(body)
    end
    if answer.stop_reason ~= nil and type(answer.stop_reason) ~= "string" then bad("stop_reason must be a text") end
    local content, tools = content_of(answer, request)
    local body = {
        id = "msg_rules", type = "message", role = "assistant", model = request.model, content = content,
        stop_reason = answer.stop_reason or (tools and "tool_use" or "end_turn"),
        usage = usage_of(answer, request_bytes, content),
    }
    return 200, delay, -1, encode(body)
end

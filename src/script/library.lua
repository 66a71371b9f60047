-- What scripts name and others have written: agent types (Markdown) and workflows (Lua). Each is read once in a run, and before its
-- first agent begins: an agent that writes files must not be the one who says what the next agents may do. Read are the ones that
-- the script names in so many words, and, where it computes a name, all that there are. A text is an effect's answer: it is in
-- the log, and a resumed run has the same.

local host, env = ...
local fail, check_meta, run_effect, fan_out = host.fail, host.check_meta, host.run_effect, host.fan_out
local load, globals, workflow_now, has_tool = host.load, host.globals, host.workflow, host.has_tool
local error, type = env.error, env.type
local find, format, gmatch, gsub = env.string.find, env.string.format, env.string.gmatch, env.string.gsub
local lower, match, sub = env.string.lower, env.string.match, env.string.sub
local encode, decode, array = env.json.encode, env.json.decode, env.json.array
local concat, pack, unpack = env.table.concat, env.table.pack, env.table.unpack

---- files that are read once ---------------------------------------------------------------------------------------------------

local kept = {} -- { text } or { nil, error }, by effect and path
local sealed = { message = "it was not there, or not named, before the first agent began" }
local is_sealed = false

function host.agent_begins()
    is_sealed = true
end

local function keep(effect, key, input)
    local name = effect .. " " .. key
    if not kept[name] then
        if is_sealed and effect == "read" then return nil, sealed end
        local text, e = run_effect(effect, input)
        kept[name] = kept[name] or { text, e } -- another branch may have been faster
    end
    return kept[name][1], kept[name][2]
end

local function file(path)
    return keep("read", path, { path = path })
end

---- front matter ---------------------------------------------------------------------------------------------------------------

-- The lines of a text as a list.
local function lines_of(text)
    local lines = array({})
    for line in gmatch(text .. "\n", "([^\n]*)\n") do lines[#lines + 1] = line end
    return lines
end

local function trim(text)
    return match(text, "^%s*(.-)%s*$")
end

local ESCAPES = { n = "\n", t = "\t", r = "", ["0"] = "" }

-- The text between quotes; what follows them is a comment at most.
local function unquote(text)
    if sub(text, 1, 1) == "'" then
        local inside = match(gsub(sub(text, 2), "''", "\0"), "^([^']*)'")
        return inside and gsub(inside, "\0", "'") or text
    end
    local out, i = {}, 2
    while i <= #text do
        local c = sub(text, i, i)
        if c == '"' then return concat(out) end
        if c == "\\" then
            i = i + 1
            c = sub(text, i, i)
            c = ESCAPES[c] or c
        end
        out[#out + 1] = c
        i = i + 1
    end
    return text -- it never ends, so it is none
end

-- A block: lines joined as they are ("|"), or into one (">").
local function block_text(mark, lines)
    local out = array({})
    for i = 1, #lines do out[i] = trim(lines[i]) end
    return concat(out, mark == "|" and "\n" or " ")
end

-- The value of a key: what stands behind it, and the lines below that belong to it. A list becomes a text with commas.
local function value_of(first, lines)
    local mark = match(first, "^([|>])[-+%d]*%s*$")
    if mark then return block_text(mark, lines) end
    if first == "" and #lines > 0 and find(lines[1], "^%s*%-") then
        local items = array({})
        for i = 1, #lines do
            local item = match(lines[i], "^%s*%-%s*(.-)%s*$")
            if item then items[#items + 1] = value_of(item, {}) end
        end
        return concat(items, ",")
    end
    local whole = trim(first .. " " .. block_text(">", lines))
    if find(whole, "^[\"']") then return unquote(whole) end
    whole = trim(match(whole, "^(.-)%s+#.*$") or whole)
    return match(whole, "^%[(.*)%]$") or whole
end

-- The keys of front matter with their values as texts. Whatever is no "key: value" is passed over.
local function front_matter(lines, from, to)
    local out, i = {}, from
    while i <= to do
        local key, first = match(lines[i], "^([%w_-]+):%s*(.-)%s*$")
        local below = array({})
        i = i + 1
        while i <= to and find(lines[i], "^[%s-]") do
            if find(lines[i], "%S") then below[#below + 1] = lines[i] end
            i = i + 1
        end
        if key then out[key] = value_of(first, below) end
    end
    return out
end

-- A text's front matter, between lines of "---", and the rest; no front matter: the rest is all.
local function split_front(source)
    source = gsub(gsub(source, "^\xEF\xBB\xBF", ""), "\r\n?", "\n")
    local lines = lines_of(source)
    for i = 2, find(lines[1], "^%-%-%-%s*$") and #lines or 0 do
        if find(lines[i], "^%-%-%-%s*$") or find(lines[i], "^%.%.%.%s*$") then
            return front_matter(lines, 2, i - 1), trim(concat(lines, "\n", i + 1, #lines))
        end
    end
    return {}, trim(source)
end

---- agent types ----------------------------------------------------------------------------------------------------------------

-- The run's tools among those that a file lists, by our names or Claude Code's: "Read, MultiEdit, WebFetch" -> "read,edit". A
-- tool with conditions, as Bash(git:*), is not given: they could not be kept.
local function listed_tools(list)
    local known, seen = array({}), {}
    for name in gmatch(gsub(list, "[%w_-]+%s*%b()", ""), "[%w_-]+") do
        name = lower(name)
        if name == "multiedit" then name = "edit" end
        if has_tool(name) and not seen[name] then known[#known + 1], seen[name] = name, true end
    end
    return #known == 0 and "none" or concat(known, ",")
end

-- The newest of each family, as of the price list. Where the run's model is no Anthropic one, its own is meant.
local FAMILIES = { opus = "claude-opus-5-5", sonnet = "claude-sonnet-5-5", haiku = "claude-haiku-5-5" }

local function listed_model(name)
    if name == "" or name == "inherit" then return nil end
    local family, model = FAMILIES[lower(name)], host.model()
    if not family then return name end
    if find(model, "^anthropic:") or not find(model, ":", 1, true) then return family end
end

local function read_agent_type(source)
    local front, system = split_front(source)
    local tools = front.tools or ""
    return {
        system = system ~= "" and system or nil,
        tools = tools ~= "" and tools ~= "*" and listed_tools(tools) or nil,
        model = listed_model(front.model or ""),
    }
end

local AGENT_FOLDERS = array({ ".wf/agents/", ".claude/agents/" })

-- The text of an agent type; nil and the last error.
local function agent_source(name)
    local source, e
    for i = 1, #AGENT_FOLDERS do
        source, e = file(AGENT_FOLDERS[i] .. name .. ".md")
        if source then return source end
    end
    return nil, e
end

function host.agent_type(name)
    if not find(name, "^[%w_.-]+$") then fail(format("agent: agent_type takes a name, got '%s'", name)) end
    local source, e = agent_source(name)
    if not source then
        fail(format("agent: there is no agent type '%s': looked at .wf/agents/%s.md and .claude/agents/%s.md (%s); write .wf/agents/%s.md",
            name, name, name, e.message, name))
    end
    return read_agent_type(source)
end

---- workflows --------------------------------------------------------------------------------------------------------------------

local WORKFLOW_FOLDER = ".wf/workflows/"

local function is_workflow_name(name)
    return find(name, "%.lua$") or find(name, "^[%w_.-]+$")
end

-- The text of a workflow and the name of its file; nil, the places looked at, the last error.
local function workflow_source(name)
    local path = name
    if not find(name, "%.lua$") then path = WORKFLOW_FOLDER .. name .. ".lua" end
    local source, e = file(path)
    if source or path == name then return source, path, e end
    source, e = keep("saved", name, { name = name })
    return source, source and name .. ".lua" or path .. " and the user's workflows", e
end

-- Runs in a branch of its own, so that its calls have their places below the caller's.
function env.workflow(name, args)
    if type(name) ~= "string" or name == "" then
        fail('workflow takes a name, such as "audit", or a path, such as "flows/audit.lua"; got ' .. (name == "" and "an empty text" or type(name)))
    end
    check_meta()
    local outer = workflow_now()
    if outer then fail(format("workflow: '%s' is asked for by the workflow %s: they go one level deep, so only the script itself may", name, outer.name)) end
    if not is_workflow_name(name) then
        fail(format("workflow: '%s' is neither a saved workflow's name nor a path that ends in .lua", name))
    end
    local source, where, e = workflow_source(name)
    if not source then fail(format("workflow: there is no workflow '%s': looked at %s (%s)", name, where, e.message)) end
    local inside = { globals = globals(), name = where }
    inside.globals.args = args == nil and {} or decode(encode(args))
    local body, why = load(source, where, inside.globals)
    if not body then error(sub(why, 1, #where) == where and why or where .. ": " .. why, 0) end
    local result
    fan_out(1, function()
        workflow_now(inside)
        return body()
    end, function(_, ...) result = pack(...) end)
    if not result[1] then error(result[2], 0) end
    return unpack(result, 2, result.n)
end

---- before the script ------------------------------------------------------------------------------------------------------------

local NAMED_MAX = 64 -- of each kind; a script that names more is taken for one that computes them
local LISTED_MAX = 256 -- of one folder
local TYPE_NAMED = "agent_type%s*=%s*[\"']([%w_.-]+)[\"']%s*()"
local WORKFLOW_NAMED = "workflow%s?%(?%s?[\"']([%w_./-]+)[\"']%s*()"

-- How often the pattern is found, up to a bound.
local function occurrences(source, pattern)
    local n = 0
    for _ in gmatch(source, pattern) do
        n = n + 1
        if n > 100 * NAMED_MAX then break end
    end
    return n
end

-- Names that stand in a source, and whether there are others: `mention` is found where there is one, named or computed.
local function named_in(source, pattern, mention)
    local names, seen, count = array({}), {}, 0
    for name, behind in gmatch(source, pattern) do
        if #names == NAMED_MAX or sub(source, behind, behind + 1) == ".." then return names, true end
        if not seen[name] then names[#names + 1], seen[name] = name, true end
        count = count + 1
    end
    return names, occurrences(source, mention) > count
end

-- Reads all files of one kind in a folder.
local function read_folder(folder, ending)
    local paths = run_effect("files", { globs = array({ "*" .. ending }), path = folder }) or array({})
    for i = 1, #paths < LISTED_MAX and #paths or LISTED_MAX do
        file(folder .. match(paths[i], "[^/]*$")) -- the folder may be a link
    end
end

local read_workflow

-- Adds to `jobs` the reading of all that a source names.
local function plan(source, jobs, inner)
    local types, others = named_in(source, TYPE_NAMED, "agent_type")
    for i = 1, #types do jobs[#jobs + 1] = function() agent_source(types[i]) end end
    for i = 1, others and #AGENT_FOLDERS or 0 do
        jobs[#jobs + 1] = function() read_folder(AGENT_FOLDERS[i], ".md") end
    end
    if inner then return end
    local flows, computed = named_in(source, WORKFLOW_NAMED, "workflow%s*[%({\"']")
    for i = 1, #flows do jobs[#jobs + 1] = function() read_workflow(flows[i]) end end
    if computed then jobs[#jobs + 1] = function() read_folder(WORKFLOW_FOLDER, ".lua") end end
end

-- A workflow, and the agent types that it names.
function read_workflow(name)
    local jobs = array({})
    plan(is_workflow_name(name) and workflow_source(name) or "", jobs, true)
    for i = 1, #jobs do jobs[i]() end
end

-- The script's function, behind the reading of what it names. Failures show when the thing is used.
function host.begin(script, source)
    local jobs = array({})
    plan(source, jobs, false)
    if #jobs == 0 then return script end
    return function()
        fan_out(#jobs, function(i) jobs[i]() end, function() end, "files")
        return script()
    end
end

env.workflow = host.front(env.workflow)

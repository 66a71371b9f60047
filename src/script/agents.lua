-- What scripts name and others have written: agent types (Markdown) and workflows (Lua). Each is read once in a run, and before its
-- first agent begins: an agent that writes files must not be the one who says what the next agents may do. Read are the ones that
-- the script names in so many words, and, where it computes a name, all that there are. A text is an effect's answer: it is in
-- the log, and a resumed run has the same.

local host, env = ...
local fail, check_meta, run_effect, fan_out = host.fail, host.check_meta, host.run_effect, host.fan_out
local load, globals, workflow_now, tools = host.load, host.globals, host.workflow, host.tools
local names_line, list_files = host.names_line, host.list_files
local encode_result, is_json = host.encode_result, host.is_json
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
        local text, e = run_effect(effect, input, nil, false, true)
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

-- A line without its comment. Quotes may have a # in them; what is behind these is nobody's.
local function uncommented(line)
    if find(line, "^[%s-]*[\"']") then return line end
    return trim(gsub(" " .. line, "%s#.*$", ""))
end

local function list_text(lines)
    local items = array({})
    for i = 1, #lines do
        local item = match(lines[i], "^%s*%-%s*(.-)%s*$")
        if item then items[#items + 1] = find(item, "^[\"']") and unquote(item) or item end
    end
    return concat(items, ",")
end

-- The value of a key: what stands behind it, and the lines below that belong to it. A list becomes a text with commas; nil: there
-- is nothing, which is not the same as an empty list.
local function value_of(first, lines)
    local mark = match(first, "^([|>])[-+%d]*%s*$")
    if mark then return block_text(mark, lines) end
    local said = array({})
    for i = 0, #lines do
        local line = uncommented(i == 0 and first or lines[i])
        if line ~= "" then said[#said + 1] = line end
    end
    if #said == 0 then return nil end
    if find(said[1] .. " ", "^%s*%-%s") then return list_text(said) end
    local whole = block_text(">", said)
    if find(whole, "^[\"']") then return unquote(whole) end
    return match(whole, "^%[(.*)%]$") or whole
end

-- Whether a line of front matter goes on with what the key above it has.
local function goes_on(line)
    return line == "" or find(line, "^[%s#-]") ~= nil
end

-- The keys of front matter, in small letters, with their values as texts. Whatever is no "key: value" is passed over.
local function front_matter(lines, from, to)
    local out, i, margin = {}, from, #match(lines[from], "^ *")
    for k = from, to do lines[k] = gsub(sub(lines[k], 1, margin), "^ +", "") .. sub(lines[k], margin + 1) end
    while i <= to do
        local key, first = match(lines[i], "^[\"']?([%w_-]+)[\"']?%s*:%s*(.-)%s*$")
        local below = array({})
        i = i + 1
        while i <= to and goes_on(lines[i]) do
            if find(lines[i], "%S") then below[#below + 1] = lines[i] end
            i = i + 1
        end
        if key then out[lower(key)] = value_of(first, below) end
    end
    return out
end

-- A text's front matter, between lines of "---", and the rest; no front matter: the rest is all. Nil: it begins and has no end.
local function split_front(source)
    source = gsub(gsub(gsub(source, "^\xEF\xBB\xBF", ""), "\r\n?", "\n"), "^%s*\n", "")
    local lines = lines_of(source)
    if not find(lines[1], "^%-%-%-%s*$") then return {}, trim(source) end
    for i = 2, #lines do
        if find(lines[i], "^%-%-%-%s*$") or find(lines[i], "^%.%.%.%s*$") then
            return front_matter(lines, 2, i - 1), trim(concat(lines, "\n", i + 1, #lines))
        end
    end
end

---- agent types ----------------------------------------------------------------------------------------------------------------

-- What a file lists, by our names: "Read, MultiEdit, WebFetch" -> { read = true, edit = true, webfetch = true }. conditions: what
-- becomes of a tool that has some, as Bash(git:*); no words but a bare name are one.
local function tool_names(list, conditions)
    local names = {}
    list = gsub(gsub(list, "%s*%b()", conditions), "%s*%(.*", conditions)
    local odd = find(list, ",", 1, true) and "[^%w_-]" or "[^%w_%s-]" -- blanks may stand between names, if no commas do
    for item in gmatch(list, "[^,]+") do
        item = match(item, "^%s*[\"']?(.-)[\"']?%s*$")
        for name in gmatch(find(item, odd) and "" or item, "%S+") do
            name = lower(name)
            names[name == "multiedit" and "edit" or name] = true
        end
    end
    return names
end

-- The run's tools among those that a file lists in `tools`, without what it lists in `disallowedTools`; nil: it says nothing of
-- them. A tool with conditions is not given in either case: they could not be kept.
local function listed_tools(given, taken)
    if given == "*" then given = nil end
    if not given and not taken then return nil end
    local may, may_not, all, known = given and tool_names(given, "?"), tool_names(taken or "", ""), tools(), array({})
    for i = 1, #all do
        local name = all[i]
        if (not may or may[name]) and not may_not[name] then known[#known + 1] = name end
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

-- The options that a type stands for. They depend on the run's flags; what does not is the text itself.
local function read_agent_type(source, name)
    local front, system = split_front(source)
    if not front then fail(format("agent: the agent type '%s' begins with --- and has no second line of ---: what it may do cannot be told; fix %s.md", name, name)) end
    return {
        system = system ~= "" and system or nil,
        tools = listed_tools(front.tools, front.disallowedtools),
        model = listed_model(front.model or ""),
    }
end

local AGENT_FOLDERS = array({ ".wf/agents/", ".claude/agents/" })

-- The text of an agent type; nil and the error: of the first file, unless that one is merely not there.
local function agent_source(name)
    local source, e, first
    for i = 1, #AGENT_FOLDERS do
        source, e = file(AGENT_FOLDERS[i] .. name .. ".md")
        if source then return source end
        first = first or not find(e.message, "^no such file") and e
    end
    return nil, first or e
end

function host.agent_type(name)
    if not find(name, "^[%w_.-]+$") then fail(format("agent: agent_type takes a name, got '%s'", name)) end
    local source, e = agent_source(name)
    if not source then
        fail(format("agent: there is no agent type '%s': looked at .wf/agents/%s.md and .claude/agents/%s.md (%s); write .wf/agents/%s.md",
            name, name, name, e.message, name))
    end
    return read_agent_type(source, name), source
end

---- workflows --------------------------------------------------------------------------------------------------------------------

local WORKFLOW_FOLDER = ".wf/workflows/"

local function is_workflow_name(name)
    return find(name, "%.lua$") or find(name, "^[%w_.-]+$")
end

-- The text of a workflow and the name of its file; nil, the places looked at, the error: the first one, unless that file is merely
-- not there, or was not before the first agent began.
local function workflow_source(name)
    local path = name
    if not find(name, "%.lua$") then path = WORKFLOW_FOLDER .. name .. ".lua" end
    local source, first = file(path)
    if source or path == name then return source, path, first end
    local saved, e = keep("saved", name, { name = name, late = is_sealed or nil })
    if saved then return saved, name .. ".lua" end
    local absent = first == sealed or find(first.message, "^no such file")
    return nil, path .. " and the user's workflows", absent and e or first
end

-- What a script returned; one that made no call is found out here to have no meta.
local function ended(where, ...)
    check_meta(where)
    return ...
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
    local stop = host.stopped(0)
    if stop then return nil, stop end
    local source, where, e = workflow_source(name)
    if not source then fail(format("workflow: there is no workflow '%s': looked at %s (%s)", name, where, e.message)) end
    local inside = { globals = globals(), name = where }
    inside.globals.args = args == nil and {} or decode(encode(args))
    local body, why = load(source, where, inside.globals)
    if not body then error(sub(why, 1, #where) == where and why or where .. ": " .. why, 0) end
    local result
    fan_out(1, function()
        workflow_now(inside)
        return ended(where .. ": ", body())
    end, function(_, ...) result = pack(...) end)
    if not result[1] then
        local e, raised_at = result[2], result[3]
        error(type(e) == "string" and not names_line(e) and raised_at .. e or e, 0)
    end
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
        if #names == NAMED_MAX then return names, true end
        if sub(source, behind, behind + 1) ~= ".." then -- else it is the beginning of a computed one
            if not seen[name] then names[#names + 1], seen[name] = name, true end
            count = count + 1
        end
    end
    return names, occurrences(source, mention) > count
end

-- Reads all files of one kind in a folder.
local function read_folder(folder, ending)
    local paths = list_files({ globs = array({ "*" .. ending }), path = folder }) or array({})
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

-- What the script returned as its result: nil, a text, or JSON and its mark; nil and an error as they are.
local function result_of(value, e)
    if value == nil or type(value) == "string" then return value, e end
    return encode_result(value), is_json
end

-- The script's function, behind the reading of what it names. Failures show when the thing is used.
function host.begin(script, source)
    local jobs = array({})
    plan(source, jobs, false)
    return function()
        if #jobs > 0 then fan_out(#jobs, function(i) jobs[i]() end, function() end, "files") end
        return result_of(ended("", script()))
    end
end

env.workflow = host.front(env.workflow)

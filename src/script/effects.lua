-- The effects that scripts ask for by name: files, read, exec, ask. Each checks what it is given and hands it to the platform as
-- JSON; the answer is in the log before the script sees it, and the same again in a replay.

local host, env = ...
local fail, check_meta, run_effect, read_options = host.fail, host.check_meta, host.run_effect, host.read_options
local text, duration, may_exec, scope = host.text, host.duration, host.may_exec, host.scope
local failure, uncounted_meta, pcall, error = host.failure, host.uncounted_meta, host.pcall, env.error
local pairs, type, tostring, math_type = env.pairs, env.type, env.tostring, env.math.type
local find, format, array = env.string.find, env.string.format, env.json.array

local note, LINE = host.note, 0
local NO_DEADLINE = 0xffffffff
local EXEC_TIMEOUT, EXEC_TIMEOUT_MAX = 600000, 86400000 -- ms
local EXEC_GRACE = 10000 -- ms that the effect has beyond the command's own timeout, to end it and to answer

local function effect(name, input, ms, changes, reads)
    check_meta()
    return run_effect(name, input, ms, changes, reads)
end

-- The paths of the workspace's files, sorted, and an error if some could not be read; nil and an error. What could not be read is
-- said aloud as well: a list of all files that silently is none would be taken for one.
function host.list_files(input)
    local answer, e = run_effect("files", input, nil, false, true)
    if not answer or not answer.paths then return answer, e end
    local text = format("files: %d files or directories could not be read and are not in the list, first: %s", answer.unreadable, answer.first)
    note(LINE, text)
    return answer.paths, failure("tool", text, nil, nil, uncounted_meta)
end

function env.files(...)
    local globs = array({ ... })
    if #globs == 0 then fail('files takes at least one glob, such as "src/**/*.c"') end
    for i = 1, #globs do
        if type(globs[i]) ~= "string" then fail(format("files: argument %d is no text but a %s", i, type(globs[i]))) end
    end
    check_meta()
    local paths, e = host.list_files({ globs = globs })
    if paths then return paths, e end
    -- A nil would be lost where one value is taken, as in { files = files("*.c") }.
    local _, message = pcall(fail, "files: " .. e.message)
    error(failure("script", message, e.agent, e.attempts, uncounted_meta), 0)
end

function env.read(path, from, to)
    if type(path) ~= "string" then fail("read: the path takes a text, got " .. type(path)) end
    return effect("read", { path = path, from = from, to = to }, nil, false, true)
end

---- exec -------------------------------------------------------------------------------------------------------------------------

-- A text that can be handed to a program.
local function word(v, name, whose)
    if find(text(v, name, whose), "\0", 1, true) then
        fail(format("%s: %s holds a zero byte, which no program can be given", whose, name))
    end
    return v
end

-- A command: a text for the shell, or a list of texts for none.
local function command(v)
    if type(v) == "string" and v ~= "" then return word(v, "the command", "exec") end
    local n = type(v) == "table" and #v or 0
    if math_type(n) ~= "integer" or n < 1 then
        fail('exec takes a command: a text for the shell, such as "make test", or a list without a shell, such as { "make", "test" }')
    end
    local list = array({})
    for i = 1, n do list[i] = word(v[i], format("item %d of the command", i), "exec") end
    if list[1] == "" then fail("exec: item 1 of the command is empty: it names the program") end
    return list
end

-- Variables to set, by name.
local function variables(v, name, whose)
    if type(v) ~= "table" then fail(format('%s: %s takes a table, such as { LANG = "C" }', whose, name)) end
    local out = {}
    for key, value in pairs(v) do
        if type(key) ~= "string" or key == "" or find(key, "[=\0]") then
            fail(format("%s: %s has '%s', which is no name of a variable", whose, name, tostring(key)))
        end
        out[key] = word(value, name .. "." .. key, whose)
    end
    return out
end

local function timeout(v, name, whose)
    local ms = duration(v, name, whose)
    if ms > EXEC_TIMEOUT_MAX then fail(format("%s: %s takes at most a day, \"24h\"", whose, name)) end
    return ms
end

local EXEC_OPTIONS = { timeout = timeout, cwd = word, input = text, env = variables }

function env.exec(cmd, opts)
    local input = read_options(opts, EXEC_OPTIONS, "exec")
    input.cmd = command(cmd)
    input.timeout = input.timeout or EXEC_TIMEOUT
    check_meta()
    if not may_exec() then
        scope() -- its place is taken, so that a run which may do it later finds all others where they were
        fail("exec: this run may not run commands: start it, or resume it, with --allow read,exec")
    end
    return effect("exec", input, input.timeout + EXEC_GRACE, true)
end

---- ask --------------------------------------------------------------------------------------------------------------------------

local function choices(v, name, whose)
    local n = type(v) == "table" and #v or 0
    local list, seen = array({}), {}
    for i = 1, math_type(n) == "integer" and n or 0 do
        if type(v[i]) ~= "string" or v[i] == "" or seen[v[i]] then
            fail(format("%s: %s takes a list of texts, all different; item %d is not one", whose, name, i))
        end
        list[i], seen[v[i]] = v[i], true
    end
    if #list == 0 then fail(format('%s: %s takes a list of texts, such as { "yes", "no" }', whose, name)) end
    return list
end

local ASK_OPTIONS = { choices = choices, default = text, label = text }

function env.ask(question, opts)
    if type(question) ~= "string" or question == "" then fail("ask takes a question, got " .. (question == "" and "an empty text" or type(question))) end
    local input = read_options(opts, ASK_OPTIONS, "ask")
    input.question = question
    local known = input.choices == nil or input.default == nil
    for i = 1, known and 0 or #input.choices do known = known or input.choices[i] == input.default end
    if not known then fail("ask: default is none of the choices: " .. input.default) end
    return effect("ask", input, NO_DEADLINE) -- people take their time
end

for _, name in pairs({ "files", "read", "exec", "ask" }) do
    env[name] = host.front(env[name])
end

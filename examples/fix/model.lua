-- model.lua: the offline model of fix.lua, for  --model rules:examples/fix/model.lua
--
-- It mends as a machine would: reads the source, changes one operator after the other, and runs the test each time. A pure
-- function of the request: which change comes next stands in the conversation.

local SOURCE = "src/text.c"
local CHANGES = { ["<="] = "<", [">="] = ">", ["<"] = "<=", [">"] = ">=", ["=="] = "!=", ["!="] = "==" }

local function text_of(content)
  if type(content) == "string" then return content end
  local parts = {}
  for _, block in ipairs(content) do parts[#parts + 1] = block.text end
  return table.concat(parts, "\n")
end

-- The source as the first answer of `read` showed it; how many commands ran, whether the last one went well, how many edits.
local function history(messages)
  local lines, runs, well, edits = {}, 0, false, 0
  local tool = {} -- name by id
  for _, message in ipairs(messages) do
    for _, block in ipairs(type(message.content) == "table" and message.content or {}) do
      if block.type == "tool_use" then tool[block.id] = block.name end
      if block.type == "tool_result" then
        local text = text_of(block.content)
        if tool[block.tool_use_id] == "read" then
          for number, line in text:gmatch("%f[^\n\0] *(%d+)\t([^\n]*)") do lines[tonumber(number)] = line end
        elseif tool[block.tool_use_id] == "bash" then
          runs, well = runs + 1, text:find("(no output)", 1, true) ~= nil
        else
          edits = edits + 1
        end
      end
    end
  end
  return lines, runs, well, edits
end

-- Every way to change one operator. A line and the one before it, so that they stand in the file only once.
local function candidates(lines)
  local list = {}
  for number, line in ipairs(lines) do
    local context = number > 1 and lines[number - 1] .. "\n" or ""
    for from, operator, to in line:gmatch("()([<>=!]+)()") do
      local other = CHANGES[operator]
      if other and not line:find("^#") then
        list[#list + 1] = { old = context .. line, new = context .. line:sub(1, from - 1) .. other .. line:sub(to), line = number }
      end
    end
  end
  return list
end

local function call(name, input)
  return { name = name, input = input }
end

return function(request)
  local prompt = text_of(request.messages[1].content)
  local lines, runs, well, edits = history(request.messages)
  local command = prompt:match("`([^`]+)` runs it")
  if not command then return { text = "there is no test to run" } end
  if #lines == 0 then return { tool = call("read", { path = SOURCE }) } end
  local list = candidates(lines)
  local last, next_one = list[runs], list[runs + 1]
  if well then return { text = ("%s:%d: a wrong operator"):format(SOURCE, last.line) } end
  local undo = last and call("edit", { path = SOURCE, old = last.new, new = last.old })
  if not next_one and edits < 2 * runs then return { tool = undo } end
  if not next_one then return { text = "no change of one operator mends it" } end
  local calls = {}
  if undo then calls[1] = undo end
  calls[#calls + 1] = call("edit", { path = SOURCE, old = next_one.old, new = next_one.new })
  calls[#calls + 1] = call("bash", { command = command, timeout = 10 })
  return { tools = calls }
end

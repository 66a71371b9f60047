-- model.lua: the offline model of review.lua, for  --model rules:examples/review/model.lua
--
-- A pure function of the request: it remembers nothing. What it has read so far stands in the conversation.

local function text_of(content)
  if type(content) == "string" then return content end
  local parts = {}
  for _, block in ipairs(content) do parts[#parts + 1] = block.text end
  return table.concat(parts, "\n")
end

-- The lines that the read tool has shown so far, by number; where to go on, if there is more; why it could not read.
local function lines_read(messages)
  local lines, from, broken = {}, 1, nil
  for _, message in ipairs(messages) do
    for _, block in ipairs(type(message.content) == "table" and message.content or {}) do
      if block.type == "tool_result" then
        local text = text_of(block.content)
        for number, line in text:gmatch("%f[^\n\0] *(%d+)\t([^\n]*)") do lines[tonumber(number)] = line end
        from = tonumber(text:match("read again with from=(%d+)%s*$"))
        broken = broken or block.is_error and text
      end
    end
  end
  return lines, from, broken
end

local function remarks_on(line, number, remarks)
  local function add(quote, problem)
    remarks[#remarks + 1] = { line = number, quote = quote, problem = problem }
  end
  for mark in line:gmatch("%f[%w]%u+%f[^%w]") do
    if mark == "TODO" or mark == "FIXME" or mark == "TBD" then add(mark, "a mark of unfinished work") end
  end
  local before, gap_ok = nil, false
  for word, gap in line:gmatch("(%a+)([^%a]*)") do
    if gap_ok and word:lower() == before then add(before .. " " .. word, "a word stands twice") end
    before, gap_ok = word:lower(), gap:find("^%s+$") ~= nil
  end
end

local function result(input)
  return { tool = { name = "result", input = input } }
end

local function proof_read(request, path)
  local lines, from, broken = lines_read(request.messages)
  if broken then return { text = broken } end
  if from then return { tool = { name = "read", input = { path = path, from = from } } } end
  local remarks, code = json.array {}, false
  for number, line in ipairs(lines) do -- what stands between ``` and ``` is code
    if line:find("^%s*```") then code = not code elseif not code then remarks_on(line, number, remarks) end
  end
  return result { remarks = remarks }
end

-- A remark stands if its words are there. Inside `code` they are an example, not a mistake.
local function refute(request, claim)
  local lines, _, broken = lines_read(request.messages)
  local line = lines[claim.line]
  if not line and not broken then
    return { tool = { name = "read", input = { path = claim.file, from = claim.line, to = claim.line } } }
  end
  local prose = (line or ""):gsub("`[^`]*`", "")
  local there = prose:lower():find(claim.quote:lower():gsub("%s+", " "), 1, true) ~= nil
  return result { refuted = not there, reason = there and "the words are there" or "not in the prose of that line" }
end

return function(request)
  local task = text_of(request.messages[1].content)
  local path = task:match("^Proof%-read the file ([^\n]+)")
  if path then return proof_read(request, path) end
  local claim = task:match("\nClaim:\n(%b{})")
  if claim then return refute(request, json.decode(claim)) end
  return { text = "I only proof-read files and check remarks about them." }
end

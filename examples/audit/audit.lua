-- audit.lua: finds defects in C sources, then tries to refute each finding; reports what survives.
--
--   wf run examples/audit/audit.lua -- dir=src
--   wf run examples/audit/audit.lua -- dir=src,lib format=json
--   wf run examples/audit/audit.lua --args '{"globs": ["src/*.c", "include/**/*.h"]}'
--
-- One agent per file finds. Two refuters per finding, each with its own lens, read the code again and try to show
-- that the finding is wrong. Nothing is dropped in silence: files that could not be audited and findings whose check
-- did not run are listed as such, also when the run is stopped half-way by a budget.

meta = {
  name = "audit",
  description = "Find defects in C sources, try to refute each one, report what survives",
  phases = { { title = "Find" }, { title = "Verify" }, { title = "Report" } },
  args = {
    type = { "object", "null" },
    properties = {
      dir = { type = "string", description = "directories with C sources, comma-separated; default: src" },
      globs = { type = "array", items = { type = "string" }, description = "which files, instead of dir" },
      format = { enum = { "text", "json" }, description = "how the report comes; default: text" },
    },
    additionalProperties = false,
  },
}

local given = args ~= null and args or {}
local SEVERITIES = { "high", "medium", "low" }
local LENSES = { "correctness", "reachability" }

-- Rule and what counts as its violation, in the words that the finder and the refuters are given.
local RULES = {
  { "banned-call", "gets; strcpy, strcat, stpcpy, sprintf, vsprintf without a bound; tmpnam, tempnam, mktemp" },
  { "unbounded-copy", "memcpy, memmove, strncpy, read, recv or a copying loop into a buffer of fixed size, when "
    .. "nothing limits the length; scanf with %s or %[ and no width" },
  { "format-string", "a printf-like call whose format is not a literal, unless it only passes on its caller's format" },
  { "alloc-unchecked", "the result of malloc, calloc, realloc, strdup and the like is used before it is tested" },
  { "null-unchecked", "the result of another function that may return NULL (fopen, getenv, strchr, ...) is used before "
    .. "it is tested" },
  { "realloc-lost", "p = realloc(p, n): the old block is lost when it fails and the program goes on" },
  { "alloc-overflow", "the size of an allocation is a product that can overflow" },
  { "fall-through", "a case runs into the next one, and neither a comment nor an attribute says that it should" },
  { "assign-in-condition", "= where == was meant" },
  { "sizeof-pointer", "the size of a pointer is taken where the size of what it points to was meant" },
  { "off-by-one", "a loop or an index goes one beyond the end of an array" },
}

local function rule_names()
  local names = {}
  for i, rule in ipairs(RULES) do names[i] = rule[1] end
  return names
end

local function rule_text()
  local lines = {}
  for i, rule in ipairs(RULES) do lines[i] = ("- %s: %s"):format(rule[1], rule[2]) end
  return table.concat(lines, "\n")
end

local FINDINGS = {
  type = "object",
  required = { "findings" },
  additionalProperties = false,
  properties = {
    findings = {
      type = "array",
      items = {
        type = "object",
        required = { "file", "line", "rule", "severity", "summary", "evidence" },
        additionalProperties = false,
        properties = {
          file = { type = "string", description = "the path as given in the task" },
          line = { type = "integer", minimum = 1, description = "the line of the call or expression at fault" },
          rule = { enum = rule_names() },
          severity = { enum = SEVERITIES, description = "high: memory is overwritten or an attacker gains control; "
            .. "medium: a crash, a leak or a wrong result; low: fragile, but right today" },
          summary = { type = "string", minLength = 1, description = "one sentence: what goes wrong, and when" },
          evidence = { type = "string", description = "that line of the file, word for word" },
        },
      },
    },
  },
}

local FIND = [[
Audit the C source file %s

Read the whole file with the read tool; it may come in several pieces. Follow what it uses into other files, with
grep and read, where a finding hangs on it. Then report every defect of these kinds, and of no other kind:

%s

What counts: code that is compiled and that can go wrong for some input, size, or failure of a call. Report the line
of the call or expression at fault, not of the function, one finding for each place.
What does not count: anything in comments, strings or code switched off by the preprocessor; style; what a test,
an assertion or a type in the code before it makes impossible; anything you could not see in the file itself.
An empty list is a good answer. A finding that turns out wrong costs more than one that was missed.]]

local CONTEXT = [[
The claim is a finding about a C source file: `file` is its path in the workspace, `line` the line at fault, `rule`
one of the kinds below. Read the code around that line with the read tool, the whole function at least, and grep for
the definitions and callers that the question hangs on. Trust the code, not the claim's words.

What the two lenses ask. Correctness: is the defect there in the code as it is compiled? Look for a line that does not
say what the claim quotes, for comments, strings, switched-off code, macros, declarations and tests that the claim
overlooked. Reachability: can it happen? Look at the callers, at the types and ranges of the operands, at limits that
were tested before, at code that is never called.

The kinds:
]] .. rule_text()

-- ---- finding and verifying -------------------------------------------------------------------------------------

local outcomes = {} -- by index of the file: { kept, refuted, unverified }; shared, so that a stop loses nothing

local function reason_of(err)
  if type(err) == "table" then return ("%s: %s"):format(err.kind or "error", err.message or "no reason given") end
  return tostring(err)
end

local function find(path)
  return agent(FIND:format(path, rule_text()), { label = path, phase = "Find", schema = FINDINGS })
end

-- The findings without repetitions, each with the path that was asked for.
local function distinct(findings, path)
  local list, seen = {}, {}
  for _, finding in ipairs(findings) do
    local key = finding.line .. " " .. finding.rule
    if not seen[key] then
      seen[key] = true
      finding.file = path
      list[#list + 1] = finding
    end
  end
  return list
end

-- Puts a claim that did not survive where it belongs: refuted, or not verified.
local function file_away(outcome, entry)
  if entry.verdict == "no" then
    outcome.refuted[#outcome.refuted + 1] = { claim = entry.claim, reasons = entry.reasons }
  else
    outcome.unverified[#outcome.unverified + 1] = { claim = entry.claim, reasons = entry.reasons }
  end
end

local function check(found, path, index)
  local claims = distinct(found.findings, path)
  local outcome = { kept = {}, refuted = {}, unverified = {} }
  outcomes[index] = outcome
  if #claims == 0 then return true end
  -- If the run stops, what was not heard stands in the report, as not verified.
  local kept, rest = verify(claims, { lenses = LENSES, context = CONTEXT, phase = "Verify", label = path })
  outcome.kept = kept
  for _, entry in ipairs(rest) do file_away(outcome, entry) end
  return true
end

-- ---- the report ------------------------------------------------------------------------------------------------

-- Gathers the outcomes of all files, in the order of the files.
local function gather(paths, errors)
  local all = { files = #paths, found = 0, findings = json.array {}, refuted = json.array {},
    unverified = json.array {}, failed = json.array {} }
  for index, path in ipairs(paths) do
    local outcome = outcomes[index]
    if outcome then
      table.move(outcome.kept, 1, #outcome.kept, #all.findings + 1, all.findings)
      table.move(outcome.refuted, 1, #outcome.refuted, #all.refuted + 1, all.refuted)
      table.move(outcome.unverified, 1, #outcome.unverified, #all.unverified + 1, all.unverified)
    else
      all.failed[#all.failed + 1] = { file = path, reason = reason_of(errors[index] or "it was not run") }
    end
  end
  all.found = #all.findings + #all.refuted + #all.unverified
  return all
end

local function add(lines, format, ...)
  lines[#lines + 1] = format:format(...)
end

local function add_finding(lines, finding)
  add(lines, "  %s:%d  %s", finding.file, finding.line, finding.rule)
  add(lines, "      %s", finding.summary)
  add(lines, "      | %s", finding.evidence:match("^%s*([^\n]*)"))
end

local function add_section(lines, title, items, add_item)
  if #items == 0 then return end
  add(lines, "")
  add(lines, "%s (%d)", title, #items)
  for _, item in ipairs(items) do add_item(lines, item) end
end

local function add_unverified(lines, entry)
  add_finding(lines, entry.claim)
  for _, reason in ipairs(entry.reasons) do add(lines, "      not checked: %s", reason_of(reason)) end
end

local function as_text(all)
  local lines = {}
  add(lines, "Audit of %d files: %d findings, of which %d refuted, %d not verified, %d kept.", all.files, all.found,
    #all.refuted, #all.unverified, #all.findings)
  for _, severity in ipairs(SEVERITIES) do
    local items = {}
    for _, finding in ipairs(all.findings) do
      if finding.severity == severity then items[#items + 1] = finding end
    end
    add_section(lines, severity:upper(), items, add_finding)
  end
  add_section(lines, "NOT VERIFIED", all.unverified, add_unverified)
  add_section(lines, "FILES NOT AUDITED", all.failed, function(to, item)
    add(to, "  %s: %s", item.file, item.reason)
  end)
  return table.concat(lines, "\n")
end

local function globs()
  if given.globs then return given.globs end
  local list = {}
  for dir in (given.dir or "src"):gmatch("[^,]+") do list[#list + 1] = dir:gsub("/+$", "") .. "/**/*.c" end
  return list
end

local paths = files(table.unpack(globs()))
if #paths == 0 then error("no file matches " .. table.concat(globs(), ", ") .. "; name others with  -- dir=DIR", 0) end
log("%d files to audit", #paths)

local _, failures = pipeline(paths, find, check)
phase("Report")
local all = gather(paths, failures.at)
log("%d found, %d refuted, %d kept", all.found, #all.refuted, #all.findings)
if given.format == "json" then return all end
return as_text(all)

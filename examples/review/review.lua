-- review.lua: proof-reads text files; keeps only the remarks that a second reader confirms.
--
--   wf run examples/review/review.lua -- glob=README.md

meta = {
  name = "review",
  description = "Proof-read texts, keep what a second reader confirms",
  phases = { { title = "Read" }, { title = "Confirm" } },
}

local REMARKS = {
  type = "object", required = { "remarks" }, additionalProperties = false,
  properties = { remarks = { type = "array", items = {
    type = "object", required = { "line", "quote", "problem" }, additionalProperties = false,
    properties = {
      line = { type = "integer", minimum = 1 },
      quote = { type = "string", description = "the words at fault, exactly as they stand" },
      problem = { type = "string", description = "what is wrong with them, in a few words" },
    },
  } } },
}

local READ = [[
Proof-read the file %s

Read all of it with the read tool. Report words that stand twice in a row by mistake, and marks of unfinished work
(TODO, FIXME, TBD). No matters of taste. An empty list is a good answer.]]

local function proof_read(path)
  return agent(READ:format(path), { label = path, phase = "Read", schema = REMARKS })
end

local function confirm(found, path)
  for _, remark in ipairs(found.remarks) do remark.file = path end
  local kept, rest = verify(found.remarks, { lenses = { "accuracy" }, phase = "Confirm", label = path })
  for _, entry in ipairs(rest) do
    if entry.verdict == "not run" then -- nobody could look: that is no refutation
      entry.claim.problem = entry.claim.problem .. " (not confirmed)"
      table.insert(kept, entry.claim)
    end
  end
  return kept
end

local paths = files((args or {}).glob or "**/*.md")
local results, failures = pipeline(paths, proof_read, confirm)

local report = {}
for i, path in ipairs(paths) do
  for _, remark in ipairs(results[i] or {}) do
    table.insert(report, ("%s:%d: %s: %s"):format(path, remark.line, remark.problem, remark.quote))
  end
  if failures.at[i] then table.insert(report, ("%s: not read: %s"):format(path, failures.at[i])) end
end
log("%d files, %d remarks", #paths, #report)
return #report > 0 and table.concat(report, "\n") or "nothing to remark"

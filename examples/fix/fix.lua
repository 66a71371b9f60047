-- fix.lua: makes failing tests pass. One agent mends what one test shows, and the test itself says whether it is mended.
--
--   cp -r examples/fix/tree /tmp/tree
--   wf run examples/fix/fix.lua --root /tmp/tree --allow read,write,bash,exec
--
-- args: tests  which files are tests ("tests/*.c")
--       run    the program that runs the one it is given, and exits with 0 if it passes ("./run-test")

meta = {
  name = "fix",
  description = "Make failing tests pass, and prove it by running them",
  phases = { { title = "Test" }, { title = "Mend" }, { title = "Prove" } },
}

local tests = files(args and args.tests or "tests/*.c")
local program = args and args.run or "./run-test"

local MEND = [[
The test %s fails. What it says:

%s

Mend the code that it tests; the test is right, and is not to be changed. `%s` runs it. Go on until it passes, then answer in one
line what was wrong.]]

-- Whether a test passes, and what it says.
local function passes(test)
  local run, err = exec({ program, test }, { timeout = "5m" })
  if not run then return false, err.message end
  return run.code == 0, run.out .. run.err
end

local function mend(test, said)
  local before = read(test)
  return agent(MEND:format(test, said, program .. " " .. test), {
    label = test, phase = "Mend",
    check = function()
      local good, now = passes(test)
      if not good then return false, "the test still fails: " .. now end
      return read(test) == before, "the test was changed"
    end,
  })
end

-- One after the other: the agents work in the same files.
phase("Test")
local report = { mended = {}, failing = json.array {} }
for _, test in ipairs(tests) do
  local good, said = passes(test)
  if not good then
    log("%s fails", test)
    report.mended[test] = mend(test, said) -- nil: nobody could; it is seen below
  end
end

-- What mends one thing may break another.
phase("Prove")
for _, test in ipairs(tests) do
  if not passes(test) then table.insert(report.failing, test) end
end
return report

-- model.lua: the offline model of the audit workflow, for  --model rules:examples/audit/model.lua
--
-- It plays both parts of audit.lua without a network. As a finder it reads a C file through the `read` tool, cuts it
-- into tokens and reports every token shape that looks like one of the RULES. As a refuter it reads the code around
-- one claim again, asks `grep` about the rest of the tree, and looks for a reason why the claim does not hold.
--
-- Contract: the file returns a pure function of the request. It keeps no memory between turns: each turn runs the
-- same straight code from the start, takes the answers of earlier tool calls out of the conversation, and ends either
-- with the calls whose answers are still missing or with the result.
--
-- The work is linear in the size of the file: one pass for the tokens, one for the rules; what a rule scans beyond
-- its token is the rest of one statement, or of one function up to the first use of one variable.

-- ---- words ------------------------------------------------------------------------------------------------------

local function set(words)
  local t = {}
  for word in words:gmatch("%S+") do t[word] = true end
  return t
end

local KEYWORD = set [[return goto break continue if else for while do switch case default sizeof typedef]]
local JUMP = set [[return goto break continue]]
local EXIT = set [[exit _exit _Exit abort quick_exit longjmp siglongjmp __builtin_unreachable __builtin_trap
  unreachable]]
local COMPARE = set [[< > <= >=]]
local OP3 = set [[<<= >>= ...]]
local OP2 = set [[-> ++ -- << >> <= >= == != && || += -= *= /= %= &= |= ^= ##]]
local SMALL = set [[char bool _Bool short int8_t uint8_t int16_t uint16_t signedchar unsignedchar unsignedshort shortint
  unsignedshortint signedshort]]
local QUALIFIER = set [[const volatile static register restrict extern inline struct union enum]]

local ALLOC = set [[malloc calloc realloc reallocarray aligned_alloc strdup strndup]]
local NULLABLE = set [[fopen fdopen freopen tmpfile popen opendir getenv strchr strrchr strstr strpbrk memchr bsearch
  localtime gmtime setlocale]]
local BANNED = {
  gets = "cannot be told the size of its buffer", strcpy = "copies without a bound", strcat = "appends without a bound",
  stpcpy = "copies without a bound", sprintf = "writes without a bound", vsprintf = "writes without a bound",
  tmpnam = "names a file that another process may create first",
  tempnam = "names a file that another process may create first",
  mktemp = "names a file that another process may create first",
}
-- Which argument is the format.
local FORMAT = {
  printf = 1, vprintf = 1, fprintf = 2, vfprintf = 2, dprintf = 2, sprintf = 2, vsprintf = 2, snprintf = 3,
  vsnprintf = 3, syslog = 2, vsyslog = 2, err = 2, errx = 2, warn = 1, warnx = 1,
}
local SCAN = { scanf = 1, fscanf = 2, sscanf = 2 }
-- Copies with a length: destination and length argument.
local COPY = { memcpy = { 1, 3 }, memmove = { 1, 3 }, strncpy = { 1, 3 }, read = { 2, 3 }, recv = { 2, 3 } }
-- Library functions that follow the pointers they are given.
local FOLLOWS = set [[strlen strnlen strcpy strncpy strcat strncat strcmp strncmp strcasecmp strncasecmp strchr strrchr
  strstr strdup strndup strtol strtoul strtoll strtoull strtod strtok atoi atol atoll atof memcpy memmove memset memcmp
  memchr sprintf snprintf puts fputs fgets fgetc getc fputc putc fread fwrite fseek ftell fprintf fscanf sscanf fclose
  fflush fileno feof ferror rewind readdir closedir pclose qsort]]

-- A name like xassert, CHECK_PTR, die_unless: a call that is there to test its argument.
local function is_guard(name)
  local low = name:lower()
  for _, part in ipairs { "assert", "check", "require", "ensure", "expect", "verify", "die", "oom" } do
    if low:find(part, 1, true) then return true end
  end
  return false
end

local function is_name(s)
  return s:find("^[%a_]") ~= nil and not KEYWORD[s]
end

local function is_constant(s) -- a number, or a name that by custom is a macro or an enumerator
  return s:find("^%d") ~= nil or s:find("^[%u_][%u%d_]*$") ~= nil
end

-- ---- tokens -----------------------------------------------------------------------------------------------------

-- The end of a string or character literal that opens at `from`.
local function literal_end(line, from)
  local quote, at = line:sub(from, from), from + 1
  while true do
    local hit = line:find("[\\" .. quote .. "]", at)
    if not hit then return #line end
    if line:sub(hit, hit) == quote then return hit end
    at = hit + 2
  end
end

local function token_end(line, at)
  local _, stop = line:find("^[%a_][%w_]*", at)
  if stop then return stop end
  _, stop = line:find("^%.?%d[%w_.]*", at)
  if stop then return stop end
  local first = line:sub(at, at)
  if first == '"' or first == "'" then return literal_end(line, at) end
  if OP3[line:sub(at, at + 2)] then return at + 2 end
  if OP2[line:sub(at, at + 1)] then return at + 1 end
  return at
end

-- A conditional directive: each branch starts with the brackets that were open before the first one, so that a
-- brace opened in both branches of #if/#else counts once.
local function directive(line, saved, open)
  local word = line:match("^%s*#%s*(%a+)") or ""
  if word:find("^if") then
    saved[#saved + 1] = table.move(open, 1, #open, 1, {})
  elseif word:find("^el") and saved[#saved] then
    for i = #open, 1, -1 do open[i] = nil end
    table.move(saved[#saved], 1, #saved[#saved], 1, open)
  elseif word == "endif" then
    saved[#saved] = nil
  end
end

local CLOSER = { [")"] = "(", ["]"] = "[", ["}"] = "{" }

local function add_token(c, open, text, line)
  local n = c.n + 1
  c.n, c.s[n], c.line[n] = n, text, line
  local opener = CLOSER[text]
  if opener and #open > 0 and c.s[open[#open]] == opener then
    local at = table.remove(open)
    c.pair[n], c.pair[at] = at, n
  end
  c.up[n] = open[#open] or 0
  local linkage = text == "{" and (c.s[n - 1] or ""):sub(1, 1) == '"' and c.s[n - 2] == "extern"
  if (text == "(" or text == "[" or text == "{") and not linkage then open[#open + 1] = n end
end

-- Code: parallel arrays over the tokens of lines[first..last]. s: text; line: line number; up: the bracket around
-- it (0: none); pair: the other end of a bracket. fall[i]: a comment after token i announces a fall-through.
-- Comments and directives yield no tokens; literals are one token each.
local function lex(lines, first, last, in_comment)
  local c = { s = { [0] = "" }, line = {}, up = { [0] = 0 }, pair = {}, fall = {}, n = 0, lines = lines }
  local open, saved, in_directive = {}, {}, false
  local function comment(text)
    local low = text:lower()
    if low:find("fall", 1, true) and low:find("thr", 1, true) then c.fall[c.n] = true end
  end
  for number = first, last do
    local line, at = lines[number] or "", 1
    if not in_comment and not in_directive and line:find("^%s*#") then
      in_directive = true
      directive(line, saved, open)
    end
    while at <= #line do
      if in_comment then
        local stop = line:find("*/", at, true)
        comment(line:sub(at, stop or #line))
        in_comment, at = not stop, (stop or #line) + 2
      else
        at = line:find("%S", at) or #line + 1
        local two = line:sub(at, at + 1)
        if two == "//" then
          comment(line:sub(at))
          at = #line + 1
        elseif two == "/*" then
          in_comment, at = true, at + 2
        elseif at <= #line then
          local stop = token_end(line, at)
          if not in_directive then add_token(c, open, line:sub(at, stop), number) end
          at = stop + 1
        end
      end
    end
    if not in_comment then in_directive = in_directive and line:sub(-1) == "\\" end
  end
  for i = 1, 4 do c.s[c.n + i] = "" end
  return c
end

-- ---- shapes over tokens -----------------------------------------------------------------------------------------

local function text_of(c, lo, hi)
  return table.concat(c.s, "", lo, hi)
end

-- The token after the bracketed group that opens at i, or the last one when it never closes.
local function after(c, i)
  return (c.pair[i] or c.n) + 1
end

-- The functions of the code: name, parameters at lo..hi of `params`, body braces lo..hi.
local function functions(c)
  local list = {}
  for i = 1, c.n do
    if c.s[i] == "{" and c.up[i] == 0 then
      local close = i - 1
      if c.s[close] ~= ")" and c.s[close - 1] == ")" then close = close - 1 end -- f(...) NORETURN {
      while c.s[close] == ")" and c.pair[close] do
        local name = c.s[c.pair[close] - 1]
        if name ~= "__attribute__" and c.s[c.pair[close] - 2] ~= ")" then break end
        close = c.pair[close] - 2
      end
      local open = c.s[close] == ")" and c.pair[close]
      if open and is_name(c.s[open - 1]) then
        local f = { name = c.s[open - 1], plo = open, phi = close, lo = i, hi = c.pair[i] or c.n, static = false }
        local k = open - 2
        while k > 0 and not (c.s[k] == ";" or c.s[k] == "}") do
          f.static = f.static or c.s[k] == "static"
          k = k - 1
        end
        list[#list + 1] = f
      end
    end
  end
  return list
end

-- The arguments of the call whose name is token i: a list of { lo, hi }.
local function arguments(c, i)
  local open, list = i + 1, {}
  local lo, close = open + 1, c.pair[open] or c.n
  for k = lo, close do
    if k == close or (c.s[k] == "," and c.up[k] == open) then
      if k > lo then list[#list + 1] = { lo, k - 1 } end
      lo = k + 1
    end
  end
  return list
end

local function is_call(c, i)
  local prev = c.s[i - 1]
  if c.s[i + 1] ~= "(" or not c.pair[i + 1] or prev == "." or prev == "->" then return false end
  return not (is_name(prev) or (prev == "*" and is_name(c.s[i - 2]))) -- else a declaration
end

-- One declarator at k: pointers, name, array size. Returns the name, its entry, and the token after it.
local function declarator(c, k)
  local stars = 0
  while c.s[k] == "*" or c.s[k] == "const" or c.s[k] == "restrict" do
    if c.s[k] == "*" then stars = stars + 1 end
    k = k + 1
  end
  local name, entry = c.s[k], { stars = stars }
  if not is_name(name) then return nil end
  k = k + 1
  if c.s[k] == "[" then
    entry.size = text_of(c, k + 1, after(c, k) - 2)
    k = after(c, k)
    while c.s[k] == "[" do k = after(c, k) end
  end
  return name, entry, k
end

-- The type words of a declaration at k: their text, and where the first declarator begins; nil when it is none.
local function type_words(c, k)
  local words = {}
  while is_name(c.s[k]) do
    if not QUALIFIER[c.s[k]] then words[#words + 1] = c.s[k] end
    k = k + 1
  end
  if c.s[k] ~= "*" then
    k = k - 1
    words[#words] = nil
  end
  if #words == 0 then return nil end
  return table.concat(words), k
end

local function declaration(c, k, vars)
  local kind, at = type_words(c, k)
  while kind do
    local name, entry, next_at = declarator(c, at)
    local stop = next_at and c.s[next_at]
    if not (stop == ";" or stop == "," or stop == "=" or stop == ":") then return end
    entry.kind, entry.at = kind, at
    vars[name] = entry
    at = next_at
    while at < c.n and not (c.s[at] == ";" or (c.s[at] == "," and c.up[at] == c.up[k])) do
      at = c.pair[at] and c.pair[at] > at and c.pair[at] + 1 or at + 1
    end
    if c.s[at] ~= "," then return end
    at = at + 1
  end
end

-- The variables of a function by name: { kind = type words, stars, size = text between [], param }.
local function variables(c, f)
  if f.vars then return f.vars end
  f.vars = {}
  for _, arg in ipairs(arguments(c, f.plo - 1)) do
    local kind, at = type_words(c, arg[1])
    if kind then
      local name, entry = declarator(c, at)
      if name then
        entry.kind, entry.param = kind, true
        f.vars[name] = entry
      end
    end
  end
  for k = f.lo + 1, f.hi do
    local prev = c.s[k - 1]
    local starts = prev == ";" or prev == "{" or prev == "}" or prev == ":" or (prev == "(" and c.s[k - 2] == "for")
    if starts and is_name(c.s[k]) then declaration(c, k, f.vars) end
  end
  return f.vars
end

-- A local array that is not a parameter.
local function local_array(c, f, name)
  local var = variables(c, f)[name]
  return var and var.size and not var.param and var.stars == 0 and var or nil
end

-- The assigned expression left of the `=` at e: { lo, hi } of its tokens; nil when it is not a plain one.
local function assigned(c, e)
  local k = e - 1
  while true do
    while c.s[k] == "]" and c.pair[k] do k = c.pair[k] - 1 end
    if not is_name(c.s[k]) then return nil end
    if c.s[k - 1] ~= "." and c.s[k - 1] ~= "->" then break end
    k = k - 2
  end
  if c.s[k - 1] == "*" and not is_name(c.s[k - 2]) then return nil end
  return { k, e - 1 }
end

-- What the call at i is assigned to, looking past casts.
local function assigned_to(c, i)
  local k = i - 1
  while c.s[k] == ")" and c.pair[k] do k = c.pair[k] - 1 end
  return c.s[k] == "=" and assigned(c, k) or nil
end

local function same(c, k, range)
  for i = range[1], range[2] do
    if c.s[k + i - range[1]] ~= c.s[i] then return false end
  end
  return c.s[k - 1] ~= "." and c.s[k - 1] ~= "->"
end

-- The word before the bracket around token k: `if`, `while`, a function's name; "" for none.
local function owner(c, k)
  local up = c.up[k]
  return c.s[up] == "(" and c.s[up - 1] or ""
end

-- What a use of a pointer at tokens k..e means: "test", "use", "lost" (stop looking) or nil (go on).
local function meaning(c, k, e)
  local prev, nxt, own = c.s[k - 1], c.s[e + 1], owner(c, k)
  if own == "sizeof" or prev == "sizeof" then return nil end
  if prev == "!" or prev == "==" or prev == "!=" or nxt == "==" or nxt == "!=" or nxt == "?" then return "test" end
  if prev == "&&" or prev == "||" or nxt == "&&" or nxt == "||" then return "test" end
  if (own == "if" or own == "while") and prev == "(" and nxt == ")" then return "test" end
  if nxt == "->" or nxt == "[" then return "use" end
  if prev == "*" and not (is_name(c.s[k - 2]) or c.s[k - 2]:find("^[%d%])]")) then return "use" end
  if nxt == "=" or prev == "&" or prev == "=" or prev == "return" then return "lost" end
  if FOLLOWS[own] then return "use" end
  return nil
end

-- Where the statement that token k is part of ends.
local function statement_end(c, k)
  while k < c.n and c.s[k] ~= ";" do
    k = (c.s[k] == "(" or c.s[k] == "{") and after(c, k) or k + 1
  end
  return k
end

-- Follows a fresh pointer from token k to where control leaves: its first use before any test, or nil.
local function unchecked_use(c, f, k, range)
  local block, stop = c.up[k], f.hi
  while k < stop do
    if c.s[k] == c.s[range[1]] and same(c, k, range) then
      local what = meaning(c, k, k + range[2] - range[1])
      if what then return what == "use" and k or nil end
    elseif JUMP[c.s[k]] and c.up[k] == block and c.s[k - 1] ~= ")" and c.s[k - 1] ~= "else" and stop == f.hi then
      stop = statement_end(c, k)
    end
    k = k + 1
  end
  return nil
end

-- ---- statements -------------------------------------------------------------------------------------------------

local pass -- pass(c, k, hi): the token after the statement at k, and whether control can run on past it

local function pass_list(c, k, hi)
  local runs = true
  while k <= hi do k, runs = pass(c, k, hi) end
  return runs
end

local function has_token(c, lo, hi, words)
  for k = lo, hi do
    if words[c.s[k]] then return true end
  end
  return false
end

local BREAK, DEFAULT = set "break", set "default"

local function pass_loop(c, k, hi)
  local open = k + 1
  local head = text_of(c, open + 1, after(c, open) - 2)
  local stop = pass(c, after(c, open), hi)
  local endless = head == ";;" or head == "1" or head == "true"
  return stop, not endless or has_token(c, k, stop - 1, BREAK)
end

local function pass_switch(c, k, hi)
  local body = after(c, k + 1)
  local stop, runs = pass(c, body, hi)
  return stop, runs or has_token(c, body, stop - 1, BREAK) or not has_token(c, body, stop - 1, DEFAULT)
end

local function pass_if(c, k, hi)
  local stop, runs = pass(c, after(c, k + 1), hi)
  if c.s[stop] ~= "else" or stop > hi then return stop, true end
  local other_stop, other_runs = pass(c, stop + 1, hi)
  return other_stop, runs or other_runs
end

function pass(c, k, hi)
  local word = c.s[k]
  if word == "{" then return after(c, k), pass_list(c, k + 1, math.min(after(c, k) - 2, hi)) end
  if word == "if" then return pass_if(c, k, hi) end
  if word == "for" or word == "while" then return pass_loop(c, k, hi) end
  if word == "switch" then return pass_switch(c, k, hi) end
  if word == "do" then
    local stop, runs = pass(c, k + 1, hi)
    return statement_end(c, stop) + 1, runs
  end
  if word == "case" or word == "default" then
    while k < hi and c.s[k] ~= ":" do k = k + 1 end
    return k + 1, true
  end
  if is_name(word) and c.s[k + 1] == ":" then return k + 2, true end
  return statement_end(c, k) + 1, not (JUMP[word] or EXIT[word])
end

-- ---- rules ------------------------------------------------------------------------------------------------------
-- Each rule: severity; starts: the tokens at which it looks; at(c, f, i): the sentence about token i of function f,
-- or nil; and the doubts, one per lens, that a refuter has about a claim: each answers a reason to refute, or nil.
-- Finding is eager on purpose: it looks at shapes. Doubting looks at declarations, guards, and the rest of the tree.

local RULES = {}

local function first_name(c, lo, hi, used)
  for k = lo, hi do
    if is_name(c.s[k]) and not is_constant(c.s[k]) and not (used and used[c.s[k]]) then return c.s[k], k end
  end
  return nil
end

-- Is the comparison around token k a test that `name` is at most something? Answers "fits", "too large" or nil.
local function comparison(c, k)
  local up = c.up[k]
  for _, step in ipairs { 1, -1 } do
    local j = k + step
    while c.up[j] == up and j ~= up and c.s[j] ~= "&&" and c.s[j] ~= "||" and c.s[j] ~= ";" and j > 0 and j <= c.n do
      if COMPARE[c.s[j]] then
        local other = c.s[j + step]
        if other == "0" or other == "1" then return nil end
        local less = c.s[j]:sub(1, 1) == "<"
        return (less == (step == 1)) and "fits" or "too large"
      end
      local other = c.pair[j]
      j = (other and (other > j) == (step == 1) and other or j) + step
    end
    if c.s[up] == "(" and c.s[up - 1] == "strlen" then return comparison(c, up - 1) end
  end
  return nil
end

-- Is the value compared at token k known to be small where token i runs?
local function holds(c, k, i)
  local verdict = comparison(c, k)
  if not verdict then return false end
  local open = c.up[k]
  while open > 0 and not (c.s[open] == "(" and (c.s[open - 1] == "if" or is_guard(c.s[open - 1]))) do
    open = c.up[open]
  end
  if open == 0 then return false end
  if is_guard(c.s[open - 1]) then return verdict == "fits" end
  local body = after(c, open)
  local stop = c.s[body] == "{" and after(c, body) or statement_end(c, body) + 1
  if verdict == "fits" then return i >= body and i < stop end
  if i >= body and i < stop then return false end
  local _, runs = pass(c, body, c.n)
  return c.s[stop] == "else" or not runs or has_token(c, body, stop - 1, { [c.s[k]] = true })
end

-- Has `name` a known limit before token i of f? By a test, a clamp, a mask, or a call that was given one.
local function bounded(c, f, i, name)
  for k = f.lo, i - 1 do
    if c.s[k] == name then
      if holds(c, k, i) then return true end
      if c.s[k + 1] == "%=" or c.s[k + 1] == "&=" then return true end
      if c.s[k + 1] == "=" then
        for j = k + 2, statement_end(c, k) - 1 do
          local s = c.s[j]
          if s == "sizeof" or s == "%" or s:lower():find("min") or s:lower():find("clamp") then return true end
          if s == "&" and is_constant(c.s[j + 1]) then return true end
          if s == "?" and has_token(c, k, j, COMPARE) then return true end
        end
      end
    end
  end
  return false
end

-- Is every value that `name` is given in f a constant?
local function always_constant(c, f, name)
  local var = variables(c, f)[name]
  if not var or var.param then return false end
  local seen = false
  for k = f.lo, f.hi do
    if c.s[k] == name and c.s[k - 1] ~= "." and c.s[k - 1] ~= "->" then
      local nxt = c.s[k + 1]
      if nxt == "=" then
        seen = true
        for j = k + 2, statement_end(c, k) - 1 do
          if is_name(c.s[j]) and not is_constant(c.s[j]) then return false end
        end
      elseif (OP2[nxt] and nxt:sub(-1) == "=" and not COMPARE[nxt] and nxt ~= "==" and nxt ~= "!=")
        or nxt == "++" or nxt == "--" or c.s[k - 1] == "++" or c.s[k - 1] == "--" or c.s[k - 1] == "&" then
        return false
      end
    end
  end
  return seen
end

-- How many bytes a literal token stands for, its terminator included.
local function literal_size(s)
  return #s:sub(2, -2):gsub("\\x%x+", "x"):gsub("\\[0-7]+", "o"):gsub("\\.", "e") + 1
end

local WIDEST = { d = 11, i = 11, u = 10, x = 8, X = 8, o = 11, c = 1, ld = 20, li = 20, lu = 20, lx = 16, zu = 20,
  lld = 20, llu = 20, llx = 16, zd = 20, hu = 5, hd = 6, hhu = 3, hhx = 2 }

-- The most bytes that printf can write for this format literal, terminator included; nil when nothing bounds it.
local function widest(format)
  local total, rest = 1, format:sub(2, -2)
  rest = rest:gsub("%%%%", "p")
  rest = rest:gsub("%%[-+ #0]*(%d*)(%.?%d*)([hlzjt]*%a)", function(width, precision, kind)
    local size = WIDEST[kind] or (kind == "s" and tonumber(precision:sub(2)))
    total = total and size and total + math.max(size, tonumber(width) or 0, tonumber(precision:sub(2)) or 0)
    return ""
  end)
  return total and total + literal_size('"' .. rest .. '"') - 1
end

local function is_literal(s)
  return s:sub(1, 1) == '"'
end

-- The first hit of a grep over the tree whose text passes the test.
local function grep_any(world, pattern, test)
  for _, hit in ipairs(world.grep(pattern)) do
    if test(hit.text, hit) then return hit end
  end
  return nil
end

local function own_function(world, name)
  local hit = grep_any(world, name, function(text)
    return text:find("^[%a_][%w_ %*]*[ %*]" .. name .. "%s*%(") and not text:find(";%s*$")
      or text:find("^%s*#%s*define%s+" .. name .. "%f[^%w_]")
  end)
  return hit and ("%s is this project's own: %s:%d"):format(name, hit.path, hit.line)
end

local function copy_fits(c, f, i)
  local args = arguments(c, i)
  if #args < 2 then return nil end
  local dst, src = text_of(c, args[1][1], args[1][2]), c.s[args[2][1]]
  local array = local_array(c, f, dst)
  local size = array and tonumber(array.size)
  local bytes
  if c.s[i] == "sprintf" then
    bytes = is_literal(src) and args[2][1] == args[2][2] and widest(src)
  elseif c.s[i] ~= "vsprintf" then
    bytes = is_literal(src) and args[2][1] == args[2][2] and literal_size(src)
  end
  if size and bytes and c.s[i] ~= "strcat" and bytes <= size then
    return ("at most %d bytes are written, and %s holds %d"):format(bytes, dst, size)
  end
  local name = first_name(c, args[2][1], args[2][2])
  if name and c.s[i]:find("^st") and bounded(c, f, i, name) then
    return ("the length of %s is tested before the copy"):format(name)
  end
  if name and c.s[i] == "strcpy" then
    local wanted = "strlen(" .. text_of(c, args[2][1], args[2][2]) .. ")+1"
    for k = f.lo, i do
      if ALLOC[c.s[k]] and text_of(c, k, after(c, k + 1) - 1):find(wanted, 1, true) then
        return dst .. " is allocated to the length of the source"
      end
    end
  end
  return nil
end

RULES["banned-call"] = {
  severity = "high",
  starts = BANNED,
  at = function(c, f, i)
    return is_call(c, i) and ("%s() %s."):format(c.s[i], BANNED[c.s[i]])
  end,
  correctness = function(c, f, i, world) return own_function(world, c.s[i]) end,
  reachability = function(c, f, i) return copy_fits(c, f, i) end,
}

-- The conversion that reads a word of any length, when the scan format has one.
local function endless_scan(c, i)
  local args = arguments(c, i)
  local format = args[SCAN[c.s[i]]]
  format = format and is_literal(c.s[format[1]]) and text_of(c, format[1], format[2]) or ""
  return format:gsub("%%%%", ""):match("%%l?[s%[]")
end

local function open_copy(c, f, i)
  local shape = COPY[c.s[i]]
  local args = arguments(c, i)
  local dst, len = args[shape[1]], args[shape[2]]
  if not (dst and len) or has_token(c, len[1], len[2], { sizeof = true }) then return nil end
  local name = first_name(c, len[1], len[2])
  local array = c.s[dst[1]]
  if name and local_array(c, f, array) and not (c.s[dst[1] + 1] == "[" and c.s[dst[1] + 3] ~= "]") then
    return name, array
  end
  return nil
end

RULES["unbounded-copy"] = {
  severity = "high",
  starts = set [[scanf fscanf sscanf memcpy memmove strncpy read recv]],
  at = function(c, f, i)
    if not is_call(c, i) then return nil end
    if SCAN[c.s[i]] then
      local conversion = endless_scan(c, i)
      return conversion and ("%s() reads %s without a width into a buffer of fixed size."):format(c.s[i], conversion)
    end
    local name, array = open_copy(c, f, i)
    return name and ("%s() writes %s bytes into the array %s, and nothing limits %s."):format(c.s[i], name, array, name)
  end,
  correctness = function(c, f, i)
    if SCAN[c.s[i]] then return nil end
    local name, array = open_copy(c, f, i)
    if always_constant(c, f, name) then return name .. " is a constant here" end
    if variables(c, f)[array].size:find(name, 1, true) then
      return array .. " is declared with that very size"
    end
    return nil
  end,
  reachability = function(c, f, i)
    if SCAN[c.s[i]] then return nil end
    local args = arguments(c, i)
    local len = args[COPY[c.s[i]][2]]
    local seen = {}
    for _ = len[1], len[2] do
      local name = first_name(c, len[1], len[2], seen)
      if not name then break end
      if bounded(c, f, i, name) then return ("%s is limited before the copy"):format(name) end
      seen[name] = true
    end
    return nil
  end,
}

local function format_argument(c, i)
  local arg = arguments(c, i)[FORMAT[c.s[i]]]
  if not arg then return nil end
  local first = c.s[arg[1]]
  if is_literal(first) or (first:find("^[Lu]8?$") and is_literal(c.s[arg[1] + 1])) then return nil end
  return arg
end

-- Are all values that f gives to the variable `name` literals, or a choice between two?
local function only_literals(c, f, name)
  local var, seen = variables(c, f)[name], false
  if not var or var.param then return false end
  for k = f.lo, f.hi do
    local eq = c.s[k + 1] == "[" and after(c, k + 1) or k + 1
    if c.s[k] == name and c.s[eq] == "=" then
      local stop, from = statement_end(c, k), eq + 1
      for j = from, stop - 1 do
        if c.s[j] == "?" then from = j + 1 end
      end
      for j = from, stop - 1 do
        if not (is_literal(c.s[j]) or c.s[j] == ":") then return false end
      end
      seen = true
    end
  end
  return seen
end

-- Do all callers of the static function f pass literals without a % for parameter `name`?
local function callers_pass_literals(c, f, name, world, path)
  local place
  for n, arg in ipairs(arguments(c, f.plo - 1)) do
    if c.s[arg[2]] == name then place = n end
  end
  if not (f.static and place) then return false end
  local hits, calls = world.grep(f.name, path), 0
  if hits.cut then return false end
  for _, hit in ipairs(hits) do
    local code = lex({ hit.text }, 1, 1, false)
    for i = 1, code.n do
      if code.s[i] == f.name and is_call(code, i) then
        local arg = arguments(code, i)[place]
        if not (arg and is_literal(code.s[arg[1]])) or code.s[arg[1]]:find("%", 1, true) then return false end
        calls = calls + 1
      end
    end
  end
  return calls > 0
end

RULES["format-string"] = {
  severity = "high",
  starts = FORMAT,
  at = function(c, f, i)
    local arg = is_call(c, i) and format_argument(c, i)
    return arg and ("The format of %s() is %s, not a literal."):format(c.s[i], text_of(c, arg[1], arg[2]))
  end,
  correctness = function(c, f, i, world)
    local arg = format_argument(c, i)
    local name = c.s[arg[1]]
    if has_token(c, arg[1], arg[2], { ["?"] = true }) and is_literal(c.s[arg[2]]) then
      return "both choices of the format are literals"
    end
    if (name == "_" or name == "gettext" or name == "N_") and is_literal(c.s[arg[1] + 2]) then
      return "the format is a translated literal"
    end
    if arg[1] ~= arg[2] then return nil end
    if only_literals(c, f, name) then return name .. " is only ever given literals" end
    local hit = grep_any(world, name, function(text)
      local rest = text:match("#%s*define%s+" .. name .. "%s+(.*)") or text:match(name .. "%s*%[[^%]]*%]%s*=%s*(.*)")
      return rest and rest:find('^"')
    end)
    if hit then return ("%s is a literal: %s:%d"):format(name, hit.path, hit.line) end
    return is_constant(name) and ("%s is a macro of another library"):format(name) or nil
  end,
  reachability = function(c, f, i, world, path)
    local arg = format_argument(c, i)
    local name = c.s[arg[1]]
    local var = arg[1] == arg[2] and variables(c, f)[name]
    if not (var and var.param) then return nil end
    if has_token(c, f.plo, f.phi, { ["..."] = true, va_list = true }) then
      return ("%s() passes on the format of its own caller"):format(f.name)
    end
    if callers_pass_literals(c, f, name, world, path) then return "all callers pass a literal without conversions" end
    return nil
  end,
}

-- A fresh pointer at call i: how it is used before it is tested, in words; and the range assigned to.
local function fresh_use(c, f, i)
  local range = assigned_to(c, i)
  if not range then
    local own = owner(c, i)
    return FOLLOWS[own] and c.s[i - 1]:find("^[(,]$") and ("goes straight into %s()"):format(own) or nil
  end
  if c.s[c.up[i]] == "(" and owner(c, i) ~= "for" then return nil end -- (p = malloc(n)) inside a condition
  local k = unchecked_use(c, f, after(c, i + 1), range)
  if not k then return nil end
  return ("is used through %s in line %d without a test"):format(text_of(c, range[1], range[2]), c.line[k]), range, k
end

-- Is the pointer tested by a call that is there for that, between token i and token k?
local function guarded(c, i, k, range)
  for j = i, k - 1 do
    if c.s[j] == c.s[range[1]] and same(c, j, range) and is_guard(owner(c, j)) then return owner(c, j) end
  end
  return nil
end

local function doubt_fresh(c, f, i)
  local _, range, use = fresh_use(c, f, i)
  local guard = range and guarded(c, i, use, range)
  return guard and ("%s() tests it before the use"):format(guard)
end

RULES["alloc-unchecked"] = {
  severity = "medium",
  starts = ALLOC,
  at = function(c, f, i)
    local how = is_call(c, i) and fresh_use(c, f, i)
    return how and ("The result of %s() %s; it is NULL when memory is out."):format(c.s[i], how)
  end,
  correctness = doubt_fresh,
  reachability = function(c, f, i, world) return own_function(world, c.s[i]) end,
}

RULES["null-unchecked"] = {
  severity = "medium",
  starts = NULLABLE,
  at = function(c, f, i)
    local how = is_call(c, i) and fresh_use(c, f, i)
    return how and ("The result of %s() %s; it may be NULL."):format(c.s[i], how)
  end,
  correctness = doubt_fresh,
  reachability = function(c, f, i, world)
    local call = text_of(c, i, after(c, i + 1) - 1)
    if c.s[i]:find("^strr?chr$") and call:find(",'\\0')", 1, true) then return "every string has a terminator" end
    for k = f.lo, i - 1 do
      if c.s[k] == c.s[i] and text_of(c, k, after(c, k + 1) - 1) == call and owner(c, k) == "if" then
        return "the same call is tested before"
      end
    end
    return own_function(world, c.s[i])
  end,
}

-- The pointer that `p = realloc(p, n)` would lose, as a range.
local function lost_by_realloc(c, i)
  local range = is_call(c, i) and assigned_to(c, i)
  local arg = range and arguments(c, i)[1]
  if arg and text_of(c, arg[1], arg[2]) == text_of(c, range[1], range[2]) then return range end
  return nil
end

RULES["realloc-lost"] = {
  severity = "medium",
  starts = set "realloc reallocarray",
  at = function(c, f, i)
    local range = lost_by_realloc(c, i)
    return range and ("When realloc() fails, the block that %s pointed to is lost.")
      :format(text_of(c, range[1], range[2]))
  end,
  correctness = function(c, f, i)
    local range = lost_by_realloc(c, i)
    local name = text_of(c, range[1], range[2])
    for k = f.lo, i do
      if c.s[k] == "=" and text_of(c, k + 1, statement_end(c, k) - 1) == name then
        return name .. " is kept in another variable"
      end
    end
    return nil
  end,
  reachability = function(c, f, i)
    local range = lost_by_realloc(c, i)
    local stop = statement_end(c, i)
    for k = stop, math.min(stop + 40, f.hi) do
      local ends = EXIT[c.s[k]] or (is_guard(c.s[k]) and c.s[k + 1] == "(")
      if ends then return "the process ends when realloc() fails" end
      if c.s[k] == "}" or JUMP[c.s[k]] then break end
      if same(c, k, range) and meaning(c, k, k + range[2] - range[1]) == "use" then break end
    end
    return nil
  end,
}

-- The unknown factors of a product inside the arguments of the allocation at i: a list of token indexes.
local function factors(c, i)
  local close, list, product = c.pair[i + 1], {}, false
  local k = i + 2
  while k < (close or 0) do
    local s = c.s[k]
    if s == "sizeof" then
      k = c.s[k + 1] == "(" and after(c, k + 1) - 1 or k + 1
    elseif s == "*" and (is_name(c.s[k - 1]) or c.s[k - 1]:find("^[%d%])]")) and not c.s[k + 1]:find("^[)*,]$") then
      product = true
    elseif is_name(s) and not is_constant(s) and not (c.s[k + 1] == "*" and c.s[k + 2] == ")") then
      if c.s[k + 1] ~= "." and c.s[k + 1] ~= "->" then list[#list + 1] = k end
    end
    k = k + 1
  end
  return product and list or {}
end

RULES["alloc-overflow"] = {
  severity = "medium",
  starts = set "malloc realloc alloca",
  at = function(c, f, i)
    local list = is_call(c, i) and factors(c, i) or {}
    if c.s[i] == "realloc" and #list < 2 then list = {} end -- the first name is the old pointer
    return list[1] and ("The size given to %s() is a product with %s in it, which may overflow.")
      :format(c.s[i], c.s[list[#list]])
  end,
  correctness = function(c, f, i)
    for _, k in ipairs(factors(c, i)) do
      if not always_constant(c, f, c.s[k]) then return nil end
    end
    return "all factors are constants"
  end,
  reachability = function(c, f, i)
    local list = factors(c, i)
    for n = c.s[i] == "realloc" and 2 or 1, #list do
      local name = c.s[list[n]]
      local var = variables(c, f)[name]
      local small = var and var.stars == 0 and SMALL[var.kind]
      if not small and not bounded(c, f, i, name) then return nil end
    end
    return "every factor is limited by its type or by a test above"
  end,
}

-- The lines of a macro whose #define grep has found.
local function macro_text(world, hit)
  local parts = {}
  for _, line in ipairs(world.read(hit.path, hit.line, hit.line + 30)) do
    parts[#parts + 1] = line
    if line:sub(-1) ~= "\\" then break end
  end
  return table.concat(parts, "\n")
end

RULES["fall-through"] = {
  severity = "medium",
  starts = set "case default",
  at = function(c, f, i)
    local k = i - 1
    if c.s[k] ~= ";" and c.s[k] ~= "}" or c.fall[k] then return nil end
    local closed = 0
    while c.s[k] == "}" do k, closed = k - 1, closed + 1 end
    local last = k - 1
    while last > f.lo and not (c.s[last] == ";" or c.s[last] == "{" or c.s[last] == "}") do last = last - 1 end
    local first = last + 1
    while (c.s[first] == "case" or c.s[first] == "default") and first < k do
      while first < k and c.s[first] ~= ":" do first = first + 1 end
      first = first + 1
    end
    local plain = closed == 0 or (closed == 1 and (c.s[(c.pair[i - 1] or i) - 1] or ""):find("^[:;{}]$"))
    if JUMP[c.s[first]] and plain then return nil end
    if text_of(c, first, k):lower():find("fallthrough", 1, true) then return nil end
    return "Control falls from the statement above into this label, and nothing says that it should."
  end,
  correctness = function(c, f, i)
    local body = c.up[i] -- the brace of the switch; walk its statements from the top
    if c.s[body] ~= "{" then return "the label is not directly in a switch" end
    local k, runs = body + 1, true
    while k < i do k, runs = pass(c, k, i - 1) end
    return not runs and "every path through the statement above leaves" or nil
  end,
  reachability = function(c, f, i, world)
    local k = i - 2
    while k > f.lo and not (c.s[k] == ";" or c.s[k] == "{" or c.s[k] == "}" or c.s[k] == ":") do k = k - 1 end
    local name = c.s[k + 1]
    if not is_name(name) or c.s[k + 2] ~= "(" then return nil end
    local hit = grep_any(world, name, function(text) return text:lower():find("noreturn", 1, true) end)
    if hit then return ("%s() does not return: %s:%d"):format(name, hit.path, hit.line) end
    hit = grep_any(world, name, function(text) return text:find("^%s*#%s*define%s+" .. name .. "%(") end)
    local leaves = false
    for word in (hit and macro_text(world, hit) or ""):gmatch("[%w_]+") do leaves = leaves or JUMP[word] end
    return leaves and ("the macro %s leaves: %s:%d"):format(name, hit.path, hit.line) or nil
  end,
}

-- The `=` inside the condition at i that stands where a comparison is expected.
local function stray_assignment(c, i)
  local open = i + 1
  for k = open + 1, (c.pair[open] or open) - 1 do
    if c.s[k] == "=" and c.s[k - 1] ~= "]" then
      local level = c.up[k]
      local lo, hi = level + 1, (c.pair[level] or k) - 1
      local compared = has_token(c, lo, hi, set "== != < > <= >= ;")
      local outside = level ~= open and c.s[(c.pair[level] or k) + 1] or ""
      if COMPARE[outside] or outside == "==" or outside == "!=" then compared = true end
      if c.s[level] == "(" and not is_name(c.s[level - 1]) and not compared then return k end
    end
  end
  return nil
end

RULES["assign-in-condition"] = {
  severity = "medium",
  starts = set "if while",
  at = function(c, f, i)
    local k = c.s[i + 1] == "(" and stray_assignment(c, i)
    return k and ("The condition assigns to %s; a comparison was probably meant."):format(c.s[k - 1])
  end,
  correctness = function(c, f, i)
    local k = stray_assignment(c, i)
    local level = c.up[k]
    return level ~= i + 1 and "the assignment has parentheses of its own: it is meant" or nil
  end,
  reachability = function(c, f, i)
    local k = stray_assignment(c, i)
    local comma = has_token(c, i + 2, k, { [","] = true })
    return comma and "the assignment is a step of its own, before a comma" or nil
  end,
}

-- The variable whose pointer size is taken: `sizeof p`, `sizeof(p)`.
local function sized(c, i)
  local k = c.s[i + 1] == "(" and i + 2 or i + 1
  if not is_name(c.s[k]) or (k == i + 2 and c.s[k + 1] ~= ")") or c.s[k + 1]:find("^[.%[-]") then return nil end
  return c.s[k]
end

local MEMORY = set [[memset memcpy memmove memcmp strncpy strncat snprintf vsnprintf fgets read recv fread bzero]]

RULES["sizeof-pointer"] = {
  severity = "high",
  starts = set "sizeof",
  at = function(c, f, i)
    local name = sized(c, i)
    if not name then return nil end
    local own, up = owner(c, i), c.up[i]
    if ALLOC[own] then
      local range = assigned_to(c, up - 1)
      if not range or text_of(c, range[1], range[2]) ~= name then return nil end
    elseif not (MEMORY[own] and has_token(c, up + 1, i - 1, { [name] = true })) then
      return nil
    end
    local var = variables(c, f)[name]
    if not var or not (var.stars > 0 and not var.size or var.param and var.size) then return nil end
    return ("sizeof %s is the size of a pointer, not of what it points to."):format(name)
  end,
  correctness = function(c, f, i)
    local name = sized(c, i)
    for k = c.up[i], i do
      if c.s[k] == "&" and c.s[k + 1] == name then return "the pointer itself is meant: its address is taken" end
    end
    for k = f.lo, i do -- a nearer declaration, of an array
      if c.s[k] == name and c.s[k + 1] == "[" and is_name(c.s[k - 1]) then return name .. " is an array here" end
    end
    return nil
  end,
  reachability = function() return nil end,
}

RULES["off-by-one"] = {
  severity = "high",
  starts = set "for",
  at = function(c, f, i)
    local open = i + 1
    if c.s[open] ~= "(" or not c.pair[open] then return nil end
    local head = text_of(c, open + 1, after(c, open) - 2)
    local name, limit = head:match(";([%a_][%w_]*)<=([%w_]+);")
    if not name then return nil end
    local stop = pass(c, after(c, open), f.hi)
    for k = after(c, open), stop - 1 do
      local array = c.s[k + 1] == "[" and c.s[k + 2] == name and c.s[k + 3] == "]" and local_array(c, f, c.s[k])
      if array and array.size == limit then
        return ("%s runs up to %s, but the last element of %s is one before that."):format(name, limit, c.s[k])
      end
    end
    return nil
  end,
  correctness = function(c, f, i)
    local stop = pass(c, i, f.hi)
    return has_token(c, after(c, i + 1), stop - 1, BREAK) and "the loop is left early" or nil
  end,
  reachability = function() return nil end,
}

local BY_TOKEN = {}
for name, rule in pairs(RULES) do
  for word in pairs(rule.starts) do
    BY_TOKEN[word] = BY_TOKEN[word] or {}
    table.insert(BY_TOKEN[word], name)
  end
end

-- ---- the conversation -------------------------------------------------------------------------------------------

local function plain_text(content)
  if type(content) == "string" then return content end
  local parts = {}
  for _, block in ipairs(content or {}) do
    if block.type == "text" then parts[#parts + 1] = block.text end
  end
  return table.concat(parts, "\n")
end

local function call_key(name, input)
  return table.concat({ name, tostring(input.path), ("%d"):format(input.from or 0), ("%d"):format(input.to or 0),
    tostring(input.pattern) }, "\n")
end

-- The conversation so far: the task, and the answers to earlier tool calls. `wanted` collects the calls whose
-- answers are not there yet.
local function open_chat(request)
  local chat, calls = { task = "", answers = {}, asked = {}, wanted = {} }, {}
  for _, message in ipairs(request.messages) do
    if chat.task == "" and message.role == "user" then chat.task = plain_text(message.content) end
    for _, block in ipairs(type(message.content) == "table" and message.content or {}) do
      if block.type == "tool_use" and block.name ~= "result" then
        calls[block.id] = call_key(block.name, block.input)
      elseif block.type == "tool_result" and calls[block.tool_use_id] then
        chat.answers[calls[block.tool_use_id]] = { text = plain_text(block.content), failed = block.is_error == true }
      end
    end
  end
  return chat
end

-- The answer to a tool call: { text, failed }; nil, and the call is wanted, when it has not been made yet.
local function ask(chat, name, input)
  local key = call_key(name, input)
  if not chat.answers[key] and not chat.asked[key] then
    chat.asked[key] = true
    table.insert(chat.wanted, { name = name, input = input })
  end
  return chat.answers[key]
end

-- Adds the numbered lines of an answer of `read` to `lines`; answers the highest number.
local function add_lines(lines, text)
  local last = 0
  for number, line in text:gmatch("%f[^\n\0] *(%d+)\t([^\n]*)") do
    last = tonumber(number)
    lines[last] = line:gsub("\r$", "")
  end
  return last
end

local PIECE = 4000 -- lines asked for at once: more than one answer holds, so that its size is the only limit

-- The lines first..to of a file (to the end when `to` is nil), read in as many pieces as the tool makes of them.
-- Answers lines and the last number; nil while a piece is missing; nil and a reason when it cannot be read.
local function read_lines(chat, path, first, to)
  local pieces, from = {}, first
  while from do
    local answer = ask(chat, "read", { path = path, from = from, to = to or from + PIECE })
    if not answer then return nil end
    if answer.failed then return nil, answer.text end
    pieces[#pieces + 1] = answer.text
    local more = tonumber(answer.text:sub(-200):match("read again with from=(%d+)[^\n]*%s*$"))
    from = more and more > from and not (to and more > to) and more or nil
  end
  local lines, last = {}, 0
  for _, piece in ipairs(pieces) do last = math.max(last, add_lines(lines, piece)) end
  return lines, last
end

local function grep_hits(text)
  local hits = {}
  for path, line, rest in text:gmatch("%f[^\n\0]([^\n:]+):(%d+):([^\n]*)") do
    hits[#hits + 1] = { path = path, line = tonumber(line), text = rest }
  end
  hits.cut = text:find("%f[^\n\0]%.%.%. cut at") ~= nil
  return hits
end

-- The rest of the tree: grep(pattern, path) finds lines (`cut`: and there are more), read(path, from, to) is a list.
local function open_world(chat)
  return {
    grep = function(pattern, path)
      local answer = ask(chat, "grep", { pattern = pattern, path = path, glob = not path and "*.[ch]" or nil })
      return answer and not answer.failed and grep_hits(answer.text) or {}
    end,
    read = function(path, from, to)
      local lines = read_lines(chat, path, from, to)
      return lines and table.move(lines, from, to, 1, {}) or {}
    end,
  }
end

local function finish(request, value)
  for _, tool in ipairs(request.tools or {}) do
    if tool.name == "result" then return { tool = { name = "result", input = value } } end
  end
  return { text = json.encode(value) }
end

-- ---- the finder -------------------------------------------------------------------------------------------------

local function trimmed(line)
  local text = (line or ""):match("^%s*(.-)%s*$")
  return #text > 200 and text:sub(1, 200) or text
end

local function findings_of(c, path)
  local list, seen = {}, {}
  for _, f in ipairs(functions(c)) do
    for i = f.lo, f.hi do
      for _, name in ipairs(BY_TOKEN[c.s[i]] or {}) do
        local summary = RULES[name].at(c, f, i)
        local key = c.line[i] .. name
        if summary and not seen[key] then
          seen[key] = true
          list[#list + 1] = { file = path, line = c.line[i], rule = name, severity = RULES[name].severity,
            summary = summary, evidence = trimmed(c.lines[c.line[i]]) }
        end
      end
    end
  end
  table.sort(list, function(a, b)
    if a.line ~= b.line then return a.line < b.line end
    return a.rule < b.rule
  end)
  return list
end

local function find(request, chat, path)
  local lines, last = read_lines(chat, path, 1)
  if #chat.wanted > 0 then return { tools = chat.wanted } end
  if not lines then return { text = ("I could not read %s: %s"):format(path, last) } end
  return finish(request, { findings = json.array(findings_of(lex(lines, 1, last, false), path)) })
end

-- ---- the refuter ------------------------------------------------------------------------------------------------

local BEFORE, BEHIND = 200, 120 -- how many lines around a claim are read at first

-- The end of the JSON object that opens at `from`, looking past strings; nil when it does not close.
local function object_end(text, from)
  local depth, at = 0, from
  while true do
    local hit = text:find('[{}"]', at)
    if not hit then return nil end
    local ch = text:sub(hit, hit)
    if ch == '"' then
      hit = literal_end(text, hit)
    else
      depth = depth + (ch == "{" and 1 or -1)
      if depth == 0 then return hit end
    end
    at = hit + 1
  end
end

-- The claim that the prompt holds as JSON: the first object with file, line and rule.
local function claim_in(text)
  local at = text:find("{", 1, true)
  while at do
    local stop = object_end(text, at)
    local ok, value = pcall(json.decode, text:sub(at, stop or at))
    if ok and type(value) == "table" and value.file and value.line and value.rule then return value end
    at = text:find("{", at + 1, true)
  end
  return nil
end

-- The lens: the name that the prompt says more often (the script explains both of them once).
local function lens_in(text)
  local low = text:lower()
  local function mentions(name)
    return select(2, low:gsub("%f[%a]" .. name .. "%f[%A]", ""))
  end
  return mentions("reachability") > mentions("correctness") and "reachability" or "correctness"
end

-- Does the text begin inside a comment? It does when the first comment mark in it is a closing one.
local function begins_in_comment(lines, first, last)
  for n = first, last do
    local open, close = (lines[n] or ""):find("/[*/]"), (lines[n] or ""):find("*/", 1, true)
    if open or close then return close ~= nil and (not open or close < open) end
  end
  return false
end

-- The code of a window that may begin in the middle of a function: from the first line that closes one on.
local function window_code(lines, first, last, line)
  if first == 1 then return lex(lines, 1, last, false) end
  local in_comment = begins_in_comment(lines, first, last)
  local probe = lex(lines, first, last, in_comment)
  for i = 1, probe.n do
    local number = probe.line[i]
    if number >= line then break end
    if probe.s[i] == "}" and lines[number]:sub(1, 1) == "}" then return lex(lines, number + 1, last, false) end
  end
  return nil
end

-- The code around the claim; the whole file when a window does not show where a function begins.
local function code_around(chat, claim)
  local first = math.max(1, claim.line - BEFORE)
  local lines, last = read_lines(chat, claim.file, first, claim.line + BEHIND)
  if not lines then return nil, last end
  local c = window_code(lines, first, last, claim.line)
  if c then return c end
  lines, last = read_lines(chat, claim.file, 1, claim.line + BEHIND)
  if not lines then return nil, last end
  return lex(lines, 1, last, false)
end

-- The directive that switches the line off: `#if 0` around it, or the #else of an `#if 1`.
local function switched_off(world, claim)
  local hits, open = world.grep("^\\s*#\\s*(if|el|end)", claim.file), {}
  if hits.cut and hits[#hits].line < claim.line then return nil end -- cannot tell
  for _, hit in ipairs(hits) do
    local word, condition = hit.text:match("^%s*#%s*(%a+)%s*(%w*)")
    if hit.line >= claim.line or not word then break end
    if word:find("^if") then
      open[#open + 1] = { line = hit.line, off = word == "if" and condition == "0", on = condition == "1" }
    elseif word:find("^el") and #open > 0 then
      open[#open].off = open[#open].on
    elseif word == "endif" then
      open[#open] = nil
    end
  end
  for _, branch in ipairs(open) do
    if branch.off then return branch.line end
  end
  return nil
end

local function enclosing(c, i)
  for _, f in ipairs(functions(c)) do
    if i >= f.lo and i <= f.hi then return f end
  end
  return nil
end

-- Is the function static and named nowhere else in its file?
local function never_called(world, claim, f)
  if not f.static or f.name == "main" then return false end
  local hits, mentions = world.grep(f.name, claim.file), 0
  for _, hit in ipairs(hits) do
    local code = lex({ hit.text }, 1, 1, false)
    for i = 1, code.n do
      if code.s[i] == f.name then mentions = mentions + 1 end
    end
  end
  return mentions == 1
end

-- Is token i under `if (0)` or `while (0)`?
local function dead_branch(c, i)
  local up = c.up[i]
  while up > 0 do
    local close = up - 1
    if c.s[up] == "{" and c.s[close] == ")" and text_of(c, (c.pair[close] or close) - 1, close):find("^%a+%(0%)$") then
      return true
    end
    up = c.up[up]
  end
  return false
end

-- The tokens on the claimed line that have the shape of the claimed rule.
local function anchors(c, claim)
  local rule, list = RULES[claim.rule], {}
  for i = 1, c.n do
    if c.line[i] == claim.line and rule.starts[c.s[i]] then
      local f = enclosing(c, i)
      if f and rule.at(c, f, i) then list[#list + 1] = { i = i, f = f } end
    end
  end
  return list
end

-- What every claim is asked, whatever its rule.
local function general_doubt(lens, c, f, i, world, claim)
  if lens == "correctness" then
    local off = switched_off(world, claim)
    return off and ("the line is switched off by the directive in line %d"):format(off)
  end
  if dead_branch(c, i) then return "the branch is never taken" end
  return never_called(world, claim, f) and ("%s() is never called"):format(f.name) or nil
end

-- A reason to refute the claim through this lens, or nil. It holds when one place on its line withstands all doubts.
local function doubt(lens, c, world, claim)
  local reason = "no code on that line has this shape"
  for _, place in ipairs(anchors(c, claim)) do
    reason = general_doubt(lens, c, place.f, place.i, world, claim)
      or RULES[claim.rule][lens](c, place.f, place.i, world, claim.file)
    if not reason then return nil end
  end
  return reason
end

local function refute(request, chat, claim)
  if not RULES[claim.rule] or math.type(claim.line) ~= "integer" then
    return finish(request, { refuted = true, reason = "the claim names no rule that I know" })
  end
  local c, why = code_around(chat, claim)
  local reason = why
  if c then reason = doubt(lens_in(chat.task), c, open_world(chat), claim) end
  if #chat.wanted > 0 then return { tools = chat.wanted } end
  return finish(request, { refuted = reason ~= nil,
    reason = reason or "the code is as claimed, and nothing before it guards it" })
end

return function(request)
  local chat = open_chat(request)
  local path = ("\n" .. chat.task):match("\nAudit the C source file ([^\n]+)")
  if path then return find(request, chat, path) end
  local claim = claim_in(chat.task)
  if claim then return refute(request, chat, claim) end
  return { text = "I only audit C source files and check claims about them." }
end

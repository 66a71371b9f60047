-- The part of the script's standard library that calls back into the script. Being Lua, it can be pre-empted and can
-- yield anywhere. Runs once, before the script, with two tables: `host`, private, and `env`, the script's globals.
--
-- Rules: no globals and no methods (the script may change what they find), only locals taken here; errors go through
-- `fail`, which puts the script's line before them.

local host, env = ...
local fail, front, metamethod, less = host.fail, host.front, host.metamethod, host.less
local join_piece, unpack, scan = host.join, host.unpack, host.scan
local pcall, emit, text_max = host.pcall, host.print, host.text_max
local error, rawequal, select, tonumber, tostring, type =
    env.error, env.rawequal, env.select, env.tonumber, env.tostring, env.type
local byte, find, format, sub = env.string.byte, env.string.find, env.string.format, env.string.sub
local math_type, maxinteger, min, tointeger, ult =
    env.math.type, env.math.maxinteger, env.math.min, env.math.tointeger, env.math.ult
local pack, each = env.table.pack, env.pairs
local _ENV = nil

---- arguments -------------------------------------------------------------------------------------------------------

local function expected(what, v, i, name)
    fail(format("bad argument #%d to '%s' (%s expected, got %s)", i, name, what, v == nil and "no value" or type(v)))
end

local function need_table(v, i, name)
    if type(v) ~= "table" then expected("table", v, i, name) end
    return v
end

local function need_integer(v, i, name)
    local n = tointeger(tonumber(v))
    if n then return n end
    if tonumber(v) then fail(format("bad argument #%d to '%s' (number has no integer representation)", i, name)) end
    expected("number", v, i, name)
end

local function need_text(v, i, name)
    if type(v) == "string" then return v end
    if type(v) == "number" then return tostring(v) end
    expected("string", v, i, name)
end

local function length(t)
    local n = #t
    if math_type(n) ~= "integer" then fail("object length is not an integer") end
    return n
end

local JOINED = 4096 -- items that are joined in one go, which nothing interrupts

-- join_piece for lists of any length.
local function join(list, separator, i, j)
    if i > j or ult(j - i, JOINED) then return join_piece(list, separator, i, j) end
    local pieces, n, bytes = {}, 0, 0
    for k = i, j, JOINED do
        local piece = join_piece(list, separator, k, ult(j - k, JOINED) and j or k + JOINED - 1)
        pieces[n + 1], n, bytes = piece, n + 1, bytes + #piece
        if bytes > text_max then break end -- joining them tells
    end
    return join(pieces, separator, 1, n)
end

---- base ------------------------------------------------------------------------------------------------------------

local function print(...)
    local parts = pack(...)
    for i = 1, parts.n do parts[i] = tostring(parts[i]) end
    emit(join(parts, "\t", 1, parts.n))
end

local function ipairs_step(t, i)
    i = i + 1
    local v = t[i]
    if v ~= nil then return i, v end
end

local function ipairs(t)
    if type(t) ~= "table" and metamethod(t, "__index") == nil then expected("table", t, 1, "ipairs") end
    return ipairs_step, t, 0
end

-- The handler runs when the stack is gone: it could not see it anyway, and so it can yield.
local function handled(handler, ok, ...)
    if ok then return true, ... end
    local _, result = pcall(handler, (...))
    return false, result
end

local function xpcall(f, handler, ...)
    if type(handler) ~= "function" then expected("function", handler, 2, "xpcall") end
    return handled(handler, pcall(f, ...))
end

---- table -----------------------------------------------------------------------------------------------------------

local tables = {} -- what becomes env.table

-- t[i..j] through its metamethods, as a plain list.
local function gather(t, i, j)
    local list, n = {}, 0
    for k = i, j do
        n = n + 1
        list[n] = t[k]
    end
    return list, n
end

function tables.concat(t, separator, i, j)
    need_table(t, 1, "concat")
    separator = separator == nil and "" or need_text(separator, 2, "concat")
    i = i == nil and 1 or need_integer(i, 3, "concat")
    j = j == nil and length(t) or need_integer(j, 4, "concat")
    if metamethod(t, "__index") == nil then return join(t, separator, i, j) end
    local list, n = {}, 0
    for k = i, j do
        local v = t[k]
        if type(v) ~= "string" and type(v) ~= "number" then
            fail(format("invalid value (a %s, at index %d) in table for 'concat'", type(v), k))
        end
        n = n + 1
        list[n] = v
    end
    return join(list, separator, 1, n)
end

function tables.insert(t, ...)
    local last, arguments = length(need_table(t, 1, "insert")) + 1, select("#", ...)
    if arguments == 1 then
        t[last] = (...)
        return
    end
    if arguments ~= 2 then fail("wrong number of arguments to 'insert'") end
    local at, v = ...
    at = need_integer(at, 2, "insert")
    if at < 1 or at > last then fail("bad argument #2 to 'insert' (position out of bounds)") end
    for i = last, at + 1, -1 do t[i] = t[i - 1] end
    t[at] = v
end

function tables.remove(t, at)
    local n = length(need_table(t, 1, "remove"))
    at = at == nil and n or need_integer(at, 2, "remove")
    if at ~= n and (at < 1 or at > n + 1) then fail("bad argument #2 to 'remove' (position out of bounds)") end
    local v = t[at]
    for i = at, n - 1 do t[i] = t[i + 1] end
    t[at < n and n or at] = nil
    return v
end

function tables.move(from, first, last, at, to)
    need_table(from, 1, "move")
    first, last, at = need_integer(first, 2, "move"), need_integer(last, 3, "move"), need_integer(at, 4, "move")
    to = to == nil and from or need_table(to, 5, "move")
    if last < first then return to end
    if first <= 0 and last >= maxinteger + first then fail("bad argument #3 to 'move' (too many elements to move)") end
    local n = last - first
    if at > maxinteger - n then fail("bad argument #4 to 'move' (destination wrap around)") end
    if at > last or at <= first or not rawequal(from, to) then
        for i = 0, n do to[at + i] = from[first + i] end
    else
        for i = n, 0, -1 do to[at + i] = from[first + i] end
    end
    return to
end

function tables.unpack(t, i, j)
    need_table(t, 1, "unpack")
    i = i == nil and 1 or need_integer(i, 2, "unpack")
    j = j == nil and length(t) or need_integer(j, 3, "unpack")
    if metamethod(t, "__index") == nil then return unpack(t, i, j) end
    if i <= j and not ult(j - i, 1000000) then fail("too many results to unpack") end
    local list, n = gather(t, i, j)
    return unpack(list, 1, n)
end

local function default_less(a, b)
    local known = less(a, b)
    if known ~= nil then return known end
    if metamethod(a, "__lt") == nil and metamethod(b, "__lt") == nil then
        fail(format(type(a) == type(b) and "attempt to compare two %s values" or "attempt to compare %s with %s",
            type(a), type(b)))
    end
    return a < b
end

-- Bottom-up merge sort. Stable; ends after n log n steps whatever `before` says.
local function merge_sort(from, n, before)
    local to, width = {}, 1
    while width < n do
        for left = 1, n, 2 * width do
            local i, middle = left, min(left + width, n + 1)
            local j, right = middle, min(middle + width, n + 1)
            for k = left, right - 1 do
                if i < middle and (j >= right or not before(from[j], from[i])) then
                    to[k] = from[i]
                    i = i + 1
                else
                    to[k] = from[j]
                    j = j + 1
                end
            end
        end
        from, to, width = to, from, 2 * width
    end
    return from
end

function tables.sort(t, before)
    local n = length(need_table(t, 1, "sort"))
    if before ~= nil and type(before) ~= "function" then expected("function", before, 2, "sort") end
    if n >= 1 << 31 then fail("bad argument #1 to 'sort' (array too big)") end
    local sorted = merge_sort(gather(t, 1, n), n, before or default_less)
    for i = 1, n do t[i] = sorted[i] end
end

---- gsub ------------------------------------------------------------------------------------------------------------

-- The parts of a replacement string: literals, and numbers of captures.
local function parse_replacement(text)
    local parts, at = {}, 1
    while true do
        local percent = find(text, "%", at, true)
        parts[#parts + 1] = sub(text, at, (percent or 0) - 1)
        if not percent then return parts end
        local c = sub(text, percent + 1, percent + 1)
        if c ~= "%" and not find(c, "^%d") then fail("invalid use of '%' in replacement string") end
        parts[#parts + 1] = tonumber(c) or c
        at = percent + 2
    end
end

local function expand(parts, whole, ...)
    local out, captures = {}, select("#", ...)
    for i = 1, #parts do
        local part = parts[i]
        if part == 0 then
            part = whole
        elseif type(part) == "number" then
            if part > captures then fail(format("invalid capture index %%%d in replacement string", part)) end
            part = (select(part, ...))
        end
        out[i] = part
    end
    return join(out, "", 1, #out)
end

-- A list of pieces that keeps itself short by joining them.
local function append(out, piece)
    local n = out.n + 1
    out[n], out.n = piece, n
    if n == 512 then
        out.chunks[#out.chunks + 1] = join(out, "", 1, n)
        out.n = 0
    end
end

-- Appends the text before a match and what replaces it; answers where the match ends, nil if there was none.
local function replace(out, s, at, make, first, last, ...)
    if not first then return end
    append(out, sub(s, at + 1, first - 1))
    local whole = sub(s, first, last)
    local value = make(whole, ...) or whole
    if type(value) ~= "string" and type(value) ~= "number" then
        fail(format("invalid replacement value (a %s)", type(value)))
    end
    append(out, value)
    return last
end

-- What makes a replacement out of (whole match, captures...).
local function replacer(v)
    local kind = type(v)
    if kind == "function" then
        return function(_, ...) return (v(...)) end
    elseif kind == "table" then
        return function(_, key) return v[key] end
    elseif kind ~= "string" and kind ~= "number" then
        expected("string/function/table", v, 3, "gsub")
    end
    local text, parts = tostring(v), nil
    if not find(text, "%", 1, true) then return function() return text end end
    return function(...)
        parts = parts or parse_replacement(text)
        return expand(parts, ...)
    end
end

local function gsub(s, pattern, replacement, limit)
    s, pattern = need_text(s, 1, "gsub"), need_text(pattern, 2, "gsub")
    local make = replacer(replacement)
    limit = limit == nil and #s + 1 or need_integer(limit, 4, "gsub")
    local anchored = byte(pattern) == 94 -- ^
    local out, count, at, last = { n = 0, chunks = {} }, 0, 0, -1
    while count < limit and at <= #s do
        last = replace(out, s, at, make, scan(s, pattern, at, last))
        if not last then break end
        at, count = last, count + 1
        if anchored then break end
    end
    append(out, sub(s, at + 1))
    out.chunks[#out.chunks + 1] = join(out, "", 1, out.n)
    return join(out.chunks, "", 1, #out.chunks), count
end

---- handing out -----------------------------------------------------------------------------------------------------

env.print, env.ipairs, env.string.gsub = front(print), front(ipairs), front(gsub)
env.pcall, env.xpcall = pcall, xpcall
for name, f in each(tables) do env.table[name] = front(f) end

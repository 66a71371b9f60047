-- The quality patterns: ready functions over agent and parallel, written as a script could write them.
--
-- verify and vote never answer with a bare false: "yes", "no", or "not run" when no voter could be heard.

local host, env = ...
local fail, fan = host.fail, env.parallel
local agent, pairs, type, tostring = env.agent, env.pairs, env.type, env.tostring
local format, encode, array = env.string.format, env.json.encode, env.json.array
local next, math_type = env.next, env.math.type

local LENSES = { "correctness", "reachability" }

local REFUTATION = {
    type = "object",
    properties = { refuted = { type = "boolean" }, reason = { type = "string" } },
    required = array({ "refuted", "reason" }),
    additionalProperties = false,
}

local VOTE = {
    type = "object",
    properties = { answer = { enum = array({ "yes", "no" }) }, reason = { type = "string" } },
    required = array({ "answer", "reason" }),
    additionalProperties = false,
}

local REFUTE = [[
Try to refute a claim. You see it through one lens: %s.

Claim:
%s
%s
Look for yourself with your tools; believe nothing that you have not read. Refute the claim if it is wrong, if it does not
matter seen through your lens, or if you cannot make sure that it is right.]]

local function claim_text(claim)
    if type(claim) == "string" then return claim end
    return encode(claim)
end

local function context_text(opts)
    return opts.context and "\nContext:\n" .. tostring(opts.context) .. "\n" or ""
end

local function agent_options(opts, schema, label)
    return { schema = schema, label = label, phase = opts.phase, model = opts.model, effort = opts.effort, tools = opts.tools }
end

-- Asks all voters at once. Answers the verdict by majority of those heard (a tie is "no"), and who said what.
local function poll(n, ask, is_yes)
    local voters, yes, heard = {}, 0, 0
    for i = 1, n do voters[i] = function() return ask(i) end end
    local votes, failures = fan(voters)
    local reasons = array({})
    for i = 1, n do
        if votes[i] then
            heard = heard + 1
            if is_yes(votes[i]) then yes = yes + 1 end
            reasons[#reasons + 1] = tostring(votes[i].reason)
        elseif failures.at[i] then
            reasons[#reasons + 1] = "not heard: " .. tostring(failures.at[i])
        end
    end
    local verdict = heard == 0 and "not run" or yes * 2 > heard and "yes" or "no"
    return verdict, { verdict = verdict, yes = yes, no = heard - yes, heard = heard, asked = n, reasons = reasons, failures = failures }
end

local function verify_one(claim, lenses, opts)
    local said = claim_text(claim)
    return poll(#lenses, function(i)
        local prompt = format(REFUTE, lenses[i], said, context_text(opts))
        return agent(prompt, agent_options(opts, REFUTATION, format("%s: %s", lenses[i], opts.label or said)))
    end, function(vote) return not vote.refuted end)
end

local VERIFY_OPTIONS = { lenses = true, context = true, label = true, phase = true, model = true, effort = true, tools = true }
local VOTE_OPTIONS = { voters = true, context = true, label = true, phase = true, model = true, effort = true, tools = true }

local function check_options(opts, known, name)
    if opts == nil then return {} end
    if type(opts) ~= "table" then fail(format("%s: options take a table, got %s", name, type(opts))) end
    for option in pairs(opts) do
        if not known[option] then fail(format("%s: there is no option '%s'%s", name, tostring(option), host.near(tostring(option), known))) end
    end
    return opts
end

local function check_lenses(lenses)
    local fine = type(lenses) == "table" and #lenses > 0
    for i = 1, fine and #lenses or 0 do fine = fine and type(lenses[i]) == "string" end
    if not fine then fail("verify: lenses takes a list of at least one text") end
end

-- verify(claim, opts): "yes", "no" or "not run", and a table of details.
-- verify(claims, opts): the claims that stood, and a list of { claim, verdict, reasons } for the rest.
function env.verify(claims, opts)
    opts = check_options(opts, VERIFY_OPTIONS, "verify")
    local lenses = opts.lenses or LENSES
    check_lenses(lenses)
    if type(claims) == "string" then return verify_one(claims, lenses, opts) end
    if type(claims) ~= "table" then fail("verify takes a claim or a list of claims, got " .. type(claims)) end
    if #claims == 0 and next(claims) ~= nil then return verify_one(claims, lenses, opts) end

    local judges = {}
    for i = 1, #claims do
        judges[i] = function()
            local _, detail = verify_one(claims[i], lenses, opts)
            return detail
        end
    end
    local details, failures = fan(judges)
    local kept, rest = array({}), array({})
    for i = 1, #claims do
        local detail = details[i]
        local verdict = detail and detail.verdict or "not run"
        if verdict == "yes" then
            kept[#kept + 1] = claims[i]
        else
            local reasons = detail and detail.reasons or array({ tostring(failures.at[i]) })
            rest[#rest + 1] = { claim = claims[i], verdict = verdict, reasons = reasons }
        end
    end
    return kept, rest
end

-- vote(question, opts): opts.voters independent agents answer yes or no; "yes", "no" or "not run", and a table of details.
function env.vote(question, opts)
    opts = check_options(opts, VOTE_OPTIONS, "vote")
    if type(question) ~= "string" then fail("vote takes a question, got " .. type(question)) end
    local voters = opts.voters or 3
    if math_type(voters) ~= "integer" or voters < 1 or voters > 100 then fail("vote: voters takes a whole number from 1 to 100") end
    local prompt = format("Answer yes or no, with your reason.\n\n%s\n%s", question, context_text(opts))
    return poll(voters, function(i)
        return agent(prompt, agent_options(opts, VOTE, format("vote %d: %s", i, opts.label or question)))
    end, function(vote) return vote.answer == "yes" end)
end

env.verify, env.vote = host.front(env.verify), host.front(env.vote)

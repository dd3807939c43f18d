-- wrk: each request carries a token of its own, and each answer must be that of a request which has none yet.
-- The last line that is printed is one JSON object; "open" are the tokens without an answer, among them those of
-- requests that were under way when wrk stopped.
local threads = {}

function setup(thread)
	thread:set("number", #threads)
	table.insert(threads, thread)
end

function init(args)
	name, sequence, wrong, open = args[1] or "wrk", 0, 0, 0
	asked, statuses = {}, {}
end

function request()
	sequence = sequence + 1
	local token = string.format("%s-%d-%d", name, number, sequence)
	asked[token] = true
	open = open + 1
	return wrk.format("POST", "/run_model", { ["Content-Type"] = "text/plain" }, token)
end

function response(status, _, body)
	statuses[status] = (statuses[status] or 0) + 1
	if status ~= 200 then
		open = open - 1 -- whose it is does not stand in it
		return
	end
	local token = body:match('"input_text":"([^"]*)"')
	if token and asked[token] then
		asked[token] = nil
		open = open - 1
	else
		wrong = wrong + 1
	end
end

function done(summary, latency)
	local requests, wrong, open, statuses = 0, 0, 0, {}
	for _, thread in ipairs(threads) do
		requests = requests + thread:get("sequence")
		wrong = wrong + thread:get("wrong")
		open = open + thread:get("open")
		for status, n in pairs(thread:get("statuses")) do
			statuses[status] = (statuses[status] or 0) + n
		end
	end
	local parts = {}
	for status, n in pairs(statuses) do
		table.insert(parts, string.format('"%d": %d', status, n))
	end
	requests, open = requests - 1, open - 1 -- wrk asks for one more at the start, to look at it
	local e = summary.errors
	print(string.format('{"requests": %d, "statuses": {%s}, "wrong": %d, "open": %d, "broken": %d, "worst_s": %f}',
		requests, table.concat(parts, ", "), wrong, open, e.connect + e.read + e.write + e.timeout, latency.max / 1e6))
end

-- wrk: requests of 1 KiB that are handed in as jobs. The last line is a JSON object: how many were acknowledged.
local threads = {}

function setup(thread)
	table.insert(threads, thread)
end

function init()
	acknowledged, refused = 0, 0
	text = wrk.format("POST", "/jobs", { ["Prefer"] = "respond-async" }, string.rep("x", 1024))
end

function request()
	return text
end

function response(status)
	if status == 202 then
		acknowledged = acknowledged + 1
	else
		refused = refused + 1
	end
end

function done(summary)
	local yes, no = 0, 0
	for _, thread in ipairs(threads) do
		yes, no = yes + thread:get("acknowledged"), no + thread:get("refused")
	end
	print(string.format('{"acknowledged": %d, "refused": %d, "seconds": %f}', yes, no, summary.duration / 1e6))
end

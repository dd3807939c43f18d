-- For wrk: POST /run_model with the texts of the JSON array of strings that $TEXTS names, one after the other.

local file = assert(io.open(os.getenv("TEXTS")))
local json = file:read("*a")
file:close()

local requests, at = {}, 0

function init()
	local headers = { ["Content-Type"] = "application/json" }
	for text in json:gsub('\\"', "\\u0022"):gmatch('"[^"]*"') do -- quotes of JSON only; the texts stay escaped as they are
		requests[#requests + 1] = wrk.format("POST", "/run_model", headers, '{"text": ' .. text .. "}")
	end
end

function request()
	at = at % #requests + 1
	return requests[at]
end

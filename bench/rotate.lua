-- Load for wrk: send the bodies of a folder in turn, and print what happened as one line of JSON.
-- usage: wrk ... -s rotate.lua URL -- FOLDER CONTENT_TYPE KEY
local requests, turn = {}, 0

function init(args)
  local headers = { ["Content-Type"] = args[2], ["Authorization"] = "Bearer " .. args[3] }
  local number = 0
  while true do
    local file = io.open(string.format("%s/%05d", args[1], number), "rb")
    if not file then break end
    requests[number + 1] = wrk.format("POST", nil, headers, file:read("*a"))
    file:close()
    number = number + 1
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %d, "seconds": %.6f, "refused": %d, "broken": %d, "p50_ms": %.3f, "p99_ms": %.3f}\n',
    summary.requests, summary.duration / 1e6, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end

-- GET of a manifest by any of as many tags as the first argument says, each time another one.
local threads = 0

function setup(thread)
    threads = threads + 1
    thread:set("seed", threads) -- without it all threads would ask for the same tags
end

function init(arguments)
    count = tonumber(arguments[1])
    math.randomseed(seed)
end

function request()
    return wrk.format("GET", string.format("%s1.0.0-%06d", wrk.path, math.random(0, count - 1)))
end

-- GET of a manifest by a random tag. The first argument is the number of tags.
local threads = 0

function setup(thread)
    threads = threads + 1
    thread:set("seed", threads) -- with equal seeds, all threads would request the same tags
end

function init(arguments)
    count = tonumber(arguments[1])
    math.randomseed(seed)
end

function request()
    return wrk.format("GET", string.format("%s1.0.0-%06d", wrk.path, math.random(0, count - 1)))
end

/**
 * Where a job stands among the others of its level. BullMQ claims the lowest score of `prioritized` first, and its own score is
 * `priority * 2^32 + counter`: whoever queues 10,000 jobs is before everybody who comes a second later. Ours is a turn of
 * virtual time instead (start-time fair queuing, Goyal, Vin and Cheng 1996). All single jobs of a level together are one flow,
 * each batch is another, and a flow has at most one job per turn: its next job takes the turn after its last one, or the turn
 * that the level has come to, whichever is later. So singles keep the order in which they came; a single that comes while ten
 * thousand children wait goes before all but at most one of each batch; and no flow can be overtaken twice in a turn.
 *
 * A level is parted in two. From 0 stand those whose turn had come before: retries and jobs whose moment has come, in the order
 * in which BullMQ promotes them (its counter `pc`, which nobody else raises), and what was given back (BullMQ writes 0). From
 * 2^28 stand the turns, even for singles, odd for children: at the same turn the single is first. A turn is read off a score, so
 * nothing can disagree with the queue itself:
 * - the level has come to the turn of the first that waits; when none does, to the furthest that was ever given;
 * - the last single is the newest that still waits, or was claimed in its turn. One that was canceled, or answered from the
 *   cache, has used no turn: otherwise a thousand canceled jobs would put the next single behind a thousand children.
 * Turns are used up after 2^31 in a level that never was empty; then all take the last one, in no order, and still stay in it.
 * A level that is empty after 2^30 begins anew.
 *
 * Needs `prioritizedKey`, `singlesKey`, `crowdKey`, `batchKey`, `priority`, `id`, `batchId` ("" for a single) and `call`.
 */
export const TAKE_TURN = `
local KEPT_SECONDS = 30 * 24 * 3600
local function takeTurn()
  local from, last = priority * 0x100000000 + 0x10000000, (priority + 1) * 0x100000000 - 1
  local first = call("ZRANGEBYSCORE", prioritizedKey, from, last, "LIMIT", 0, 1, "WITHSCORES")[2]
  local head = first and tonumber(first) - from
  local isSingle = batchId == ""

  -- The turn of the newest single that waits, or was claimed in its turn: nearly always the first that is looked at. Looks
  -- further and further, and at no more than some 10,000 that are gone.
  local function newestSingle()
    for step = 0, 12 do
      local newest = call("ZREVRANGE", singlesKey, 0, math.min(10 ^ step, 1000) - 1, "WITHSCORES")
      if not newest[1] then return 0 end
      for i = 1, #newest, 2 do
        local turn = tonumber(newest[i + 1])
        if not head or turn * 2 < head or call("ZSCORE", prioritizedKey, newest[i]) then return turn end
        call("ZREM", singlesKey, newest[i])
      end
    end
    return tonumber(call("ZREVRANGE", singlesKey, 0, 0, "WITHSCORES")[2] or 0)
  end

  local crowd = (not head or not isSingle) and tonumber(call("GET", crowdKey) or 0)
  local now, mine
  if head then
    now = math.floor(head / 2) - 1
    mine = isSingle and newestSingle()
  else
    mine = newestSingle()
    now = math.max(mine, crowd)
    if now > 0x40000000 then
      call("DEL", crowdKey)
      now, mine, crowd = 0, 0, 0
    end
  end
  if not isSingle then
    -- What stands there from before a new beginning is further than anybody has come since.
    mine = tonumber(call("HGET", batchKey, "turn") or 0)
    if mine > crowd then mine = 0 end
  end
  local turn = math.max(now, mine) + 1

  if isSingle then
    -- None of those that are kept waits any more, or some of them do not.
    if not head or mine * 2 < head then call("DEL", singlesKey)
    elseif turn % 64 == 0 then call("ZREMRANGEBYSCORE", singlesKey, "-inf", "(" .. math.floor(head / 2)) end
    call("ZADD", singlesKey, turn, id)
    if not head or turn % 64 == 0 then call("EXPIRE", singlesKey, KEPT_SECONDS) end
  else
    call("HSET", batchKey, "turn", turn)
    if turn > crowd or not head then call("SET", crowdKey, math.max(turn, crowd), "EX", KEPT_SECONDS) end
  end
  return math.min(from + turn * 2 + (isSingle and 0 or 1), last)
end
`;

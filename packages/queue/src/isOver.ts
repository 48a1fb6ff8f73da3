/** How a script asks whether BullMQ has nothing more to do with one of its jobs: it has ended, or was removed. */
export const IS_OVER = `
local function isOver(bullKey)
  return redis.call("EXISTS", bullKey) == 0 or redis.call("HEXISTS", bullKey, "finishedOn") == 1
end
`;

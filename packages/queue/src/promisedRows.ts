/**
 * How a script counts the rows of a tenant's batches in a pool whose jobs are not made yet: they have their places among the queued
 * from the moment the batch is taken in. Needs `call`, `reservedKey`, `promisedKey`, `pool` and `tenant`.
 */
export const PROMISE_ROWS = `
local function promiseRows(rows)
  call("HINCRBY", reservedKey, pool, rows)
  if call("HINCRBY", promisedKey, tenant, rows) <= 0 then call("HDEL", promisedKey, tenant) end
end
`;

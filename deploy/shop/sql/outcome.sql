-- name: net_points
-- All accounts with their members; read once at the end of a run.
SELECT member_id, available + pending + held - debt + expired AS net
FROM ledger.account JOIN ledger.identity USING (shard, account);

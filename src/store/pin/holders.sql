-- Who keeps the server from clearing away row versions of this database: the oldest first.
-- $1 bigint  those only that have done so for more than this many transactions
-- Other databases' sessions do not count, but replicas and slots are the whole server's. A vacuum holds up nobody.
-- Everybody may read these columns; when a session's transaction began, only those who may read all statistics.
SELECT * FROM (
    SELECT CASE backend_type WHEN 'walsender' THEN 'replica' ELSE 'session' END AS kind, pid, usename::text AS user,
        nullif(application_name, '') AS name, host(client_addr) AS address, state,
        extract(epoch FROM now() - coalesce(xact_start, CASE backend_type WHEN 'walsender' THEN backend_start END))::float8 AS seconds,
        greatest(age(backend_xmin), age(backend_xid))::bigint AS transactions, false AS only_catalogue
    FROM pg_stat_activity
    WHERE pid <> pg_backend_pid() AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL)
      AND (datname = current_database() OR backend_type = 'walsender') AND backend_type <> 'autovacuum worker'
      AND pid NOT IN (SELECT pid FROM pg_stat_progress_vacuum)
    UNION ALL
    SELECT 'prepared transaction', NULL, owner::text, gid, NULL, NULL, extract(epoch FROM now() - prepared)::float8,
        age(transaction)::bigint, false
    FROM pg_prepared_xacts WHERE database = current_database()
    UNION ALL
    SELECT 'replication slot', active_pid, NULL, slot_name::text, NULL, CASE WHEN active THEN 'read' ELSE 'not read by anybody' END, NULL,
        coalesce(age(xmin), age(catalog_xmin))::bigint, xmin IS NULL
    FROM pg_replication_slots WHERE xmin IS NOT NULL OR (catalog_xmin IS NOT NULL AND database = current_database())
) AS holder
WHERE transactions > $1
ORDER BY only_catalogue, transactions DESC
LIMIT 10

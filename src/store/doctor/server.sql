-- The server as a whole, and this session on it. server_seconds is read last, so that it is close to the answer.
SELECT current_setting('server_version_num')::int AS version_num,
       split_part(current_setting('server_version'), ' ', 1) AS version,
       pg_is_in_recovery() AS in_recovery,
       current_setting('transaction_read_only')::boolean AS read_only,
       pg_encoding_to_char((SELECT encoding FROM pg_database WHERE datname = current_database())) AS encoding,
       current_setting('autovacuum')::boolean AND current_setting('track_counts')::boolean AS autovacuum,
       array(SELECT name FROM pg_settings WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit') AND setting = 'off'
             ORDER BY name) AS careless,
       current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int AS most_connections,
       (SELECT sum(numbackends) FROM pg_stat_database)::int AS connections,
       (SELECT datconnlimit FROM pg_database WHERE datname = current_database())::int AS database_limit,
       pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS sees_all,
       (SELECT count(*) FROM pg_prepared_xacts
        WHERE database = current_database() AND prepared < now() - interval '5 minutes') AS prepared_transactions,
       (SELECT count(*) FROM pg_replication_slots WHERE NOT active) AS idle_slots,
       extract(epoch FROM clock_timestamp())::float8 AS server_seconds

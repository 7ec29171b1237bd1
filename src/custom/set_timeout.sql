-- Sets the limit on the statements that follow in this transaction, and tells what it was.
-- $1 text  the limit in milliseconds
WITH limited AS MATERIALIZED (SELECT current_setting('statement_timeout') AS before)
SELECT before, set_config('statement_timeout', $1, true) AS now FROM limited

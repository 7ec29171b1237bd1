-- Spans and counts that statements add to times, or count on, have upper bounds.
--
-- Why: a policy of 170000000 years was taken, and then no job could be planned any more. The statements keep within these bounds by
-- themselves as well; the constraints tell whoever writes such a value, while they are there to mend it.
--
-- Rows that stand beyond a bound are brought to it, by whatever writer they came. Where a row does not let itself be written, under a
-- rule of the users' own, it stays as it is with a warning, and the constraint is not validated: the migration fails on no row.
--
-- Locks: crawl_policy, site, crawl_job, crawl_plan, bot, schedule and extraction_pattern ACCESS EXCLUSIVE, for as long as it takes to
-- read each twice (crawl_job has one row for each page that is tracked), to the end of the migration.

-- Brings the rows of a table to a bound, and has the table keep it.
CREATE FUNCTION gleaner_bound(bounded regclass, bound name, condition text, brought text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    place tid;
BEGIN
    EXECUTE format('ALTER TABLE %s DROP CONSTRAINT IF EXISTS %I', bounded, bound);
    BEGIN
        EXECUTE format('UPDATE %s SET %s WHERE NOT (%s)', bounded, brought, condition);
    EXCEPTION WHEN OTHERS THEN
        FOR place IN EXECUTE format('SELECT ctid FROM %s WHERE NOT (%s)', bounded, condition) LOOP
            BEGIN
                EXECUTE format('UPDATE %s SET %s WHERE ctid = $1', bounded, brought) USING place;
            EXCEPTION WHEN OTHERS THEN
                RAISE WARNING 'a row of % stays beyond %: %', bounded, bound, SQLERRM;
            END;
        END LOOP;
    END;
    EXECUTE format('ALTER TABLE %s ADD CONSTRAINT %I CHECK (%s) NOT VALID', bounded, bound, condition);
    BEGIN
        EXECUTE format('ALTER TABLE %s VALIDATE CONSTRAINT %I', bounded, bound);
    EXCEPTION WHEN check_violation THEN
        RAISE WARNING '% is not valid for all rows of %: it holds for what is written from now on', bound, bounded;
    END;
END $$;

SET CONSTRAINTS ALL IMMEDIATE;
-- First: each write to a policy counts one on. What counts on gets room for that.
SELECT gleaner_bound('crawl_plan', 'crawl_plan_generation_check', 'generation BETWEEN 0 AND 2000000000000000000',
    'generation = least(greatest(generation, 0), 1000000000000000000)');
SELECT gleaner_bound('crawl_policy', 'crawl_policy_frequency_check',
    'frequency BETWEEN ''1 minute'' AND ''3660 days''', 'frequency = least(greatest(frequency, ''1 minute''), ''3660 days'')');
SELECT gleaner_bound('crawl_policy', 'crawl_policy_retry_backoff_check',
    'retry_backoff > ''0'' AND retry_backoff <= ''366 days''', 'retry_backoff = least(greatest(retry_backoff, ''1 second''), ''366 days'')');
SELECT gleaner_bound('site', 'site_delay_seconds_check', 'delay_seconds BETWEEN 0 AND 86400',
    'delay_seconds = least(greatest(delay_seconds, 0), 86400)');
SELECT gleaner_bound('site', 'site_extraction_failures_check', 'extraction_failures BETWEEN 0 AND 1000000000',
    'extraction_failures = least(greatest(extraction_failures, 0), 1000000000)');
SELECT gleaner_bound('crawl_job', 'crawl_job_numbers_check',
    'frequency BETWEEN ''1 second'' AND ''3660 days'' AND retry_backoff > ''0'' AND retry_backoff <= ''366 days'''
        ' AND timeout BETWEEN ''1 second'' AND ''1 day'' AND failure_count BETWEEN 0 AND 1000000000',
    'frequency = least(greatest(frequency, ''1 second''), ''3660 days''),'
        ' retry_backoff = least(greatest(retry_backoff, ''1 second''), ''366 days''),'
        ' timeout = least(greatest(timeout, ''1 second''), ''1 day''), failure_count = least(greatest(failure_count, 0), 1000000000)');
SELECT gleaner_bound('bot', 'bot_counts_check',
    'window_pulls BETWEEN 0 AND 1000000000 AND jobs_pulled BETWEEN 0 AND 2000000000000000000'
        ' AND jobs_completed BETWEEN 0 AND 2000000000000000000 AND jobs_failed BETWEEN 0 AND 2000000000000000000',
    'window_pulls = least(greatest(window_pulls, 0), 1000000000), jobs_pulled = least(greatest(jobs_pulled, 0), 1000000000000000000),'
        ' jobs_completed = least(greatest(jobs_completed, 0), 1000000000000000000),'
        ' jobs_failed = least(greatest(jobs_failed, 0), 1000000000000000000)');
SELECT gleaner_bound('schedule', 'schedule_next_at_check', 'next_at BETWEEN ''1970-01-01Z'' AND ''9999-12-31Z''',
    'next_at = least(greatest(next_at, ''1970-01-01Z''), ''9999-12-31Z'')');
SELECT gleaner_bound('extraction_pattern', 'extraction_pattern_version_check', 'version BETWEEN 0 AND 1000000000',
    'version = 1000000000 - (id % 1000000)::integer');
DROP FUNCTION gleaner_bound;

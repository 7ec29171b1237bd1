ALTER TABLE extraction_pattern DROP CONSTRAINT extraction_pattern_version_check;
ALTER TABLE schedule DROP CONSTRAINT schedule_next_at_check;
ALTER TABLE bot DROP CONSTRAINT bot_counts_check;
ALTER TABLE crawl_plan DROP CONSTRAINT crawl_plan_generation_check;
ALTER TABLE crawl_job DROP CONSTRAINT crawl_job_numbers_check;
ALTER TABLE site DROP CONSTRAINT site_extraction_failures_check, DROP CONSTRAINT site_delay_seconds_check,
    ADD CONSTRAINT site_delay_seconds_check CHECK (delay_seconds >= 0);
ALTER TABLE crawl_policy DROP CONSTRAINT crawl_policy_retry_backoff_check, DROP CONSTRAINT crawl_policy_frequency_check,
    ADD CONSTRAINT crawl_policy_retry_backoff_check CHECK (retry_backoff > '0'),
    ADD CONSTRAINT crawl_policy_frequency_check CHECK (frequency >= '1 minute');

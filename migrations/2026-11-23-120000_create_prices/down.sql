-- Takes the price pipeline away again, with everything it holds.
DROP TABLE crawl_plan, notification, flag, product_page, price_history, crawl_result, extraction_pattern, crawl_job CASCADE;
ALTER TABLE lease DROP CONSTRAINT lease_holder_check;
DELETE FROM lease WHERE node_id IS NULL;
ALTER TABLE lease DROP COLUMN bot_id, ALTER COLUMN node_id SET NOT NULL;
COMMENT ON COLUMN lease.node_id IS 'The process that holds it.';
DROP TABLE bot, crawl_policy, subscription, product_url, product, site CASCADE;
DROP FUNCTION gleaner_queue_result, gleaner_check_policy, gleaner_queue_repair, gleaner_spread, gleaner_replan_all, gleaner_replan_subject,
    gleaner_follow_url, gleaner_follow_site, gleaner_stage_notification_delivery, gleaner_stage_crawl_result_auto_record,
    gleaner_stage_crawl_job_crawl, gleaner_stage_site_pattern;

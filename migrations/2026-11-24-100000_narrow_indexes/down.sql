-- Indexes over all rows again.
DROP INDEX crawl_job_policy_id_idx;
CREATE INDEX crawl_job_policy_id_idx ON crawl_job (policy_id);
DROP INDEX product_url_product_id_idx;
CREATE INDEX product_url_product_id_idx ON product_url (product_id);

-- Indexes of columns that are mostly empty hold the rows only that have something there: every change of a job's status writes
-- an entry into each of its indexes, and that of the empty policy was a twelfth of what a hand-out of jobs writes to the log.
--
-- Locks: crawl_job and product_url against writing while the new indexes are built.
DROP INDEX crawl_job_policy_id_idx;
CREATE INDEX crawl_job_policy_id_idx ON crawl_job (policy_id) WHERE policy_id IS NOT NULL;
DROP INDEX product_url_product_id_idx;
CREATE INDEX product_url_product_id_idx ON product_url (product_id) WHERE product_id IS NOT NULL;

ALTER TABLE sitemap_file DROP COLUMN vouched_by, DROP COLUMN stopped_by, DROP COLUMN foreign_count;
DROP TABLE sitemap_budget;

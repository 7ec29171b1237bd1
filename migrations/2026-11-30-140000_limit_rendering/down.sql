ALTER TABLE site DROP COLUMN render_post, DROP COLUMN render_hosts;

SELECT gleaner_drop_stage('page', 'link_check');
ALTER TABLE page DROP COLUMN http_status, DROP COLUMN http_status_at;

DROP TABLE embedding;
DROP INDEX documents_embed_share_idx;
SELECT gleaner_drop_stage('documents', 'embed');

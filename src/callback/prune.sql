-- What is long over.
DELETE FROM callback WHERE expires_at < now() - interval '1 hour'

-- Stores what home pages tell. $1: an array of objects, each a row's id with its columns.
UPDATE domain
SET title = new.title, description = new.description, language = new.language, favicon_url = new.favicon_url,
    logo_url = new.logo_url, is_wordpress = new.is_wordpress, wordpress_version = new.wordpress_version,
    has_elementor = new.has_elementor, tech_stack = new.tech_stack, email_addresses = new.email_addresses,
    phone_numbers = new.phone_numbers, facebook_url = new.facebook_url, twitter_url = new.twitter_url,
    linkedin_url = new.linkedin_url, instagram_url = new.instagram_url, youtube_url = new.youtube_url, home_url = new.home_url,
    is_partial = new.is_partial
FROM jsonb_to_recordset($1) AS new (
    id bigint, title text, description text, language text, favicon_url text, logo_url text, is_wordpress boolean,
    wordpress_version text, has_elementor boolean, tech_stack jsonb, email_addresses text[], phone_numbers text[],
    facebook_url text, twitter_url text, linkedin_url text, instagram_url text, youtube_url text, home_url text, is_partial boolean)
WHERE domain.id = new.id

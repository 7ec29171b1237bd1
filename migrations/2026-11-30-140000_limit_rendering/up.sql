-- What the pages of a shop may ask for when they are rendered, beyond what every page may: GET from its own site.
--
-- Why: a page's scripts asked anybody for anything, in our name. Now a shop whose prices come from an API that is sent to, or that
-- has a domain of its own, is given leave by name.
--
-- Locks: site ACCESS EXCLUSIVE, for a moment. Nothing is rewritten: the defaults are constants.
ALTER TABLE site
    ADD COLUMN render_post boolean NOT NULL DEFAULT false,
    ADD COLUMN render_hosts text[] NOT NULL DEFAULT '{}'
        CONSTRAINT site_render_hosts_check CHECK (array_position(render_hosts, NULL) IS NULL);
COMMENT ON COLUMN site.render_post IS 'true: the scripts of its pages may POST to its own hosts.';
COMMENT ON COLUMN site.render_hosts IS 'Hosts of its own under other domains, such as its API''s.';

-- Addresses are fetched as they were given, and told apart by keys of their own.
--
-- Why: parameters were put in the order of their names, in what is fetched as well, and servers that tell them by their place
-- (?news&123) or sign their text answered with an error, or with another page.
--
-- Addresses with a query get a key: page.url_key and sitemap_file.url_key, and product_url.url_hash as before. Rows from before have
-- an ordered url, which is their key, and so need none. Escapes are brought to one spelling (%c3%a9 is %C3%A9, %7E is ~), and product
-- pages get back the order in which they were given, where that can be told.
--
-- The program before this goes on: it writes ordered addresses and no key.
--
-- Where a row does not let itself be written, under a rule of the users' own, all of its kind keep the spelling they have, with a warning.
--
-- Locks: page and sitemap_file ACCESS EXCLUSIVE, for as long as it takes to read each two times; of them and of product_url, rows are
-- written only where their address has another spelling.
ALTER TABLE page ADD COLUMN url_key text;
ALTER TABLE sitemap_file ADD COLUMN url_key text;
COMMENT ON COLUMN page.url IS 'Its address, as it is fetched.';
COMMENT ON COLUMN page.url_key IS 'By what it is told from other addresses of the domain: url with its parameters in the order of their names and in one spelling. NULL where url itself is that.';
COMMENT ON COLUMN sitemap_file.url IS 'Its address, as it is fetched.';
COMMENT ON COLUMN sitemap_file.url_key IS 'By what it is told from other addresses of the domain; as page.url_key.';
COMMENT ON COLUMN product_url.url IS 'The same as it is fetched, without what only tracks; NULL until admitted.';
COMMENT ON COLUMN product_url.url_hash IS 'By what the page is told from others: SHA-256, in hexadecimal, of url with its parameters in the order of their names and in one spelling; NULL until admitted.';
CREATE UNIQUE INDEX page_domain_id_url_key_key ON page (domain_id, url_key) WHERE url_key IS NOT NULL;
CREATE UNIQUE INDEX sitemap_file_domain_id_url_key_key ON sitemap_file (domain_id, url_key) WHERE url_key IS NOT NULL;

CREATE FUNCTION gleaner_forget_url_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.url_key := NULL;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION gleaner_forget_url_key IS 'A key is that of its address: whoever changes the one by hand need not think of the other.';
CREATE TRIGGER page_url_key BEFORE UPDATE OF url ON page FOR EACH ROW
    WHEN (OLD.url <> NEW.url AND OLD.url_key IS NOT DISTINCT FROM NEW.url_key) EXECUTE FUNCTION gleaner_forget_url_key();
CREATE TRIGGER sitemap_file_url_key BEFORE UPDATE OF url ON sitemap_file FOR EACH ROW
    WHEN (OLD.url <> NEW.url AND OLD.url_key IS NOT DISTINCT FROM NEW.url_key) EXECUTE FUNCTION gleaner_forget_url_key();

-- The escapes of a text in one spelling. One that has percent signs besides is left as it is.
CREATE OR REPLACE FUNCTION pg_temp.spelled(given text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN given !~ '%(?![[:xdigit:]]{2})' THEN (
        SELECT string_agg(CASE
            WHEN place = 1 THEN piece
            WHEN upper(left(piece, 2)) ~ '^(2[DE]|3[0-9]|[46][1-9A-F]|[57][0-9A]|5F|7E)$'
                THEN chr(('x' || left(piece, 2))::bit(8)::integer) || substr(piece, 3)
            ELSE '%' || upper(left(piece, 2)) || substr(piece, 3) END, '' ORDER BY place)
        FROM regexp_split_to_table(given, '%') WITH ORDINALITY AS pieces(piece, place)
    ) ELSE given END
$$;
-- Whether an escape in it has another spelling.
CREATE OR REPLACE FUNCTION pg_temp.is_spelled_otherwise(given text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT given LIKE '%\%%' AND given ~ '%(?:[a-f].|.[a-f]|2[DE]|3[0-9]|[46][1-9A-F]|[57][0-9A]|5F|7E)' AND pg_temp.spelled(given) <> given
$$;

-- What fails leaves all as it was.
CREATE OR REPLACE FUNCTION pg_temp.attempt(statement text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
EXCEPTION WHEN OTHERS THEN
    RAISE WARNING 'addresses keep the spelling they have: %', SQLERRM;
END $$;

SET CONSTRAINTS ALL IMMEDIATE;
-- A page that is there under both spellings keeps the two rows.
SELECT pg_temp.attempt(format($statement$
    WITH given AS MATERIALIZED (
        SELECT DISTINCT ON (domain_id, pg_temp.spelled(url)) id, domain_id, pg_temp.spelled(url) AS key,
            pg_temp.spelled(split_part(url, '?', 1)) || substr(url, length(split_part(url, '?', 1)) + 1) AS fetched
        FROM %1$I WHERE pg_temp.is_spelled_otherwise(url) ORDER BY domain_id, pg_temp.spelled(url), id
    )
    UPDATE %1$I AS own SET url = given.fetched, url_key = nullif(given.key, given.fetched)
    FROM given WHERE own.id = given.id AND NOT EXISTS (SELECT FROM %1$I AS other
        WHERE other.domain_id = given.domain_id AND other.id <> given.id AND other.url IN (given.key, given.fetched))
$statement$, spelt)) FROM unnest('{page,sitemap_file}'::text[]) AS spelt;

-- Product pages: raw_url has the order in which the parameters were given, if they stand there in the same spelling.
CREATE TEMPORARY TABLE kept ON COMMIT DROP AS
WITH page AS (
    SELECT id, url, split_part(url, '?', 1) AS path, string_to_array(substr(url, length(split_part(url, '?', 1)) + 2), '&') AS parameters,
        string_to_array(substr(split_part(raw_url, '#', 1), length(split_part(raw_url, '?', 1)) + 2), '&') AS given
    FROM product_url WHERE url LIKE '%?%&%' OR pg_temp.is_spelled_otherwise(url)
), kept AS (
    SELECT page.*, (SELECT array_agg(parameter ORDER BY place) FROM unnest(given) WITH ORDINALITY AS own(parameter, place)
        WHERE parameter = ANY (parameters)) AS in_order
    FROM page
), addressed AS (
    SELECT id, url, parameters, pg_temp.spelled(path) || CASE WHEN url LIKE '%?%' THEN '?' || array_to_string(
        CASE WHEN cardinality(in_order) = cardinality(parameters) THEN in_order ELSE parameters END, '&') ELSE '' END AS fetched
    FROM kept
)
-- Parameters without a name, and the members of lists, are told by their place in the key as well.
SELECT id, fetched, encode(sha256(convert_to(pg_temp.spelled(CASE
    WHEN EXISTS (SELECT FROM unnest(parameters) AS own(parameter) WHERE parameter NOT LIKE '%=%' OR parameter ~* '^[^=]*(\[\]|%5B%5D)')
    THEN fetched ELSE url END), 'UTF8')), 'hex') AS hash
FROM addressed WHERE fetched <> url OR pg_temp.is_spelled_otherwise(url);
SELECT pg_temp.attempt($statement$
    UPDATE product_url AS own SET url = kept.fetched FROM kept WHERE own.id = kept.id AND own.url <> kept.fetched
$statement$);
SELECT pg_temp.attempt($statement$
    UPDATE product_url AS own SET url_hash = kept.hash
    FROM (SELECT DISTINCT ON (hash) id, hash FROM kept ORDER BY hash, id) AS kept
    WHERE own.id = kept.id AND own.url_hash <> kept.hash AND NOT EXISTS (SELECT FROM product_url AS other WHERE other.url_hash = kept.hash)
$statement$);

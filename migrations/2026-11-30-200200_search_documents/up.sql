-- Search: pieces of a tenant's documents by the words that they hold, ranked by BM25 over what that tenant has.
--
-- No tenant's search may read what others have, nor be slowed by it. An index on the words alone would hold everybody's pieces under
-- each word, and row-level security would keep it from being used at all: what matches words is not leakproof. So words are indexed
-- under a number made of tenant and word, and asked for by a function that has the owner's rights and takes the tenant from the
-- transaction alone. What it finds are keys and scores; its caller reads the rows themselves, under the policies.
--
-- Locks: chunk and documents, SHARE, while the indexes are built: documents are new, so there is next to nothing in them.

-- One piece in 32 stands under a second number for each word, and one in 1024 under a third: how many there are in all is told from
-- these where it is many.
CREATE FUNCTION gleaner_chunk_keys(tenant bigint, chunk bigint, words tsvector) RETURNS bigint[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT array_agg(hashtextextended(word COLLATE "C", seed))
    FROM unnest(array_append(tsvector_to_array(words), '')) AS word,
        unnest(CASE WHEN chunk % 1024 = 0 THEN ARRAY[tenant, -tenant, -tenant - 4611686018427387904]
            WHEN chunk % 32 = 0 THEN ARRAY[tenant, -tenant] ELSE ARRAY[tenant] END) AS seed
$$;
COMMENT ON FUNCTION gleaner_chunk_keys IS 'Under which numbers a piece is indexed: one for each of its words, and one for none, made of tenant and word; some pieces under further ones, for estimates.';

-- The list of what is new is read by every search, of whichever tenant: it stays short.
CREATE INDEX chunk_keys_idx ON chunk USING gin (gleaner_chunk_keys(tenant_id, id, tsv)) WITH (gin_pending_list_limit = 512);
-- Which configurations a tenant's pieces have, without reading them.
CREATE INDEX chunk_tenant_id_config_idx ON chunk (tenant_id, config);
-- Nothing is planned by what is in these; to collect it would call the function above for every row of the sample.
ALTER INDEX chunk_keys_idx ALTER COLUMN 1 SET STATISTICS 0;
ALTER TABLE chunk ALTER COLUMN tsv SET STATISTICS 0;
-- Ranking reads the words of thousands of pieces: they stay in the row, and as they are.
ALTER TABLE chunk ALTER COLUMN tsv SET STORAGE EXTERNAL, SET (toast_tuple_target = 4080);
-- The policies of a table that is forced hold for its owner too, and would keep the function from the index. They hold for whoever
-- serves a tenant, who is not the owner; what a piece says does not stand here.
ALTER TABLE chunk NO FORCE ROW LEVEL SECURITY;

-- How long the last documents took, for an estimate.
CREATE INDEX documents_recent_idx ON documents (tenant_id, lane, processing_completed_at DESC) WHERE process_status = 'Completed' AND deleted_at IS NULL;

CREATE FUNCTION gleaner_any_word(config regconfig, said text) RETURNS tsquery LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(string_agg('''' || replace(replace(word, '\', '\\'), '''', '''''') || '''', '|'), '')::tsquery
    FROM (SELECT word FROM unnest(tsvector_to_array(to_tsvector(config, said))) AS word LIMIT 64) AS bounded
$$;
COMMENT ON FUNCTION gleaner_any_word IS 'The query for pieces that hold any of the words of a text, 64 at most.';

CREATE FUNCTION gleaner_search(
    wanted text, phrases text[], unwanted text[], only_document bigint, not_before timestamptz, not_after timestamptz, only_page integer)
RETURNS TABLE (chunk_id bigint, score double precision)
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 300
SET enable_bitmapscan = on SET enable_seqscan = off SET jit = off SET plan_cache_mode = force_custom_plan SET work_mem = '16MB'
AS $$
DECLARE
    me CONSTANT bigint := gleaner_tenant_id();
    -- Pieces that are looked up by the rarest words, that are ranked at most, and that are told.
    most_candidates CONSTANT integer := 3000;
    most_ranked CONSTANT integer := 6000;
    most_told CONSTANT integer := 300;
    -- The samples, and what numbers of theirs are made with.
    sizes CONSTANT integer[] := ARRAY[1024, 32, 1];
    seeds CONSTANT bigint[] := ARRAY[-me - 4611686018427387904, -me, me];
    -- The parameters of BM25.
    k CONSTANT double precision := 1.2;
    b CONSTANT double precision := 0.75;
    configs regconfig[];
    config regconfig;
    phrase text;
    one tsquery;
    needed tsquery;
    refused tsquery;
    is_fit text[];
    fits text[] := '{}';
    ranks text := '';
    pieces double precision;
    average double precision;
    term_configs regconfig[];
    terms text[];
    weights double precision[];
    counts double precision[];
    rank text;
    chosen bigint[];
    all_keys bigint[];
    looked_up text;
    ids bigint[];
    scores double precision[];
BEGIN
    IF me IS NULL THEN
        RETURN;
    END IF;
    WITH RECURSIVE own AS (
        (SELECT c.config FROM chunk AS c WHERE c.tenant_id = me ORDER BY c.config LIMIT 1)
        UNION ALL
        SELECT (SELECT c.config FROM chunk AS c WHERE c.tenant_id = me AND c.config > own.config ORDER BY c.config LIMIT 1)
        FROM own WHERE own.config IS NOT NULL
    )
    SELECT array_agg(own.config) INTO configs FROM (SELECT own.config FROM own WHERE own.config IS NOT NULL LIMIT 8) AS own;
    SELECT array_agg(own.config), array_agg(said.word) INTO term_configs, terms
    FROM unnest(configs) AS own(config),
        LATERAL (SELECT word FROM unnest(tsvector_to_array(to_tsvector(own.config, wanted))) AS word LIMIT 64) AS said;
    IF terms IS NULL THEN
        RETURN;
    END IF;

    -- How many pieces there are, how long, and in how many each word is: of the coarsest sample that tells it well enough.
    FOR sample IN 1..3 LOOP
        SELECT sizes[sample] * count(*), avg(c.words) INTO pieces, average
        FROM chunk AS c WHERE gleaner_chunk_keys(c.tenant_id, c.id, c.tsv) && ARRAY[hashtextextended('' COLLATE "C", seeds[sample])];
        EXIT WHEN pieces >= 64 * sizes[sample];
    END LOOP;
    SELECT array_agg(CASE WHEN coarse.pieces >= 64 THEN 1024 * coarse.pieces WHEN fine.pieces >= 64 THEN 32 * fine.pieces
        ELSE every.pieces END ORDER BY term.ordinality) INTO counts
    FROM unnest(terms) WITH ORDINALITY AS term(word, ordinality), LATERAL (
        SELECT count(*) AS pieces FROM chunk AS c
        WHERE gleaner_chunk_keys(c.tenant_id, c.id, c.tsv) && ARRAY[hashtextextended(term.word COLLATE "C", seeds[1])]
    ) AS coarse, LATERAL (
        SELECT count(*) AS pieces FROM chunk AS c
        WHERE coarse.pieces < 64 AND gleaner_chunk_keys(c.tenant_id, c.id, c.tsv) && ARRAY[hashtextextended(term.word COLLATE "C", -me)]
    ) AS fine, LATERAL (
        SELECT count(*) AS pieces FROM chunk AS c
        WHERE coarse.pieces < 64 AND fine.pieces < 64
            AND gleaner_chunk_keys(c.tenant_id, c.id, c.tsv) && ARRAY[hashtextextended(term.word COLLATE "C", me)]
    ) AS every;
    SELECT array_agg(ln(1 + (greatest(pieces, few) - few + 0.5) / (few + 0.5)) ORDER BY ordinality) INTO weights
    FROM unnest(counts) WITH ORDINALITY AS counted(few, ordinality);

    FOREACH config IN ARRAY configs LOOP
        needed := NULL;
        FOREACH phrase IN ARRAY phrases LOOP
            one := phraseto_tsquery(config, phrase);
            IF numnode(one) > 0 THEN
                needed := coalesce(needed && one, one);
            END IF;
        END LOOP;
        refused := NULL;
        FOREACH phrase IN ARRAY unwanted LOOP
            one := phraseto_tsquery(config, phrase);
            IF numnode(one) > 0 THEN
                refused := coalesce(refused || one, one);
            END IF;
        END LOOP;
        is_fit := ARRAY[format('c.config = %s::oid', config::oid)];
        IF needed IS NOT NULL THEN
            is_fit := is_fit || format('c.tsv @@ %L::tsquery', needed);
        END IF;
        IF refused IS NOT NULL THEN
            is_fit := is_fit || format('NOT c.tsv @@ %L::tsquery', refused);
        END IF;
        -- ts_rank of one word that stands n times in a piece is a tenth of 1 + 1/4 + … + 1/n², over pi²/6. So n is very nearly what is made
        -- of it here, and nothing where there is none. To take the words themselves out of the piece would cost ten times as much.
        SELECT format('WHEN %s THEN %s - c.k * (%s)', config::oid, sum(term.weight), string_agg(format(
                '%s / (c.k - 0.6079271 + 1 / greatest(0.003, 1.6449341 - 16.449341 * ts_rank(c.tsv, %L::tsquery)))',
                term.weight, '''' || replace(replace(term.word, '\', '\\'), '''', '''''') || ''''), ' + '))
        INTO rank FROM unnest(term_configs, terms, weights) AS term(its, word, weight) WHERE term.its = config;
        IF rank IS NOT NULL THEN
            fits := fits || ('(' || array_to_string(is_fit, ' AND ') || ')');
            ranks := ranks || ' ' || rank;
        END IF;
    END LOOP;

    -- The rarest words are looked up, as long as they are not in too many pieces.
    SELECT array_agg(DISTINCT hashtextextended(term.word COLLATE "C", me)) INTO all_keys
    FROM unnest(terms, counts) AS term(word, few) WHERE term.few > 0;
    SELECT array_agg(DISTINCT ordered.key) INTO chosen FROM (
        SELECT hashtextextended(term.word COLLATE "C", me) AS key,
            sum(term.few) OVER (ORDER BY term.few, term.word, term.its) AS together,
            row_number() OVER (ORDER BY term.few, term.word, term.its) AS place
        FROM unnest(term_configs, terms, counts) AS term(its, word, few) WHERE term.few > 0
    ) AS ordered
    WHERE ordered.together <= most_candidates OR ordered.place = 1;
    looked_up := 'gleaner_chunk_keys(c.tenant_id, c.id, c.tsv) && $1 AND (c.tenant_id = $2) IS TRUE';
    IF only_document IS NOT NULL THEN
        looked_up := 'c.document_id = $5 AND c.tenant_id = $2';
    END IF;
    IF only_page IS NOT NULL THEN
        looked_up := looked_up || ' AND $6 BETWEEN c.page_from AND c.page_to';
    END IF;
    IF not_before IS NOT NULL OR not_after IS NOT NULL THEN
        looked_up := looked_up || ' AND EXISTS (SELECT FROM documents AS d WHERE d.id = c.document_id'
            || ' AND d.created_at >= coalesce($7, ''-infinity'') AND d.created_at < coalesce($8, ''infinity''))';
    END IF;
    FOR round IN 1..2 LOOP
        EXECUTE format(
            'SELECT array_agg(id), array_agg(score) FROM ('
            || ' SELECT id, score FROM ('
            || ' SELECT c.id, CASE c.config::oid %s END AS score FROM ('
            || ' SELECT c.id, c.config, c.tsv, $3 * (1 - $4 + $4 * c.words / $9) AS k FROM chunk AS c WHERE %s AND (%s) LIMIT $10'
            || ' ) AS c ) AS ranked WHERE score > 1e-9 ORDER BY score DESC, id LIMIT $11 ) AS best',
            ranks, looked_up, array_to_string(fits, ' OR '))
        INTO ids, scores
        USING chosen, me, k, b, only_document, only_page, not_before, not_after, greatest(average, 1), most_ranked, most_told;
        -- What is filtered may leave too little of the rarest.
        EXIT WHEN coalesce(cardinality(ids), 0) >= 50 OR cardinality(chosen) = cardinality(all_keys) OR only_document IS NOT NULL;
        chosen := all_keys;
    END LOOP;
    RETURN QUERY SELECT best.id, round(best.score::numeric, 6)::double precision FROM unnest(ids, scores) AS best(id, score);
END $$;
COMMENT ON FUNCTION gleaner_search IS 'Pieces of the documents of the tenant whom this transaction serves that hold any of the wanted words, all phrases and nothing unwanted, with their BM25 score: the best 300, in no order.';

-- It has its owner's rights: names mean what they meant here, and only who serves a tenant may call it.
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION gleaner_search SET search_path = pg_catalog, %I, pg_temp', current_schema());
    REVOKE EXECUTE ON FUNCTION gleaner_search FROM PUBLIC;
    IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'gleaner_tenant') THEN
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO gleaner_tenant', current_schema());
        GRANT EXECUTE ON FUNCTION gleaner_search TO gleaner_tenant;
    END IF;
END $$;

-- Who watches is to stop when the key is gone.
CREATE FUNCTION gleaner_notify_keys() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('gleaner_document', (to_jsonb(coalesce(NEW, OLD)) ->> TG_ARGV[0]) || ':');
    RETURN NULL;
END $$;
COMMENT ON FUNCTION gleaner_notify_keys IS 'Tells every node that who may come for a tenant has changed: tenant: on gleaner_document.';
CREATE TRIGGER api_key_notify AFTER DELETE OR UPDATE OF revoked_at, expires_at ON api_key
    FOR EACH ROW EXECUTE FUNCTION gleaner_notify_keys('tenant_id');
CREATE TRIGGER tenant_notify_update AFTER UPDATE ON tenant FOR EACH ROW
    WHEN (OLD.disabled_at IS DISTINCT FROM NEW.disabled_at) EXECUTE FUNCTION gleaner_notify_keys('id');

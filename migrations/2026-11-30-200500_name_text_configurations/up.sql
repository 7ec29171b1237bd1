-- Text search configurations by their names: pg_upgrade refuses tables with a column of type regconfig, whose numbers differ from one
-- version of the server to the next.
--
-- Locks: chunk ACCESS EXCLUSIVE, while it is written anew with its indexes. The pieces have come with the search, which no released
-- program has.
ALTER TABLE chunk ALTER COLUMN config TYPE text COLLATE "C" USING config::text;
-- Of the form only: which ones there are is the server's to say, and a dump is restored before they all are there.
ALTER TABLE chunk ADD CONSTRAINT chunk_config_check CHECK (config <> '' AND octet_length(config) < 64);
COMMENT ON COLUMN chunk.config IS 'Text search configuration of pg_catalog by which its words were taken.';

CREATE OR REPLACE FUNCTION gleaner_search(
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
    configs text[];
    config text;
    phrase text;
    one tsquery;
    needed tsquery;
    refused tsquery;
    is_fit text[];
    fits text[] := '{}';
    ranks text := '';
    pieces double precision;
    average double precision;
    term_configs text[];
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
    -- What this server has no longer, or not yet, is no use: its words cannot be taken.
    SELECT array_agg(own.config) INTO configs FROM (SELECT own.config FROM own WHERE own.config IS NOT NULL LIMIT 8) AS own
    JOIN pg_ts_config AS known ON known.cfgname = own.config AND known.cfgnamespace = 'pg_catalog'::regnamespace;
    SELECT array_agg(own.config), array_agg(said.word) INTO term_configs, terms
    FROM unnest(configs) AS own(config),
        LATERAL (SELECT word FROM unnest(tsvector_to_array(to_tsvector(own.config::regconfig, wanted))) AS word LIMIT 64) AS said;
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
            one := phraseto_tsquery(config::regconfig, phrase);
            IF numnode(one) > 0 THEN
                needed := coalesce(needed && one, one);
            END IF;
        END LOOP;
        refused := NULL;
        FOREACH phrase IN ARRAY unwanted LOOP
            one := phraseto_tsquery(config::regconfig, phrase);
            IF numnode(one) > 0 THEN
                refused := coalesce(refused || one, one);
            END IF;
        END LOOP;
        is_fit := ARRAY[format('c.config = %L', config)];
        IF needed IS NOT NULL THEN
            is_fit := is_fit || format('c.tsv @@ %L::tsquery', needed);
        END IF;
        IF refused IS NOT NULL THEN
            is_fit := is_fit || format('NOT c.tsv @@ %L::tsquery', refused);
        END IF;
        -- ts_rank of one word that stands n times in a piece is a tenth of 1 + 1/4 + … + 1/n², over pi²/6. So n is very nearly what is made
        -- of it here, and nothing where there is none. To take the words themselves out of the piece would cost ten times as much.
        SELECT format('WHEN %L THEN %s - c.k * (%s)', config, sum(term.weight), string_agg(format(
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
            || ' SELECT c.id, CASE c.config %s END AS score FROM ('
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

-- What is replaced loses its settings that are not repeated.
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION gleaner_search SET search_path = pg_catalog, %I, pg_temp', current_schema());
END $$;

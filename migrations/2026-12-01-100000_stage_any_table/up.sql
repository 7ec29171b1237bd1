-- Any table becomes a stage: in any schema, under any name, partitioned, with a key of any type.
--
-- Why: gleaner_add_stage took tables with a bigint "id" alone, found nothing in other schemas, and built its indexes under a lock that keeps
-- writers out; gleaner_drop_stage dropped status columns that had been there before. Now one function, gleaner_stage_steps, says what a
-- table lacks to be a stage, as statements that whoever calls it runs: all at once (gleaner_add_stage), or one after the other on a table
-- that is written to meanwhile (`gleaner stage add --concurrently`).
--
-- A key that is one whole number, which an index keeps unique, is what the engine knows a row by. Rows with other keys get a number of the
-- engine's own, the handle: a column gleaner_id on the table, empty until a row is first asked for, filled by triggers and never by a writer.
--
-- What a stage is and has added is told by the arguments of its trigger gleaner_2_<stage>_insert: the columns of the key, the column of the
-- handle (empty for none), the columns that were added. So it goes with the table: through renames, dumps of that table alone and upgrades of
-- the server, and away with it. A column that was there before a stage is not among them, and stays when the stage is dropped.
--
-- Locks: each table that is a stage SHARE ROW EXCLUSIVE, to the end of the migration: writers wait while one trigger on each is made anew. No
-- row is read or written.

-- A name as labels have it: as it is if it is lower-case letters, digits and underscores, in double quotes otherwise. Unlike quote_ident, it
-- does not ask which words this version of the server reserves.
CREATE FUNCTION gleaner_plain(name text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT CASE WHEN name COLLATE "C" ~ '^[a-z_][a-z0-9_]*$' THEN name ELSE '"' || replace(name, '"', '""') || '"' END
$$;
COMMENT ON FUNCTION gleaner_plain IS 'A name as labels have it: in double quotes unless it is lower-case letters, digits and underscores.';

-- What a table is called in notifications, history and metrics: its name, with its schema before it unless that is the engine's own.
CREATE FUNCTION gleaner_label(labelled regclass) RETURNS text LANGUAGE sql STABLE STRICT AS $$
    SELECT CASE WHEN c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'lease'::regclass) THEN '' ELSE gleaner_plain(nspname) || '.' END
        || gleaner_plain(relname)
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = labelled
$$;
COMMENT ON FUNCTION gleaner_label IS 'What a table is called in notifications and the history: table, or schema.table outside of the engine''s schema.';

-- The arguments of a trigger, which are kept one after the other, each ended by a zero byte.
CREATE FUNCTION gleaner_arguments(kept bytea) RETURNS text[] LANGUAGE sql IMMUTABLE STRICT AS $$
    -- Backslashes are doubled by the encoding, so they are put away before it is cut at its zeros. No other sign beyond ASCII is in it.
    SELECT array_agg(convert_from(decode(replace(part, chr(233), '\\'), 'escape'), 'UTF8') ORDER BY place)
    FROM unnest(string_to_array(replace(encode(kept, 'escape'), '\\', chr(233)), '\000')) WITH ORDINALITY AS cut(part, place)
$$;
COMMENT ON FUNCTION gleaner_arguments IS 'The arguments of a trigger (pg_trigger.tgargs), the last of them empty.';

CREATE FUNCTION gleaner_stages() RETURNS TABLE (stage_table regclass, stage text, label text, key_columns text[], has_handle boolean, added text[])
LANGUAGE sql STABLE SET search_path FROM CURRENT AS $$
    -- A trigger without arguments is from a dump of before this was written down: whose the status column is, nobody knows.
    SELECT tgrelid::regclass, told.stage, gleaner_label(tgrelid) || '/' || told.stage,
        CASE tgnargs WHEN 3 THEN told.of[1]::text[] ELSE '{id}' END,
        tgnargs = 3 AND told.of[2] <> '',
        CASE tgnargs WHEN 3 THEN told.of[3]::text[] ELSE ARRAY(SELECT told.stage || suffix
            FROM unnest('{_priority,_due_at,_attempts,_lease,_error}'::text[]) AS suffix) END
    FROM pg_trigger, LATERAL (
        SELECT substring(tgname FROM '^gleaner_2_([a-z][a-z0-9_]*)_insert$') AS stage, gleaner_arguments(tgargs) AS of
    ) AS told
    WHERE NOT tgisinternal AND tgparentid = 0 AND told.stage IS NOT NULL
$$;
COMMENT ON FUNCTION gleaner_stages IS 'All stages of this database: table, stage, name, columns of the key, whether rows have a handle, columns that the stage has added.';

-- A name for something that goes with a table: what is wanted if it is short enough for PostgreSQL and nobody else's, or else as much of it as
-- fits and a number made of all of it.
CREATE FUNCTION gleaner_name(wanted text, is_taken boolean) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    name text := wanted;
BEGIN
    IF octet_length(name) <= 63 AND NOT is_taken THEN
        RETURN name;
    END IF;
    name := left(name, 54);
    WHILE octet_length(name) > 54 LOOP
        name := left(name, -1);
    END LOOP;
    RETURN name || '_' || left(md5(wanted || CASE WHEN is_taken THEN ' taken' ELSE '' END), 8);
END $$;
COMMENT ON FUNCTION gleaner_name IS 'A name of at most 63 bytes: the one that is wanted, or a shorter one with a number made of it.';

-- What an index of a table is called: this one, unless another table has an index of that name.
CREATE FUNCTION gleaner_index_name(indexed regclass, suffix text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT gleaner_name(wanted.name, EXISTS (SELECT FROM pg_class AS other LEFT JOIN pg_index ON indexrelid = other.oid
        WHERE other.relname = gleaner_name(wanted.name, false) AND other.relnamespace = c.relnamespace AND indrelid IS DISTINCT FROM c.oid))
    FROM pg_class AS c, LATERAL (SELECT c.relname || suffix AS name) AS wanted WHERE c.oid = indexed
$$;
COMMENT ON FUNCTION gleaner_index_name IS 'What an index of a table, or is to be, called, by what it is for.';

-- The index of a table over these columns, of those rows alone of which a condition with this word holds. By what it is, since the table may have got
-- another name since.
CREATE FUNCTION gleaner_stage_index(indexed regclass, columns text[], word text) RETURNS oid LANGUAGE sql STABLE AS $$
    SELECT indexrelid FROM pg_index
    WHERE indrelid = indexed AND indnatts = cardinality(columns) AND indexprs IS NULL AND strpos(pg_get_expr(indpred, indrelid), word) > 0
        AND ARRAY(SELECT attname::text FROM unnest(indkey::smallint[]) WITH ORDINALITY AS part(attnum, place)
            JOIN pg_attribute AS a ON a.attrelid = indrelid AND a.attnum = part.attnum ORDER BY place) = columns
    ORDER BY indisvalid DESC, indexrelid LIMIT 1
$$;
COMMENT ON FUNCTION gleaner_stage_index IS 'The partial index of a table over these columns whose condition has this word.';

-- The rule of a table by which a status is one of the words of a stage.
CREATE FUNCTION gleaner_stage_rule(ruled regclass, stage text) RETURNS oid LANGUAGE sql STABLE AS $$
    SELECT k.oid FROM pg_constraint AS k JOIN pg_attribute AS a ON a.attrelid = conrelid AND conkey = ARRAY[a.attnum]
    WHERE conrelid = ruled AND contype = 'c' AND attname = stage || '_status' AND strpos(pg_get_constraintdef(k.oid), '''Cancelled''') > 0
    ORDER BY k.oid LIMIT 1
$$;
COMMENT ON FUNCTION gleaner_stage_rule IS 'The constraint of a table by which the status of this stage is one of its words.';

-- What a function for the triggers of a table is called: this one, unless triggers of another table run a function of that name.
CREATE FUNCTION gleaner_function_name(guarded regclass, wanted text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT gleaner_name(wanted, EXISTS (SELECT FROM pg_proc AS other JOIN pg_trigger ON tgfoid = other.oid
        WHERE other.proname = gleaner_name(wanted, false) AND other.pronamespace = c.relnamespace AND tgparentid = 0 AND tgrelid <> c.oid))
    FROM pg_class AS c WHERE c.oid = guarded
$$;
COMMENT ON FUNCTION gleaner_function_name IS 'What a trigger function of a table is, or is to be, called, by what it is for.';

-- The key of a table: these columns, or its primary key, or "id". Whether an index keeps it unique by itself, and whether it is one whole number
-- that does, by which rows are known without a handle.
CREATE FUNCTION gleaner_stage_key(stage_table regclass, wanted text[], OUT columns text[], OUT is_enforced boolean, OUT is_number boolean)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    label text := gleaner_label(stage_table);
    name text;
    places smallint[] := '{}';
    kind regtype;
BEGIN
    columns := wanted;
    IF columns IS NULL THEN
        SELECT array_agg(attname::text ORDER BY place) INTO columns
        FROM pg_index, unnest(indkey::smallint[]) WITH ORDINALITY AS part(attnum, place) JOIN pg_attribute AS a USING (attnum)
        WHERE indrelid = stage_table AND indisprimary AND a.attrelid = stage_table AND place <= indnkeyatts;
    END IF;
    IF columns IS NULL THEN
        columns := '{id}';
    END IF;
    FOREACH name IN ARRAY columns LOOP
        SELECT places || a.attnum, a.atttypid INTO places, kind FROM pg_attribute AS a
        WHERE a.attrelid = stage_table AND a.attname = name AND a.attnum > 0 AND NOT a.attisdropped AND a.attnotnull;
        IF NOT FOUND THEN
            IF wanted IS NULL THEN
                RAISE EXCEPTION 'table % has no primary key: name the columns of its key, which are to be unique and NOT NULL', label;
            ELSIF EXISTS (SELECT FROM pg_attribute WHERE attrelid = stage_table AND attname = name AND attnum > 0 AND NOT attisdropped) THEN
                RAISE EXCEPTION 'the column "%" of table % may be NULL, and so is no key: ALTER TABLE … ALTER COLUMN … SET NOT NULL', name, label;
            ELSE
                RAISE EXCEPTION 'table % has no column "%" to be its key', label, name;
            END IF;
        END IF;
    END LOOP;
    is_enforced := EXISTS (SELECT FROM pg_index WHERE indrelid = stage_table AND indisunique AND indisvalid AND indpred IS NULL AND indexprs IS NULL
        AND (indkey::smallint[])[0:indnkeyatts - 1] <@ places);
    IF NOT is_enforced AND NOT EXISTS (SELECT FROM pg_index JOIN pg_partitioned_table ON partrelid = indrelid
            WHERE indrelid = stage_table AND indisunique AND indisvalid AND indpred IS NULL AND indexprs IS NULL
            AND places <@ (indkey::smallint[])[0:indnkeyatts - 1] AND (indkey::smallint[])[0:indnkeyatts - 1] <@ (places || partattrs::smallint[])) THEN
        RAISE EXCEPTION 'no index keeps (%) of table % unique: CREATE UNIQUE INDEX, or name another key', array_to_string(columns, ', '), label;
    END IF;
    is_number := is_enforced AND cardinality(columns) = 1 AND kind IN ('bigint'::regtype, 'integer'::regtype, 'smallint'::regtype);
END $$;
COMMENT ON FUNCTION gleaner_stage_key IS 'The columns of a table''s key, whether an index keeps it unique by itself, and whether it is one whole number.';

-- Refuses whoever may not change a table, before anything is done.
CREATE FUNCTION gleaner_require_owner(owned regclass) RETURNS void LANGUAGE plpgsql STABLE AS $$
DECLARE
    own record;
BEGIN
    SELECT relowner, relnamespace, nspname, pg_get_userbyid(relowner) AS owner INTO own
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace WHERE c.oid = owned;
    IF NOT pg_has_role(own.relowner, 'USAGE') THEN
        RAISE insufficient_privilege USING MESSAGE = format('table %s belongs to %s, and only its owner can make it a stage or drop one: connect as %s, or give its owner the statements that --print shows',
            gleaner_label(owned), own.owner, own.owner);
    ELSIF NOT has_schema_privilege(own.relnamespace, 'CREATE') THEN
        RAISE insufficient_privilege USING MESSAGE = format('a stage needs indexes and a function beside its table: GRANT CREATE ON SCHEMA %I TO %I', own.nspname, current_user);
    END IF;
END $$;
COMMENT ON FUNCTION gleaner_require_owner IS 'Refuses whoever does not own a table, or may not make indexes and functions beside it.';

-- What a table lacks to be a stage, as statements to be run in this order; none if it lacks nothing. Those that are brief take a lock that keeps
-- everybody out, for a moment: those that follow each other belong into one transaction. The others keep nobody from writing, take as long as the
-- table is large, and stand alone, outside of any transaction. With is_live false all are to be run in one transaction, and the indexes are built
-- under its lock.
--
-- What is there already is kept: a status column from earlier software is taken over, and what an earlier run has made is not made again.
-- Each statement may be run twice.
CREATE FUNCTION gleaner_stage_steps(stage_table regclass, stage text, key_columns text[] DEFAULT NULL, is_live boolean DEFAULT false)
RETURNS TABLE (what text, is_brief boolean, statement text) LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
#variable_conflict use_column
DECLARE
    label text := gleaner_label(stage_table);
    described text := label || '/' || gleaner_stage_steps.stage;
    status text := gleaner_stage_steps.stage || '_status';
    own record;
    known record;
    key record;
    part record;
    node record;
    qualified text;
    handle text := 'gleaner_id';
    has_handle boolean;
    is_handled boolean;
    lacking text := '';
    added text[] := '{}';
    comments text[] := '{}';
    fn text;
    checked text;
    strays text;
    sequence text;
    handled text;
BEGIN
    SELECT c.*, nspname, pg_get_userbyid(relowner) AS owner INTO own
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace WHERE c.oid = stage_table;
    IF gleaner_stage_steps.stage !~ '^[a-z][a-z0-9_]{0,29}$' THEN
        RAISE EXCEPTION 'stage name "%" must be lower-case letters, digits and underscores, at most 30', gleaner_stage_steps.stage;
    ELSIF own.relispartition THEN
        RAISE EXCEPTION '% is a partition: the stage belongs to the whole, %', label,
            gleaner_label(pg_partition_root(stage_table));
    ELSIF own.relkind NOT IN ('r', 'p') OR own.relpersistence = 't' THEN
        RAISE EXCEPTION '% is no table whose rows could be claimed: a stage needs a table that lasts', label;
    ELSIF EXISTS (SELECT FROM pg_partition_tree(stage_table) JOIN pg_class AS leaf ON leaf.oid = relid WHERE leaf.relkind = 'f') THEN
        RAISE EXCEPTION 'a partition of % is a foreign table, which can have no index', label;
    END IF;
    qualified := format('%I.%I', own.nspname, own.relname);
    SELECT * INTO known FROM gleaner_stages() AS all_stages
    WHERE all_stages.stage_table = gleaner_stage_steps.stage_table AND all_stages.stage = gleaner_stage_steps.stage;
    IF known.stage IS NOT NULL AND known.key_columns IS DISTINCT FROM coalesce(gleaner_stage_steps.key_columns, known.key_columns) THEN
        RAISE EXCEPTION '% has the key (%): drop the stage to give it another', described, array_to_string(known.key_columns, ', ');
    END IF;
    key := gleaner_stage_key(stage_table, coalesce(known.key_columns, gleaner_stage_steps.key_columns));
    has_handle := coalesce(known.has_handle, NOT key.is_number);
    IF NOT has_handle AND NOT key.is_number THEN
        RAISE EXCEPTION 'no index keeps the key (%) of % unique any more: CREATE UNIQUE INDEX', array_to_string(key.columns, ', '), label;
    END IF;
    is_handled := EXISTS (SELECT FROM pg_trigger WHERE tgrelid = stage_table AND tgname = 'gleaner_0_handle_insert');
    IF has_handle AND NOT is_handled AND EXISTS (SELECT FROM pg_attribute WHERE attrelid = stage_table AND attname = handle AND NOT attisdropped) THEN
        RAISE EXCEPTION 'table % has a column "%" of its own, which is the name that the engine''s numbers are kept under: rename it', label, handle;
    END IF;

    -- The columns.
    FOR part IN SELECT * FROM (VALUES
        ('_status', 'text', '', 'State of %s: NULL not asked for, Queued, Processing, Completed, Error, Filtered (rightly nothing to do), Cancelled. Set it to Queued to have the row worked.'),
        ('_priority', 'smallint', ' NOT NULL DEFAULT 0', 'Order of %s among the due rows: higher first.'),
        ('_due_at', 'timestamp with time zone', '', 'While Queued: %s not before this. While Processing: asked for again at this time, NULL if not.'),
        ('_attempts', 'smallint', ' NOT NULL DEFAULT 0', 'Attempts at %s since it was last asked for, counted by the claim.'),
        ('_lease', 'bigint', '', 'The lease under which %s has this row in hand; only the engine writes it.'),
        ('_error', 'text', '', 'Last error of %s (class: message), or why it was Filtered; the full history is in attempt.')
    ) AS columns(suffix, type, terms, comment) LOOP
        SELECT a.atttypid::regtype AS type, a.attnotnull INTO node FROM pg_attribute AS a
        WHERE a.attrelid = stage_table AND a.attname = gleaner_stage_steps.stage || part.suffix AND NOT a.attisdropped;
        IF NOT FOUND THEN
            lacking := lacking || format(', ADD COLUMN IF NOT EXISTS %I %s%s', gleaner_stage_steps.stage || part.suffix, part.type, part.terms);
            added := added || (gleaner_stage_steps.stage || part.suffix);
            comments := comments || format('COMMENT ON COLUMN %s.%I IS %L', qualified, gleaner_stage_steps.stage || part.suffix,
                format(part.comment, described));
        ELSIF node.type::text <> part.type AND NOT (part.type = 'text' AND node.type = 'character varying'::regtype) THEN
            RAISE EXCEPTION 'the column "%" of table % is there already and is of type %: a stage needs % there',
                gleaner_stage_steps.stage || part.suffix, label, node.type, part.type;
        ELSIF part.terms <> '' AND NOT node.attnotnull THEN
            RAISE EXCEPTION 'the column "%" of table % is there already and may be NULL: a stage needs it NOT NULL', gleaner_stage_steps.stage || part.suffix, label;
        END IF;
    END LOOP;
    checked := format('%I IN (''Queued'', ''Processing'', ''Completed'', ''Error'', ''Filtered'', ''Cancelled'')', status);
    fn := gleaner_name(format('%s_%s_status_check', own.relname, gleaner_stage_steps.stage), false);
    IF gleaner_stage_rule(stage_table, gleaner_stage_steps.stage) IS NULL THEN
        IF NOT status = ANY (added) THEN
            -- Before anything is done: from the moment that the rule is there, whatever writes another word is refused.
            EXECUTE format('SELECT string_agg(%1$L || word || %1$L, '', '' ORDER BY word) FROM (SELECT DISTINCT %2$I AS word FROM %3$s WHERE NOT (%4$s) LIMIT 5) AS strange',
                '"', status, qualified, checked) INTO strays;
            IF strays IS NOT NULL THEN
                RAISE EXCEPTION 'the column "%" of table % holds %, which a stage has no meaning for: give the stage another name, or rename the column',
                    status, label, strays;
            END IF;
        END IF;
        lacking := lacking || format(', DROP CONSTRAINT IF EXISTS %1$I, ADD CONSTRAINT %1$I CHECK (%2$s)%3$s', fn, checked,
            CASE WHEN is_live THEN ' NOT VALID' ELSE '' END);
    END IF;
    IF has_handle AND NOT is_handled THEN
        lacking := format(', ADD COLUMN IF NOT EXISTS %I bigint', handle) || lacking;
    END IF;
    is_brief := true;
    IF lacking <> '' THEN
        what := CASE WHEN lacking ~ 'ADD COLUMN' THEN 'columns' ELSE 'rule' END;
        statement := format('ALTER TABLE %s %s', qualified, substr(lacking, 3));
        RETURN NEXT;
    END IF;
    what := 'comments';
    FOREACH statement IN ARRAY comments LOOP
        RETURN NEXT;
    END LOOP;
    added := coalesce(known.added, '{}') || added;

    -- The handle, which all stages of the table share. It is given when all stages' triggers have had their say, so the names are in their order.
    IF has_handle THEN
        sequence := format('%I.%I', own.nspname, gleaner_index_name(stage_table, '_gleaner_id_seq'));
        SELECT tgfoid::regproc::text INTO fn FROM pg_trigger WHERE tgrelid = stage_table AND tgname = 'gleaner_0_handle_insert';
        fn := coalesce((SELECT format('%I.%I', nspname, proname) FROM pg_trigger JOIN pg_proc AS p ON p.oid = tgfoid JOIN pg_namespace AS n ON n.oid = pronamespace
                WHERE tgrelid = stage_table AND tgname = 'gleaner_0_handle_insert'),
            format('%I.%I', own.nspname, gleaner_function_name(stage_table, 'gleaner_handle_' || own.relname)));
        IF NOT is_handled THEN
            what := 'handle';
            statement := format('COMMENT ON COLUMN %s.%I IS %L', qualified, handle,
                'The number by which the engine knows this row, in its history and logs; NULL until it is first asked for. Only triggers write it.');
            RETURN NEXT;
            statement := format('CREATE SEQUENCE IF NOT EXISTS %s AS bigint', sequence);
            RETURN NEXT;
            IF own.owner <> current_user THEN
                statement := format('ALTER SEQUENCE %s OWNER TO %I', sequence, own.owner);
                RETURN NEXT;
            END IF;
            statement := format('ALTER SEQUENCE %s OWNED BY %s.%I', sequence, qualified, handle);
            RETURN NEXT;
            statement := format($sql$
CREATE OR REPLACE FUNCTION %1$s() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $fn$
DECLARE
    whole text := coalesce(pg_partition_root(TG_RELID), TG_RELID)::regclass::text;
    is_copy boolean := true;
BEGIN
    IF TG_ARGV[0] = 'give' THEN
        NEW.gleaner_id := nextval(pg_get_serial_sequence(whole, 'gleaner_id'));
    ELSIF TG_OP = 'UPDATE' THEN
        NEW.gleaner_id := OLD.gleaner_id;
    ELSE
        -- A row that comes from another partition has left that one, and keeps its number; a copy gets one of its own.
        IF (SELECT relispartition FROM pg_class WHERE oid = TG_RELID)
                AND NEW.gleaner_id <= pg_sequence_last_value(pg_get_serial_sequence(whole, 'gleaner_id')::regclass) THEN
            EXECUTE format('SELECT EXISTS (SELECT FROM %%s WHERE gleaner_id = $1)', whole) INTO is_copy USING NEW.gleaner_id;
        END IF;
        IF is_copy THEN
            NEW.gleaner_id := NULL;
        END IF;
    END IF;
    RETURN NEW;
END $fn$
$sql$, fn);
            RETURN NEXT;
            IF own.owner <> current_user THEN
                statement := format('ALTER FUNCTION %s() OWNER TO %I', fn, own.owner);
                RETURN NEXT;
            END IF;
            statement := format('COMMENT ON FUNCTION %s() IS %L', fn, format('Gives rows of %s the number by which the engine knows them, and keeps it.', label));
            RETURN NEXT;
            statement := format('CREATE OR REPLACE TRIGGER gleaner_0_handle_insert BEFORE INSERT ON %s FOR EACH ROW WHEN (NEW.%I IS NOT NULL) EXECUTE FUNCTION %s(''keep'')',
                qualified, handle, fn);
            RETURN NEXT;
            statement := format('CREATE OR REPLACE TRIGGER gleaner_0_handle_update BEFORE UPDATE OF %2$I ON %1$s FOR EACH ROW EXECUTE FUNCTION %3$s(''keep'')',
                qualified, handle, fn);
            RETURN NEXT;
        END IF;
        IF known.stage IS NULL OR (SELECT count(*) FROM pg_trigger WHERE tgrelid = stage_table AND tgname ~ '^gleaner_2z_handle_') < 2 THEN
            what := 'handle';
            handled := gleaner_handled(stage_table, ARRAY(SELECT of.stage FROM gleaner_stages() AS of
                WHERE of.stage_table = gleaner_stage_steps.stage_table AND of.has_handle AND of.stage <> gleaner_stage_steps.stage) || gleaner_stage_steps.stage);
            FOREACH strays IN ARRAY '{insert,update}'::text[] LOOP
                statement := format('CREATE OR REPLACE TRIGGER gleaner_2z_handle_%1$s BEFORE %2$s ON %3$s FOR EACH ROW WHEN (%4$s) EXECUTE FUNCTION %5$s(''give'')',
                    strays, upper(strays), qualified, handled, fn);
                RETURN NEXT;
            END LOOP;
        END IF;
    END IF;

    -- The guard. Renamed tables are told under their new names from here on.
    what := 'guard';
    SELECT format('%I.%I', nspname, proname) AS name, position(quote_literal(described) IN prosrc) > 0 AS is_current INTO node
    FROM pg_trigger JOIN pg_proc AS p ON p.oid = tgfoid JOIN pg_namespace AS n ON n.oid = pronamespace
    WHERE tgrelid = stage_table AND tgname = format('gleaner_2_%s_insert', gleaner_stage_steps.stage);
    fn := coalesce(node.name, format('%I.%I', own.nspname,
        gleaner_function_name(stage_table, format('gleaner_stage_%s_%s', own.relname, gleaner_stage_steps.stage))));
    IF node.is_current IS DISTINCT FROM true THEN
        statement := format($sql$
CREATE OR REPLACE FUNCTION %1$s() RETURNS trigger LANGUAGE plpgsql AS $fn$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF NEW.%2$I = 'Processing' THEN
            NEW.%4$I := now();
            RETURN NEW;
        END IF;
        IF NEW.%6$I = OLD.%6$I THEN
            NEW.%2$I := 'Processing';
            NEW.%4$I := now();
            NEW.%5$I := OLD.%5$I;
            RETURN NEW;
        END IF;
        IF OLD.%6$I IS NULL THEN
            NEW.%5$I := 0;
            NEW.%6$I := NULL;
            NEW.%7$I := NULL;
            IF NEW.%4$I IS NULL OR NEW.%4$I IS NOT DISTINCT FROM OLD.%4$I THEN
                NEW.%4$I := now();
            END IF;
        END IF;
    ELSE
        NEW.%5$I := 0;
        NEW.%6$I := NULL;
        NEW.%4$I := coalesce(NEW.%4$I, now());
        IF NEW.%2$I = 'Processing' THEN
            RETURN NEW;
        END IF;
    END IF;
    IF NEW.%4$I <= now() THEN
        PERFORM pg_notify('gleaner_stage', %8$L);
    END IF;
    RETURN NEW;
END $fn$
$sql$, fn, status, NULL, gleaner_stage_steps.stage || '_due_at', gleaner_stage_steps.stage || '_attempts',
            gleaner_stage_steps.stage || '_lease', gleaner_stage_steps.stage || '_error', described);
        RETURN NEXT;
        statement := format('COMMENT ON FUNCTION %s() IS %L', fn, format('Guards the requests for %s; see gleaner_add_stage.', described));
        RETURN NEXT;
    END IF;
    -- Numbered, because triggers fire in the order of their names: curation first, then the stages, then the handle, then the time stamp.
    IF known.stage IS NULL OR known.added IS DISTINCT FROM added THEN
        statement := format('CREATE OR REPLACE TRIGGER %I BEFORE INSERT ON %s FOR EACH ROW WHEN (NEW.%I IN (''Queued'', ''Processing'')%s) EXECUTE FUNCTION %s(%L, %L, %L)',
            format('gleaner_2_%s_insert', gleaner_stage_steps.stage), qualified, status,
            -- A row that comes from another partition is as it was there.
            CASE WHEN has_handle THEN format(' AND NEW.%I IS NULL', handle) ELSE '' END,
            fn, key.columns::text, CASE WHEN has_handle THEN handle ELSE '' END, added::text);
        RETURN NEXT;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = stage_table AND tgname = format('gleaner_2_%s_update', gleaner_stage_steps.stage)) THEN
        statement := format('CREATE OR REPLACE TRIGGER %1$I BEFORE UPDATE ON %2$s FOR EACH ROW WHEN (OLD.%3$I IS DISTINCT FROM NEW.%3$I'
                || ' AND (NEW.%3$I = ''Queued'' OR (NEW.%3$I = ''Processing'' AND NEW.%4$I IS NULL))) EXECUTE FUNCTION %5$s()',
            format('gleaner_2_%s_update', gleaner_stage_steps.stage), qualified, status, gleaner_stage_steps.stage || '_lease', fn);
        RETURN NEXT;
    END IF;

    -- The indexes. Of partitioned tables, in one go each: their server makes those of the partitions. On a live table one partition after the other, which
    -- are put together in the end.
    FOR part IN SELECT suffix, columns, word, definition, kind FROM (VALUES
        (1, format('_%s_queued_idx', gleaner_stage_steps.stage), ARRAY[gleaner_stage_steps.stage || '_priority', gleaner_stage_steps.stage || '_due_at',
            CASE WHEN has_handle THEN handle ELSE key.columns[1] END], '''Queued''',
            format('(%I DESC, %I, %I) WHERE %I = ''Queued''%s', gleaner_stage_steps.stage || '_priority',
            gleaner_stage_steps.stage || '_due_at', CASE WHEN has_handle THEN handle ELSE key.columns[1] END, status,
            CASE WHEN has_handle THEN format(' AND %I IS NOT NULL', handle) ELSE '' END), ''),
        (2, format('_%s_held_idx', gleaner_stage_steps.stage), ARRAY[gleaner_stage_steps.stage || '_lease'], '''Processing''',
            format('(%1$I) WHERE %1$I IS NOT NULL OR %2$I = ''Processing''', gleaner_stage_steps.stage || '_lease', status), ''),
        -- What a partitioned table has in several partitions no index of PostgreSQL's keeps unique; the triggers do.
        (3, '_gleaner_id_idx', ARRAY[handle], 'IS NOT NULL', format('(%1$I) WHERE %1$I IS NOT NULL', handle), CASE own.relkind WHEN 'p' THEN '' ELSE 'UNIQUE ' END)
    ) AS indexes(place, suffix, columns, word, definition, kind) WHERE place < 3 OR has_handle ORDER BY place LOOP
        CONTINUE WHEN (SELECT indisvalid FROM pg_index WHERE indexrelid = gleaner_stage_index(stage_table, part.columns, part.word));
        what := coalesce((SELECT relname::text FROM pg_class WHERE oid = gleaner_stage_index(stage_table, part.columns, part.word)),
            gleaner_index_name(stage_table, part.suffix));
        FOR node IN
            SELECT tree.*, nspname, c.relname, coalesce(named.relname, gleaner_index_name(relid, part.suffix)) AS index_name,
                named.oid IS NOT NULL AS is_there, indisvalid,
                -- A partition that was made meanwhile has got its index with it.
                EXISTS (SELECT FROM pg_inherits WHERE inhrelid = named.oid AND inhparent = gleaner_stage_index(parentrelid, part.columns, part.word)) AS is_attached
            FROM (SELECT relid, parentrelid, isleaf, level FROM pg_partition_tree(stage_table) WHERE own.relkind = 'p' AND is_live
                  UNION ALL SELECT stage_table, NULL, true, 0 WHERE NOT (own.relkind = 'p' AND is_live)) AS tree
            JOIN pg_class AS c ON c.oid = relid JOIN pg_namespace AS n ON n.oid = relnamespace
            LEFT JOIN pg_index ON indexrelid = gleaner_stage_index(relid, part.columns, part.word) LEFT JOIN pg_class AS named ON named.oid = indexrelid
            ORDER BY level
        LOOP
            CONTINUE WHEN node.is_attached;
            IF node.is_there AND NOT node.indisvalid AND node.isleaf THEN
                -- What was left of a run that was broken off.
                is_brief := NOT is_live;
                statement := format('DROP INDEX %sIF EXISTS %I.%I', CASE WHEN is_live THEN 'CONCURRENTLY ' ELSE '' END, node.nspname, node.index_name);
                RETURN NEXT;
            END IF;
            IF NOT node.is_there OR (node.isleaf AND NOT node.indisvalid) THEN
                is_brief := NOT (is_live AND node.isleaf);
                statement := format('CREATE %sINDEX %sIF NOT EXISTS %I ON %s%I.%I %s', part.kind,
                    CASE WHEN is_brief THEN '' ELSE 'CONCURRENTLY ' END, node.index_name, CASE WHEN node.isleaf THEN '' ELSE 'ONLY ' END,
                    node.nspname, node.relname, part.definition);
                RETURN NEXT;
            END IF;
        END LOOP;
        is_brief := true;
        IF own.relkind = 'p' AND is_live THEN
            FOR node IN
                SELECT n.nspname, coalesce(named.relname, gleaner_index_name(relid, part.suffix)) AS index_name,
                    above_n.nspname AS above_schema, coalesce(above_named.relname, gleaner_index_name(parentrelid, part.suffix)) AS above_name
                FROM pg_partition_tree(stage_table) JOIN pg_class AS c ON c.oid = relid JOIN pg_namespace AS n ON n.oid = c.relnamespace
                    JOIN pg_class AS above ON above.oid = parentrelid JOIN pg_namespace AS above_n ON above_n.oid = above.relnamespace
                    LEFT JOIN pg_class AS named ON named.oid = gleaner_stage_index(relid, part.columns, part.word)
                    LEFT JOIN pg_class AS above_named ON above_named.oid = gleaner_stage_index(parentrelid, part.columns, part.word)
                WHERE level > 0 AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = named.oid AND inhparent = above_named.oid)
                ORDER BY level DESC
            LOOP
                statement := format('ALTER INDEX %I.%I ATTACH PARTITION %I.%I', node.above_schema, node.above_name, node.nspname, node.index_name);
                RETURN NEXT;
            END LOOP;
        END IF;
    END LOOP;

    -- Last: it reads the whole table, and nothing waits for it.
    SELECT conname, convalidated INTO node FROM pg_constraint WHERE oid = gleaner_stage_rule(stage_table, gleaner_stage_steps.stage);
    fn := coalesce(node.conname, gleaner_name(format('%s_%s_status_check', own.relname, gleaner_stage_steps.stage), false));
    IF is_live AND node.convalidated IS DISTINCT FROM true THEN
        what := fn;
        is_brief := false;
        statement := format('ALTER TABLE %s VALIDATE CONSTRAINT %I', qualified, fn);
        RETURN NEXT;
    END IF;
END $$;
COMMENT ON FUNCTION gleaner_stage_steps IS 'What a table lacks to be a stage, as statements in their order: what for, whether in one transaction with its neighbours or alone, and the statement.';

-- When a row needs a handle: it is asked for in one of these stages and has none. A condition for a trigger.
CREATE FUNCTION gleaner_handled(handled regclass, stages text[]) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT format('NEW.gleaner_id IS NULL AND (%s)', string_agg(format('NEW.%I IN (''Queued'', ''Processing'')', stage || '_status'), ' OR ' ORDER BY stage))
    FROM unnest(stages) AS stage
$$;
COMMENT ON FUNCTION gleaner_handled IS 'The condition under which a row of a table with these stages needs the engine''s number.';

DROP FUNCTION gleaner_add_stage(regclass, text);
-- Adds a stage to a table: columns, constraint, indexes, triggers. What is there already is kept, so that a table that has
-- such a status column from earlier software can be taken over.
--
-- The trigger is the whole public interface: anyone may set <stage>_status. It
--   * turns a request for a row that a worker has in hand (its lease stands) into "again after": the row stays Processing and
--     <stage>_due_at remembers the request, which the settle of that worker honours. So no row is ever worked twice at once;
--   * makes a fresh request fresh: attempts from 0, no error, due now unless the writer says otherwise;
--   * stamps rows that other software sets to Processing, so that they can be found when they are stuck;
--   * notifies gleaner_stage with the name of the stage when the row is due.
-- The engine's own writes are told from others' by the lease column, which only the engine changes.
CREATE FUNCTION gleaner_add_stage(stage_table regclass, stage text, key_columns text[] DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    step record;
BEGIN
    PERFORM gleaner_require_owner(stage_table);
    FOR step IN SELECT * FROM gleaner_stage_steps(stage_table, stage, key_columns) LOOP
        EXECUTE step.statement;
    END LOOP;
END $$;
COMMENT ON FUNCTION gleaner_add_stage IS 'Adds the column group, indexes and triggers of a stage to a table; the key is its primary key unless other columns are named.';

-- Takes a stage off a table again: what it has added, with what that holds. Columns that were there before it stay.
CREATE OR REPLACE FUNCTION gleaner_drop_stage(stage_table regclass, stage text) RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
#variable_conflict use_variable
DECLARE
    label text := gleaner_label(stage_table);
    qualified text := (SELECT format('%I.%I', nspname, relname) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace WHERE c.oid = stage_table);
    known record;
    others text[];
    held bigint;
    name text;
    fn text;
    columns text;
BEGIN
    PERFORM gleaner_require_owner(stage_table);
    -- Before it is looked who has what in hand.
    EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', qualified);
    SELECT * INTO known FROM gleaner_stages() AS of WHERE of.stage_table = gleaner_drop_stage.stage_table AND of.stage = gleaner_drop_stage.stage;
    IF known.stage IS NULL THEN
        RAISE EXCEPTION 'table % has no stage "%"', label, stage;
    ELSIF stage = ANY ((gleaner_curation(stage_table))[2:]) THEN
        RAISE EXCEPTION 'the stage "%" follows the user status of table %: SELECT gleaner_drop_curation(%, %) first', stage, label,
            quote_literal(qualified), quote_literal(ARRAY[stage]);
    END IF;
    EXECUTE format('SELECT count(*) FROM %s WHERE %I IS NOT NULL OR %I = ''Processing''', qualified, stage || '_lease', stage || '_status') INTO held;
    IF held > 0 THEN
        RAISE EXCEPTION '% rows of %/% are in hand: stop what works them, and drop the stage when they are done', held, label, stage;
    END IF;
    fn := (SELECT tgfoid::regprocedure FROM pg_trigger WHERE tgrelid = stage_table AND tgname = format('gleaner_2_%s_insert', stage));
    EXECUTE format('DROP TRIGGER %I ON %s', format('gleaner_2_%s_insert', stage), qualified);
    EXECUTE format('DROP TRIGGER IF EXISTS %I ON %s', format('gleaner_2_%s_update', stage), qualified);
    EXECUTE format('DROP FUNCTION %s', fn);
    FOR name IN SELECT conname FROM pg_constraint WHERE oid = gleaner_stage_rule(stage_table, stage) LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', qualified, name);
    END LOOP;
    FOR name IN SELECT format('%I.%I', nspname, i.relname) FROM pg_class AS i JOIN pg_namespace AS n ON n.oid = i.relnamespace
            WHERE i.oid IN (gleaner_stage_index(stage_table, ARRAY[stage || '_priority', stage || '_due_at',
                    CASE WHEN known.has_handle THEN 'gleaner_id' ELSE known.key_columns[1] END], '''Queued'''),
                gleaner_stage_index(stage_table, ARRAY[stage || '_lease'], '''Processing''')) LOOP
        EXECUTE format('DROP INDEX %s', name);
    END LOOP;
    IF known.has_handle THEN
        others := ARRAY(SELECT of.stage FROM gleaner_stages() AS of WHERE of.stage_table = gleaner_drop_stage.stage_table AND of.has_handle);
        fn := (SELECT tgfoid::regproc FROM pg_trigger WHERE tgrelid = stage_table AND tgname = 'gleaner_0_handle_insert');
        FOREACH name IN ARRAY '{insert,update}'::text[] LOOP
            IF cardinality(others) > 0 THEN
                EXECUTE format('CREATE OR REPLACE TRIGGER gleaner_2z_handle_%s BEFORE %s ON %s FOR EACH ROW WHEN (%s) EXECUTE FUNCTION %s(''give'')',
                    name, upper(name), qualified, gleaner_handled(stage_table, others), fn);
            ELSE
                EXECUTE format('DROP TRIGGER gleaner_2z_handle_%s ON %s', name, qualified);
                EXECUTE format('DROP TRIGGER gleaner_0_handle_%s ON %s', name, qualified);
            END IF;
        END LOOP;
        IF cardinality(others) = 0 THEN
            EXECUTE format('DROP FUNCTION %s()', fn);
            EXECUTE format('ALTER TABLE %s DROP COLUMN gleaner_id', qualified);
        END IF;
    END IF;
    columns := (SELECT string_agg(format('DROP COLUMN IF EXISTS %I', added), ', ') FROM unnest(known.added) AS added);
    IF columns IS NOT NULL THEN
        EXECUTE format('ALTER TABLE %s %s', qualified, columns);
    END IF;
END $$;
COMMENT ON FUNCTION gleaner_drop_stage IS 'Takes a stage off a table again: the columns that it has added with what they hold, indexes and triggers. Refused while rows are in hand.';

-- The user status of tables of one name in two schemas: each has a function of its own.
CREATE OR REPLACE FUNCTION gleaner_follow_curation(curated regclass, column_is text, stages text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    stage text;
    -- Beside the table, under a name that no other table's function has.
    fn text := coalesce((SELECT format('%I.%I', nspname, proname) FROM pg_trigger JOIN pg_proc AS p ON p.oid = tgfoid JOIN pg_namespace AS n ON n.oid = pronamespace
            WHERE tgrelid = curated AND tgname = 'gleaner_1_curation_insert'),
        (SELECT format('%I.%I', nspname, gleaner_function_name(curated, 'gleaner_curate_' || relname))
            FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace WHERE c.oid = curated));
    queue_all text := '';
    unqueue_all text := '';
BEGIN
    FOREACH stage IN ARRAY stages LOOP
        queue_all := queue_all || format(
            'IF NEW.%1$I IS NULL OR NEW.%1$I = ''Error'' THEN NEW.%1$I := ''Queued''; END IF; ', stage || '_status');
        unqueue_all := unqueue_all || format(
            'IF NEW.%1$I = ''Queued'' THEN NEW.%1$I := NULL; ELSIF NEW.%1$I = ''Processing'' AND NEW.%2$I IS NOT NULL THEN NEW.%3$I := NULL; END IF; ',
            stage || '_status', stage || '_lease', stage || '_due_at');
    END LOOP;
    EXECUTE format('DROP TRIGGER IF EXISTS gleaner_1_curation_insert ON %s', curated);
    EXECUTE format('DROP TRIGGER IF EXISTS gleaner_1_curation_update ON %s', curated);
    EXECUTE format($sql$
        CREATE OR REPLACE FUNCTION %1$s() RETURNS trigger LANGUAGE plpgsql AS $fn$
        BEGIN
            IF NEW.status = 'Selected' THEN %2$s
            ELSE %3$s
            END IF;
            RETURN NEW;
        END $fn$
        $sql$, fn, queue_all, unqueue_all);
    EXECUTE format('COMMENT ON FUNCTION %s() IS %L', fn,
        'Queues and un-queues with the user status; see gleaner_add_curation.');
    EXECUTE format($sql$
        CREATE TRIGGER gleaner_1_curation_insert BEFORE INSERT ON %s FOR EACH ROW
            WHEN (NEW.status = 'Selected'%s) EXECUTE FUNCTION %s(%s)
        $sql$, curated,
        -- A row that comes from another partition is as it was there.
        CASE WHEN EXISTS (SELECT FROM pg_trigger WHERE tgrelid = curated AND tgname = 'gleaner_0_handle_insert') THEN ' AND NEW.gleaner_id IS NULL' ELSE '' END, fn,
        (SELECT string_agg(quote_literal(argument), ', ' ORDER BY place)
            FROM unnest(column_is || stages) WITH ORDINALITY AS known(argument, place)));
    EXECUTE format($sql$
        CREATE TRIGGER gleaner_1_curation_update BEFORE UPDATE ON %s FOR EACH ROW
            WHEN (OLD.status IS DISTINCT FROM NEW.status AND 'Selected' IN (OLD.status, NEW.status)) EXECUTE FUNCTION %s()
        $sql$, curated, fn);
    IF column_is = 'added' THEN
        EXECUTE format('COMMENT ON COLUMN %s.status IS %L', curated, format(
            'What a person makes of the row: New, Selected, Maybe, Not a Fit, Archived. Selected queues %s unless done already; leaving Selected un-queues.',
            array_to_string(stages, ' and ')));
    END IF;
END $$;

CREATE OR REPLACE FUNCTION gleaner_drop_curation(curated regclass, stages text[] DEFAULT NULL) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    tbl text := (SELECT relname FROM pg_class WHERE oid = curated);
    known text[];
    column_is text;
    stage text;
    is_filled boolean;
    fn text;
BEGIN
    EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', curated);
    known := gleaner_curation(curated);
    IF known IS NULL THEN
        RAISE EXCEPTION 'no stage follows the user status of table %', tbl;
    END IF;
    column_is := known[1];
    known := known[2:];
    FOREACH stage IN ARRAY coalesce(stages, known) LOOP
        IF stage <> ALL (known) THEN
            RAISE EXCEPTION 'the stage "%" does not follow the user status of table %', stage, tbl;
        END IF;
        known := array_remove(known, stage);
    END LOOP;
    IF cardinality(known) > 0 THEN
        PERFORM gleaner_follow_curation(curated, column_is, known);
        RETURN;
    END IF;
    fn := (SELECT tgfoid::regprocedure FROM pg_trigger WHERE tgrelid = curated AND tgname = 'gleaner_1_curation_insert');
    EXECUTE format('DROP TRIGGER gleaner_1_curation_insert ON %s', curated);
    EXECUTE format('DROP TRIGGER gleaner_1_curation_update ON %s', curated);
    EXECUTE format('DROP FUNCTION %s', fn);
    IF column_is <> 'added' THEN
        RETURN;
    END IF;
    EXECUTE format('SELECT EXISTS (SELECT FROM %s WHERE status <> ''New'')', curated) INTO is_filled;
    IF is_filled THEN
        EXECUTE format('COMMENT ON COLUMN %s.status IS %L', curated,
            'What a person made of the row: New, Selected, Maybe, Not a Fit, Archived. Nothing follows it any more.');
    ELSE
        EXECUTE format('ALTER TABLE %s DROP COLUMN status', curated);
    END IF;
END $$;

-- What the stages of before have added: all of their columns on the engine's own tables. On others', whose the status column was, nobody has noted down,
-- so it counts as theirs.
DO $$
DECLARE
    made record;
BEGIN
    FOR made IN
        SELECT of.*, tgname, tgfoid::regproc AS fn,
            c.relname = ANY ('{place,domain,local_business,sitemap_file,page,site,crawl_job,crawl_result,notification,documents}')
                AND c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'lease'::regclass) AS is_ours
        FROM gleaner_stages() AS of JOIN pg_trigger ON tgrelid = of.stage_table AND tgname = format('gleaner_2_%s_insert', of.stage)
            JOIN pg_class AS c ON c.oid = of.stage_table
        ORDER BY tgrelid, tgname
    LOOP
        EXECUTE format('CREATE OR REPLACE TRIGGER %I BEFORE INSERT ON %s FOR EACH ROW WHEN (NEW.%I IN (''Queued'', ''Processing'')) EXECUTE FUNCTION %s(%L, %L, %L)',
            made.tgname, made.stage_table, made.stage || '_status', made.fn, '{id}', '',
            CASE WHEN made.is_ours THEN made.stage || '_status' || made.added ELSE made.added END::text);
    END LOOP;
END $$;

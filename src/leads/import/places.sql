-- Stores places that are new. Known ones stay as they are, but for those still New where they are to be queued.
-- $1 boolean  whether to queue them (Selected)
-- $2 text[] place_id, $3 text[] name, $4 text[] formatted_address, $5 text[] business_type, $6 float8[] latitude,
-- $7 float8[] longitude, $8 float8[] rating, $9 int[] user_ratings_total, $10 smallint[] price_level,
-- $11 text[] search_query, $12 text[] search_location, $13 text[] notes
WITH stored AS (
    INSERT INTO place AS known (place_id, name, formatted_address, business_type, latitude, longitude, rating,
        user_ratings_total, price_level, search_query, search_location, notes, status)
    SELECT given.*, CASE WHEN $1 THEN 'Selected' ELSE 'New' END
    FROM unnest($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) AS given
    ON CONFLICT (place_id) DO UPDATE SET status = 'Selected' WHERE $1 AND known.status = 'New'
    RETURNING xmax = 0 AS is_new
)
SELECT count(*) FILTER (WHERE is_new) AS stored, count(*) FILTER (WHERE $1) AS queued FROM stored

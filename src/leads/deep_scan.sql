-- Stores businesses from the Places API. A business that is known gets the API's columns only: status, notes, domain and
-- stage columns are other people's.
-- $1..$26 arrays, one value per business, in the order of the columns; $27 whether new ones are Selected.
INSERT INTO local_business AS known (
    place_id, name, website, phone, full_address, street_address, city, state, zip, country, country_code,
    latitude, longitude, utc_offset_minutes, main_category, extra_categories, business_status, rating, reviews_count, price_level,
    monday_hours, tuesday_hours, wednesday_hours, thursday_hours, friday_hours, saturday_hours, sunday_hours,
    scanned_at, status)
SELECT place_id, name, website, phone, full_address, street_address, city, state, zip, country, country_code,
    latitude, longitude, utc_offset_minutes, types.list[1], types.list[2:], business_status, rating, reviews_count, price_level,
    monday, tuesday, wednesday, thursday, friday, saturday, sunday,
    now(), CASE WHEN $27 THEN 'Selected' ELSE 'New' END
FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26)
    AS fresh(place_id, name, website, phone, full_address, street_address, city, state, zip, country, country_code,
        latitude, longitude, utc_offset_minutes, categories, business_status, rating, reviews_count, price_level,
        monday, tuesday, wednesday, thursday, friday, saturday, sunday)
CROSS JOIN LATERAL (SELECT array(SELECT jsonb_array_elements_text(categories::jsonb)) AS list) AS types
ON CONFLICT (place_id) DO UPDATE SET
    name = excluded.name, website = excluded.website, phone = excluded.phone, full_address = excluded.full_address,
    street_address = excluded.street_address, city = excluded.city, state = excluded.state, zip = excluded.zip,
    country = excluded.country, country_code = excluded.country_code, latitude = excluded.latitude,
    longitude = excluded.longitude, utc_offset_minutes = excluded.utc_offset_minutes,
    main_category = excluded.main_category, extra_categories = excluded.extra_categories,
    business_status = excluded.business_status, rating = excluded.rating, reviews_count = excluded.reviews_count,
    price_level = excluded.price_level, monday_hours = excluded.monday_hours, tuesday_hours = excluded.tuesday_hours,
    wednesday_hours = excluded.wednesday_hours, thursday_hours = excluded.thursday_hours,
    friday_hours = excluded.friday_hours, saturday_hours = excluded.saturday_hours, sunday_hours = excluded.sunday_hours,
    scanned_at = excluded.scanned_at

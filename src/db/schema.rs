//! The tables as diesel sees them, from the catalogue of a migrated database.
//!
//! Written by `schema.sql`; the test `schema` fails when this file and the database differ, and rewrites it when told to.

#![expect(clippy::doc_markdown, reason = "comments of the database")]

diesel::table! {
    /// What became of every attempt at every row. Append-only, partitioned by day, pruned by dropping partitions.
    attempt (settled_at, item_id) {
        /// When the attempt ended.
        settled_at -> Timestamptz,
        /// Key of the row that was worked, in the stage's table.
        item_id -> Int8,
        /// How long the work took, in milliseconds; NULL where nobody was left to say (rescued).
        elapsed_ms -> Nullable<Int4>,
        /// Which attempt this was, from 1.
        #[sql_name = "attempt"]
        attempt_ -> Int2,
        /// The stage, as table/stage.
        stage -> Text,
        /// completed, filtered, retried, snoozed, failed, released, rescued or quarantined.
        outcome -> Text,
        /// Class of the failure: timeout, panic, http, …; NULL unless it failed.
        class -> Nullable<Text>,
        /// The whole error, or the reason.
        message -> Nullable<Text>,
    }
}

diesel::table! {
    /// Outside workers that pull jobs and submit results over HTTP.
    bot (id) {
        /// Key.
        id -> Int8,
        /// The name it logs in with.
        bot_id -> Text,
        /// Its name, for people.
        name -> Text,
        /// SHA-256 of its token; the token itself is shown once and kept nowhere.
        token_hash -> Bytea,
        /// false: refused.
        enabled -> Bool,
        /// At most this many jobs per pull.
        max_jobs_per_pull -> Int4,
        /// How long it may keep a job without a sign of life; NULL for the policy's timeout.
        lock_ttl_seconds -> Nullable<Int4>,
        /// At most this many pulls per minute.
        rate_limit_per_minute -> Int4,
        /// The registrable domains whose jobs it may have; empty for all.
        allowed_domains -> Array<Text>,
        /// When the minute began in which its pulls are counted.
        window_started_at -> Timestamptz,
        /// Pulls in that minute.
        window_pulls -> Int4,
        /// Jobs handed to it.
        jobs_pulled -> Int8,
        /// Of these, submitted with success.
        jobs_completed -> Int8,
        /// Of these, submitted as failed.
        jobs_failed -> Int8,
        /// Its last pull.
        last_pull_at -> Nullable<Timestamptz>,
        /// Its last submit.
        last_submit_at -> Nullable<Timestamptz>,
        /// When the row was stored.
        created_at -> Timestamptz,
        /// When the row last changed.
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    /// Every way found to reach a domain's people: once per domain, with where and how surely it was found.
    contact (id) {
        /// Key.
        id -> Int8,
        /// Whose contact it is.
        domain_id -> Int8,
        /// The page it is best attested on.
        page_id -> Nullable<Int8>,
        /// email, phone or social.
        kind -> Text,
        /// Lower-case address, E.164 number, or profile URL.
        value -> Text,
        /// email: service, corporate, free or unknown; phone: voice, fax or unknown; social: the platform.
        detail -> Nullable<Text>,
        /// As it stood on the page, where that differs.
        raw -> Nullable<Text>,
        /// Where on the page it stood: mailto, tel, jsonld, text, …
        source -> Text,
        /// How sure the extraction is, 0 to 1.
        confidence -> Float4,
        /// Address of that page.
        source_url -> Text,
        /// The value, where it is an e-mail address.
        email -> Nullable<Text>,
        /// The value, where it is a telephone number.
        phone -> Nullable<Text>,
        /// When it was first found.
        created_at -> Timestamptz,
        /// When the row last changed.
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    /// The crawling of one product page: one row per URL for good, queued whenever it is due.
    crawl_job (id) {
        /// Key.
        id -> Int8,
        /// The page: there is never a second job for it.
        product_url_id -> Int8,
        /// Its shop.
        site_id -> Int8,
        /// The policy that decided; NULL where a subscription or nothing did.
        policy_id -> Nullable<Int8>,
        /// From one crawl to the next, from the policy or the keenest subscription.
        frequency -> Interval,
        /// What crawl_priority starts from; raised while the job waits too long.
        priority -> Int2,
        /// Attempts in all before it has failed.
        max_retries -> Int2,
        /// Before the second attempt; doubled up to three times.
        retry_backoff -> Interval,
        /// How long a bot may keep it without a sign of life.
        timeout -> Interval,
        /// When it is to be queued next; NULL: never by itself.
        next_run_at -> Nullable<Timestamptz>,
        /// Runs that failed in a row, attempts used up.
        failure_count -> Int4,
        /// The bot that has it or had it last; NULL for our own fetcher.
        locked_by -> Nullable<Text>,
        /// The lease under which a bot last got it: a late result is told by it from one that somebody else has replaced.
        locked_lease -> Nullable<Int8>,
        /// The generation of crawl_plan by which frequency, priority and the rest were decided; 0: to be decided.
        plan -> Int8,
        /// When the last result came in, good or bad.
        last_result_at -> Nullable<Timestamptz>,
        /// When the row was stored.
        created_at -> Timestamptz,
        /// When the row last changed.
        updated_at -> Timestamptz,
        /// State of crawl_job/crawl: NULL not asked for, Queued, Processing, Completed, Error, Filtered (rightly nothing to do), Cancelled. Set it to Queued to have the row worked.
        crawl_status -> Nullable<Text>,
        /// Order of crawl_job/crawl among the due rows: higher first.
        crawl_priority -> Int2,
        /// While Queued: crawl_job/crawl not before this. While Processing: asked for again at this time, NULL if not.
        crawl_due_at -> Nullable<Timestamptz>,
        /// Attempts at crawl_job/crawl since it was last asked for, counted by the claim.
        crawl_attempts -> Int2,
        /// The lease under which crawl_job/crawl has this row in hand; only the engine writes it.
        crawl_lease -> Nullable<Int8>,
        /// Last error of crawl_job/crawl (class: message), or why it was Filtered; the full history is in attempt.
        crawl_error -> Nullable<Text>,
    }
}

diesel::table! {
    /// One row: counts the changes of what decides how often jobs run, so that each job is decided anew after each.
    crawl_plan (id) {
        /// true.
        id -> Bool,
        /// How many changes there have been.
        generation -> Int8,
        /// The configured frequencies that were in force last.
        defaults -> Nullable<Jsonb>,
        /// When it last changed.
        changed_at -> Timestamptz,
    }
}

diesel::table! {
    /// How often and how urgently which pages are crawled. Of those that match, the highest priority decides, then the most specific, then the oldest.
    crawl_policy (id) {
        /// Key.
        id -> Int8,
        /// Its name, for people.
        name -> Text,
        /// What it selects by: all, domain, domain_regex, url_regex, tag.
        selection -> Text,
        /// The domain, regular expression (PostgreSQL's) or tag; empty for all, and never empty otherwise.
        target -> Text,
        /// From one crawl to the next.
        frequency -> Interval,
        /// Priority of its jobs: 1 low, 5 normal, 10 high, 20 urgent.
        priority -> Int2,
        /// Attempts in all before a job has failed.
        max_retries -> Int2,
        /// Before the second attempt; doubled up to three times.
        retry_backoff -> Interval,
        /// How long a bot may keep a job without a sign of life.
        timeout -> Interval,
        /// false: matches nothing.
        enabled -> Bool,
        /// When the row was stored.
        created_at -> Timestamptz,
        /// When the row last changed.
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    /// What each crawl saw: one row per crawl, never overwritten. A failed crawl is a row without a price.
    crawl_result (id) {
        /// Key; what stands in the Redis queue.
        id -> Int8,
        /// The job; NULL for an observation that came without one.
        job_id -> Nullable<Int8>,
        /// The page.
        product_url_id -> Int8,
        /// Its shop.
        site_id -> Int8,
        /// The bot that submitted it; NULL for our own fetcher and other writers.
        bot_id -> Nullable<Int8>,
        /// The pattern it was read with, if any.
        pattern_id -> Nullable<Int8>,
        /// The lease it was worked under: with job and attempt, what makes a repeated submit the same submit.
        lease -> Nullable<Int8>,
        /// The attempt it came from.
        attempt -> Nullable<Int2>,
        /// Whether the page could be had and read.
        success -> Bool,
        /// The price seen; NULL for none.
        price -> Nullable<Numeric>,
        /// Its currency (ISO 4217); NULL if it could not be told.
        currency -> Nullable<Text>,
        /// The price before a reduction, where shown.
        list_price -> Nullable<Numeric>,
        /// Availability seen; NULL if the page does not tell.
        availability -> Nullable<Text>,
        /// The same as yes or no, as bots give it; NULL if not told.
        in_stock -> Nullable<Bool>,
        /// Title of the offer.
        title -> Nullable<Text>,
        /// Confidence in the price, 0 to 1; NULL if not told.
        confidence -> Nullable<Float4>,
        /// Where the price was found: jsonld, microdata, rdfa, og, script_data, pattern, html_ml.
        price_sources -> Array<Text>,
        /// What else the crawler says, as it says it.
        parsed_data -> Jsonb,
        /// Of a failed crawl: network, http, robots, extraction, validation, …
        error_class -> Nullable<Text>,
        /// Why the crawl failed.
        error -> Nullable<Text>,
        /// How long the crawl took, in milliseconds; NULL if not told.
        duration_ms -> Nullable<Int4>,
        /// When the page was seen.
        crawled_at -> Timestamptz,
        /// When the row was stored.
        created_at -> Timestamptz,
        /// Whether it is dealt with: recorded in price_history, or equal to what stood there.
        history_recorded -> Bool,
        /// none, recorded, duplicate, held (a jump that waits for a second look), failed.
        history_record_status -> Text,
        /// When that was decided.
        history_recorded_at -> Nullable<Timestamptz>,
        /// State of crawl_result/auto_record: NULL not asked for, Queued, Processing, Completed, Error, Filtered (rightly nothing to do), Cancelled. Set it to Queued to have the row worked.
        auto_record_status -> Nullable<Text>,
        /// Order of crawl_result/auto_record among the due rows: higher first.
        auto_record_priority -> Int2,
        /// While Queued: crawl_result/auto_record not before this. While Processing: asked for again at this time, NULL if not.
        auto_record_due_at -> Nullable<Timestamptz>,
        /// Attempts at crawl_result/auto_record since it was last asked for, counted by the claim.
        auto_record_attempts -> Int2,
        /// The lease under which crawl_result/auto_record has this row in hand; only the engine writes it.
        auto_record_lease -> Nullable<Int8>,
        /// Last error of crawl_result/auto_record (class: message), or why it was Filtered; the full history is in attempt.
        auto_record_error -> Nullable<Text>,
        /// auto_record_status by its older names: pending, queued, processing, completed, ineligible, failed.
        auto_record_eligibility_status -> Nullable<Text>,
    }
}

diesel::table! {
    /// Web sites: one row per canonical host.
    domain (id) {
        /// Key.
        id -> Int8,
        /// Canonical host: lower case, IDNA, without a leading www label.
        #[sql_name = "domain"]
        domain_ -> Text,
        /// The part that was registered, by the public suffix list.
        registrable_domain -> Text,
        /// Title of the home page; NULL if it has none or was not read.
        title -> Nullable<Text>,
        /// Description of the home page.
        description -> Nullable<Text>,
        /// Language of the home page, as it declares it.
        language -> Nullable<Text>,
        /// Icon of the home page.
        favicon_url -> Nullable<Text>,
        /// Logo on the home page.
        logo_url -> Nullable<Text>,
        /// Whether the home page shows signs of WordPress; NULL if not read.
        is_wordpress -> Nullable<Bool>,
        /// Version of WordPress, where the page tells.
        wordpress_version -> Nullable<Text>,
        /// Whether the home page shows signs of Elementor; NULL if not read.
        has_elementor -> Nullable<Bool>,
        /// Technology hints on the home page: an array of names.
        tech_stack -> Nullable<Jsonb>,
        /// E-mail addresses on the home page.
        email_addresses -> Nullable<Array<Text>>,
        /// Telephone numbers on the home page, E.164.
        phone_numbers -> Nullable<Array<Text>>,
        /// Facebook profile linked from the home page.
        facebook_url -> Nullable<Text>,
        /// X (Twitter) profile linked from the home page.
        twitter_url -> Nullable<Text>,
        /// LinkedIn profile linked from the home page.
        linkedin_url -> Nullable<Text>,
        /// Instagram profile linked from the home page.
        instagram_url -> Nullable<Text>,
        /// YouTube channel linked from the home page.
        youtube_url -> Nullable<Text>,
        /// Where the home page was found, after redirects.
        home_url -> Nullable<Text>,
        /// Sitemaps found by the last discovery; NULL before the first.
        total_sitemaps -> Nullable<Int4>,
        /// URLs listed in them.
        sitemap_urls -> Nullable<Int4>,
        /// When sitemaps were last discovered.
        last_scan -> Nullable<Timestamptz>,
        /// A person's notes.
        notes -> Nullable<Text>,
        /// When the row was stored.
        created_at -> Timestamptz,
        /// When the row last changed.
        updated_at -> Timestamptz,
        /// State of domain/metadata: NULL not asked for, Queued, Processing, Completed, Error, Filtered (rightly nothing to do), Cancelled. Set it to Queued to have the row worked.
        metadata_status -> Nullable<Text>,
        /// Order of domain/metadata among the due rows: higher first.
        metadata_priority -> Int2,
        /// While Queued: domain/metadata not before this. While Processing: asked for again at this time, NULL if not.
        metadata_due_at -> Nullable<Timestamptz>,
        /// Attempts at domain/metadata since it was last asked for, counted by the claim.
        metadata_attempts -> Int2,
        /// The lease under which domain/metadata has this row in hand; only the engine writes it.
        metadata_lease -> Nullable<Int8>,
        /// Last error of domain/metadata (class: message), or why it was Filtered; the full history is in attempt.
        metadata_error -> Nullable<Text>,
        /// State of domain/sitemap: NULL not asked for, Queued, Processing, Completed, Error, Filtered (rightly nothing to do), Cancelled. Set it to Queued to have the row worked.
        sitemap_status -> Nullable<Text>,
        /// Order of domain/sitemap among the due rows: higher first.
        sitemap_priority -> Int2,
        /// While Queued: domain/sitemap not before this. While Processing: asked for again at this time, NULL if not.
        sitemap_due_at -> Nullable<Timestamptz>,
        /// Attempts at domain/sitemap since it was last asked for, counted by the claim.
        sitemap_attempts -> Int2,
        /// The lease under which domain/sitemap has this row in hand; only the engine writes it.
        sitemap_lease -> Nullable<Int8>,
        /// Last error of domain/sitemap (class: message), or why it was Filtered; the full history is in attempt.
        sitemap_error -> Nullable<Text>,
        /// What a person makes of the row: New, Selected, Maybe, Not a Fit, Archived. Selected queues metadata and sitemap unless done already; leaving Selected un-queues.
        status -> Text,
    }
}

diesel::table! {
    /// How to read a shop's pages: every version there ever was, at most one active per shop.
    extraction_pattern (id) {
        /// Key.
        id -> Int8,
        /// The shop.
        site_id -> Int8,
        /// From 1, per shop.
        version -> Int4,
        /// candidate: not tested; active; retired: was active; rejected: did not pass its test.
        status -> Text,
        /// The pattern, in the JSON form of the extract command's kind pattern.
        pattern -> Jsonb,
        /// generated by pattern-generation, manual, or a rollback to an older version.
        source -> Text,
        /// Why it was made, or rejected.
        reason -> Nullable<Text>,
        /// On what pages it was tried before activation, and what came out.
        tested -> Nullable<Jsonb>,
        /// When it was stored.
        created_at -> Timestamptz,
        /// When it last became active.
        activated_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    /// What needs a person's eye. Opened and resolved by Gleaner as things break and mend.
    flag (id) {
        /// Key.
        id -> Int8,
        /// What kind of trouble.
        kind -> Text,
        /// The shop, if it is about one.
        site_id -> Nullable<Int8>,
        /// The page, if it is about one.
        product_url_id -> Nullable<Int8>,
        /// What happened, for people.
        message -> Text,
        /// pending, in_progress, resolved, wont_fix.
        status -> Text,
        /// When it was opened.
        opened_at -> Timestamptz,
        /// When it was resolved.
        resolved_at -> Nullable<Timestamptz>,
        /// Who resolved it; gleaner when it closed itself.
        resolved_by -> Nullable<Text>,
    }
}

diesel::table! {
    /// The right of one incarnation of a workflow's actor to the rows it has claimed, until it expires.
    lease (id) {
        /// Stamped on every row claimed under it; never reused.
        id -> Int8,
        /// The process that holds it; NULL for a bot's.
        node_id -> Nullable<Int8>,
        /// The workflow it was opened for.
        workflow -> Text,
        /// By this database's clock. Moved on by the heartbeat; once past, never moved again.
        expires_at -> Timestamptz,
        /// When it was opened.
        opened_at -> Timestamptz,
        /// The bot that holds it; NULL for a process's.
        bot_id -> Nullable<Int8>,
    }
}

diesel::table! {
    /// Businesses with their details, from a deep scan of a place or imported.
    local_business (id) {
        /// Key.
        id -> Int8,
        /// The Places API's identifier; NULL for a business from elsewhere.
        place_id -> Nullable<Text>,
        /// Its web site; several businesses may share one.
        domain_id -> Nullable<Int8>,
        /// Name of the business.
        name -> Text,
        /// Its web site, as given.
        website -> Nullable<Text>,
        /// International phone number, as given.
        phone -> Nullable<Text>,
        /// Address in one line.
        full_address -> Nullable<Text>,
        /// Street and number.
        street_address -> Nullable<Text>,
        /// Town.
        city -> Nullable<Text>,
        /// First-level administrative area.
        state -> Nullable<Text>,
        /// Postal code.
        zip -> Nullable<Text>,
        /// Country by name.
        country -> Nullable<Text>,
        /// Country by ISO 3166-1 alpha-2 code.
        country_code -> Nullable<Text>,
        /// Degrees north.
        latitude -> Nullable<Float8>,
        /// Degrees east.
        longitude -> Nullable<Float8>,
        /// Minutes east of UTC at the time of the scan.
        utc_offset_minutes -> Nullable<Int4>,
        /// First type the API names.
        main_category -> Nullable<Text>,
        /// The other types.
        extra_categories -> Nullable<Array<Text>>,
        /// OPERATIONAL, CLOSED_TEMPORARILY, CLOSED_PERMANENTLY.
        business_status -> Nullable<Text>,
        /// Stars, 1 to 5.
        rating -> Nullable<Float8>,
        /// Number of ratings.
        reviews_count -> Nullable<Int4>,
        /// 0 (free) to 4 (very expensive).
        price_level -> Nullable<Int2>,
        /// Opening hours on Mondays, as the API words them.
        monday_hours -> Nullable<Text>,
        /// Opening hours on Tuesdays.
        tuesday_hours -> Nullable<Text>,
        /// Opening hours on Wednesdays.
        wednesday_hours -> Nullable<Text>,
        /// Opening hours on Thursdays.
        thursday_hours -> Nullable<Text>,
        /// Opening hours on Fridays.
        friday_hours -> Nullable<Text>,
        /// Opening hours on Saturdays.
        saturday_hours -> Nullable<Text>,
        /// Opening hours on Sundays.
        sunday_hours -> Nullable<Text>,
        /// When its details were last fetched.
        scanned_at -> Nullable<Timestamptz>,
        /// A person's notes.
        notes -> Nullable<Text>,
        /// When the row was stored.
        created_at -> Timestamptz,
        /// When the row last changed.
        updated_at -> Timestamptz,
        /// State of local_business/domain_extraction: NULL not asked for, Queued, Processing, Completed, Error, Filtered (rightly nothing to do), Cancelled. Set it to Queued to have the row worked.
        domain_extraction_status -> Nullable<Text>,
        /// Order of local_business/domain_extraction among the due rows: higher first.
        domain_extraction_priority -> Int2,
        /// While Queued: local_business/domain_extraction not before this. While Processing: asked for again at this time, NULL if not.
        domain_extraction_due_at -> Nullable<Timestamptz>,
        /// Attempts at local_business/domain_extraction since it was last asked for, counted by the claim.
        domain_extraction_attempts -> Int2,
        /// The lease under which local_business/domain_extraction has this row in hand; only the engine writes it.
        domain_extraction_lease -> Nullable<Int8>,
        /// Last error of local_business/domain_extraction (class: message), or why it was Filtered; the full history is in attempt.
        domain_extraction_error -> Nullable<Text>,
        /// What a person makes of the row: New, Selected, Maybe, Not a Fit, Archived. Selected queues domain_extraction unless done already; leaving Selected un-queues.
        status -> Text,
    }
}

diesel::table! {
    /// One row per process that has run: its identity is new at every boot.
    node (id) {
        /// Identity of this run of the process.
        id -> Int8,
        /// Host name, for people; never used as an identity.
        host -> Text,
        /// Process id on that host, for people.
        pid -> Int4,
        /// Version of the program.
        version -> Text,
        /// When it started.
        started_at -> Timestamptz,
        /// When it last reported its status.
        seen_at -> Timestamptz,
        /// When it stopped in good order; NULL while running, and for ever after a crash.
        stopped_at -> Nullable<Timestamptz>,
        /// The last status of its actors, as the status command and the dashboard show it.
        status -> Nullable<Jsonb>,
    }
}

diesel::table! {
    /// What subscribers are told, once per event and channel: written with the price it tells of, delivered from here.
    notification (id) {
        /// Key.
        id -> Int8,
        /// Who asked to be told.
        subscription_id -> Int8,
        /// The page it is about.
        product_url_id -> Int8,
        /// The price that caused it.
        price_history_id -> Nullable<Int8>,
        /// list: only kept here to be read; webhook; email.
        channel -> Text,
        /// price_drop, target_reached, restock.
        kind -> Text,
        /// The message, for people.
        message -> Text,
        /// The price before.
        old_price -> Nullable<Numeric>,
        /// The price now.
        new_price -> Nullable<Numeric>,
        /// Their currency.
        currency -> Nullable<Text>,
        /// When it was written.
        created_at -> Timestamptz,
        /// When its receiver accepted it.
        delivered_at -> Nullable<Timestamptz>,
        /// When its subscriber read it, if their system says so.
        read_at -> Nullable<Timestamptz>,
        /// State of notification/delivery: NULL not asked for, Queued, Processing, Completed, Error, Filtered (rightly nothing to do), Cancelled. Set it to Queued to have the row worked.
        delivery_status -> Nullable<Text>,
        /// Order of notification/delivery among the due rows: higher first.
        delivery_priority -> Int2,
        /// While Queued: notification/delivery not before this. While Processing: asked for again at this time, NULL if not.
        delivery_due_at -> Nullable<Timestamptz>,
        /// Attempts at notification/delivery since it was last asked for, counted by the claim.
        delivery_attempts -> Int2,
        /// The lease under which notification/delivery has this row in hand; only the engine writes it.
        delivery_lease -> Nullable<Int8>,
        /// Last error of notification/delivery (class: message), or why it was Filtered; the full history is in attempt.
        delivery_error -> Nullable<Text>,
    }
}

diesel::table! {
    /// Pages of a domain: every URL its sitemaps list, categorised; those of interest are fetched.
    page (id) {
        /// Key.
        id -> Int8,
        /// Whose page it is.
        domain_id -> Int8,
        /// The sitemap it was first found in.
        sitemap_file_id -> Nullable<Int8>,
        /// Its normalised address.
        url -> Text,
        /// What the rules make of its address: contact_root, legal_root, …, unknown.
        page_type -> Text,
        /// The rule that decided.
        page_rule -> Nullable<Text>,
        /// How sure that rule is, 0 to 1.
        page_confidence -> Nullable<Float4>,
        /// Version of the rules that decided.
        rules_version -> Nullable<Int2>,
        /// Segments in its path.
        path_depth -> Nullable<Int2>,
        /// As the sitemap says.
        last_modified -> Nullable<Timestamptz>,
        /// As the sitemap says.
        changefreq -> Nullable<Text>,
        /// As the sitemap says, 0 to 1.
        sitemap_priority -> Nullable<Float4>,
        /// Its title; this and the following are NULL until it was fetched, and where the page has none.
        title -> Nullable<Text>,
        /// Its description.
        description -> Nullable<Text>,
        /// Its language, as it declares it.
        language -> Nullable<Text>,
        /// Its first main heading.
        h1 -> Nullable<Text>,
        /// The address it declares canonical.
        canonical_url -> Nullable<Text>,
        /// What it tells robots.
        meta_robots -> Nullable<Text>,
        /// Words in its visible text.
        word_count -> Nullable<Int4>,
        /// Whether it has a contact form.
        has_contact_form -> Nullable<Bool>,
        /// schema.org types it declares.
        schema_types -> Nullable<Array<Text>>,
        /// Whether it yielded contacts: New until it was fetched.
        contact_scrape_status -> Text,
        /// When it was last fetched.
        last_scan -> Nullable<Timestamptz>,
        /// When the row was stored.
        created_at -> Timestamptz,
        /// When the row last changed.
        updated_at -> Timestamptz,
        /// State of page/curation: NULL not asked for, Queued, Processing, Completed, Error, Filtered (rightly nothing to do), Cancelled. Set it to Queued to have the row worked.
        curation_status -> Nullable<Text>,
        /// Order of page/curation among the due rows: higher first.
        curation_priority -> Int2,
        /// While Queued: page/curation not before this. While Processing: asked for again at this time, NULL if not.
        curation_due_at -> Nullable<Timestamptz>,
        /// Attempts at page/curation since it was last asked for, counted by the claim.
        curation_attempts -> Int2,
        /// The lease under which page/curation has this row in hand; only the engine writes it.
        curation_lease -> Nullable<Int8>,
        /// Last error of page/curation (class: message), or why it was Filtered; the full history is in attempt.
        curation_error -> Nullable<Text>,
        /// What a person makes of the row: New, Selected, Maybe, Not a Fit, Archived. Selected queues curation unless done already; leaving Selected un-queues.
        status -> Text,
    }
}

diesel::table! {
    /// Places found by a search or imported: the entry of the leads pipeline.
    place (id) {
        /// Key.
        id -> Int8,
        /// The Places API's identifier.
        place_id -> Text,
        /// Name, as the search gave it.
        name -> Text,
        /// Address in one line, as the search gave it.
        formatted_address -> Nullable<Text>,
        /// The kind of business that was searched for.
        business_type -> Nullable<Text>,
        /// Degrees north.
        latitude -> Nullable<Float8>,
        /// Degrees east.
        longitude -> Nullable<Float8>,
        /// Stars, 1 to 5, as the search gave it.
        rating -> Nullable<Float8>,
        /// Number of ratings.
        user_ratings_total -> Nullable<Int4>,
        /// 0 (free) to 4 (very expensive).
        price_level -> Nullable<Int2>,
        /// The search that found it.
        search_query -> Nullable<Text>,
        /// Where that search looked.
        search_location -> Nullable<Text>,
        /// A person's notes.
        notes -> Nullable<Text>,
        /// A person's tags.
        tags -> Nullable<Array<Text>>,
        /// When the row was stored.
        created_at -> Timestamptz,
        /// When the row last changed.
        updated_at -> Timestamptz,
        /// State of place/deep_scan: NULL not asked for, Queued, Processing, Completed, Error, Filtered (rightly nothing to do), Cancelled. Set it to Queued to have the row worked.
        deep_scan_status -> Nullable<Text>,
        /// Order of place/deep_scan among the due rows: higher first.
        deep_scan_priority -> Int2,
        /// While Queued: place/deep_scan not before this. While Processing: asked for again at this time, NULL if not.
        deep_scan_due_at -> Nullable<Timestamptz>,
        /// Attempts at place/deep_scan since it was last asked for, counted by the claim.
        deep_scan_attempts -> Int2,
        /// The lease under which place/deep_scan has this row in hand; only the engine writes it.
        deep_scan_lease -> Nullable<Int8>,
        /// Last error of place/deep_scan (class: message), or why it was Filtered; the full history is in attempt.
        deep_scan_error -> Nullable<Text>,
        /// What a person makes of the row: New, Selected, Maybe, Not a Fit, Archived. Selected queues deep_scan unless done already; leaving Selected un-queues.
        status -> Text,
    }
}

diesel::table! {
    /// Prices as they changed. A row stands from scraped_at; last_confirmed_at is the last time the same was seen.
    price_history (id) {
        /// Key.
        id -> Int8,
        /// The page.
        product_url_id -> Int8,
        /// The result it was recorded from, which is recorded at most once; NULL when that is pruned, or there was none.
        crawl_result_id -> Nullable<Int8>,
        /// The price.
        price -> Numeric,
        /// Its currency (ISO 4217).
        currency -> Text,
        /// The price before a reduction, where shown.
        original_price -> Nullable<Numeric>,
        /// InStock, OutOfStock, PreOrder, LimitedAvailability, Discontinued; NULL if not told.
        availability -> Nullable<Text>,
        /// The same as yes or no; NULL if not told.
        is_available -> Nullable<Bool>,
        /// AUTO: recorded by the rules; MANUAL: by a person; CRAWLER, API, IMPORT: written by other software.
        source -> Text,
        /// Where on the page the price was found.
        extraction_method -> Nullable<Text>,
        /// Confidence in the price, 0 to 1.
        confidence -> Nullable<Float4>,
        /// When it was first observed.
        scraped_at -> Timestamptz,
        /// When the same price, currency and availability were last observed.
        last_confirmed_at -> Timestamptz,
        /// When the row was stored.
        created_at -> Timestamptz,
    }
}

diesel::table! {
    /// What is tracked, whichever shops sell it.
    product (id) {
        /// Key.
        id -> Int8,
        /// Name; empty until somebody or the first crawl gives one.
        name -> Text,
        /// Brand.
        brand -> Nullable<Text>,
        /// Article number.
        sku -> Nullable<Text>,
        /// GTIN, EAN, UPC or ISBN.
        gtin -> Nullable<Text>,
        /// The maker's part number.
        mpn -> Nullable<Text>,
        /// Category, as its owner sorts.
        category -> Nullable<Text>,
        /// A picture.
        image_url -> Nullable<Text>,
        /// When the row was stored.
        created_at -> Timestamptz,
        /// When the row last changed.
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    /// The last page fetched per URL, for learning and testing extraction patterns.
    product_page (product_url_id) {
        /// The URL.
        product_url_id -> Int8,
        /// Where it was in the end, after redirects.
        url -> Text,
        /// The page as UTF-8 text, gzip.
        body -> Bytea,
        /// When it was fetched.
        fetched_at -> Timestamptz,
    }
}

diesel::table! {
    /// Product pages to be crawled, each once: insert raw_url, the crawl-scheduler does the rest.
    product_url (id) {
        /// Key.
        id -> Int8,
        /// The product it shows; NULL while nobody said.
        product_id -> Nullable<Int8>,
        /// The shop; NULL until the crawl-scheduler has admitted the URL.
        site_id -> Nullable<Int8>,
        /// The URL as it was given.
        raw_url -> Text,
        /// The same, normalised, as it is fetched; NULL until admitted.
        url -> Nullable<Text>,
        /// SHA-256 of url, in hexadecimal; NULL until admitted.
        url_hash -> Nullable<Text>,
        /// Tags, by which policies may select.
        tags -> Array<Text>,
        /// false: not crawled.
        is_active -> Bool,
        /// Why the crawl-scheduler did not admit it: no URL, or the same page as another row.
        rejected -> Nullable<Text>,
        /// Title of the offer, as last seen.
        title -> Nullable<Text>,
        /// Price last recorded.
        current_price -> Nullable<Numeric>,
        /// Its currency (ISO 4217).
        current_currency -> Nullable<Text>,
        /// Availability last recorded: InStock, OutOfStock, PreOrder, LimitedAvailability, Discontinued.
        current_availability -> Nullable<Text>,
        /// When that was observed.
        current_at -> Nullable<Timestamptz>,
        /// A price that jumped, held until a second look confirms it.
        held_price -> Nullable<Numeric>,
        /// Its currency.
        held_currency -> Nullable<Text>,
        /// When it was observed.
        held_at -> Nullable<Timestamptz>,
        /// When it was last crawled, well or not.
        last_crawled_at -> Nullable<Timestamptz>,
        /// Why the last crawl failed; NULL if it went well.
        crawl_error -> Nullable<Text>,
        /// The address by which the shop knows the page: what it declares canonical, or where it was in the end; NULL if not told.
        canonical_url -> Nullable<Text>,
        /// When the row was stored.
        created_at -> Timestamptz,
        /// When the row last changed.
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    /// Periodic work that fires once across all nodes, by this database's clock.
    schedule (name) {
        /// Name of the work.
        name -> Text,
        /// When it is due next. Due while nobody ran: it runs once at the next start.
        next_at -> Timestamptz,
        /// When it last fired.
        fired_at -> Nullable<Timestamptz>,
        /// The node that fired it.
        fired_by -> Nullable<Int8>,
    }
}

diesel::table! {
    /// Shops: one row per registrable domain, with how it may be crawled.
    site (id) {
        /// Key.
        id -> Int8,
        /// Registrable domain by the public suffix list (the host where there is none), lower case.
        domain -> Text,
        /// false: nothing of it is crawled, by anybody.
        enabled -> Bool,
        /// At most this many of its jobs are handed out per minute, over all workers; NULL for no limit of its own.
        rate_per_minute -> Nullable<Int4>,
        /// At least this long between two jobs of it; NULL for the configured per-host delay.
        delay_seconds -> Nullable<Float4>,
        /// Before this no job of it is handed to a bot: moved on by what has been handed out.
        next_pull_at -> Timestamptz,
        /// Whether its pages need a browser (JavaScript) to show their prices.
        render -> Bool,
        /// Currency of prices that do not name one (ISO 4217); NULL to tell by page and domain.
        currency -> Nullable<Text>,
        /// Extractions that failed in a row; network errors do not count. At three a pattern is learnt.
        extraction_failures -> Int4,
        /// When the row was stored.
        created_at -> Timestamptz,
        /// When the row last changed.
        updated_at -> Timestamptz,
        /// State of site/pattern: NULL not asked for, Queued, Processing, Completed, Error, Filtered (rightly nothing to do), Cancelled. Set it to Queued to have the row worked.
        pattern_status -> Nullable<Text>,
        /// Order of site/pattern among the due rows: higher first.
        pattern_priority -> Int2,
        /// While Queued: site/pattern not before this. While Processing: asked for again at this time, NULL if not.
        pattern_due_at -> Nullable<Timestamptz>,
        /// Attempts at site/pattern since it was last asked for, counted by the claim.
        pattern_attempts -> Int2,
        /// The lease under which site/pattern has this row in hand; only the engine writes it.
        pattern_lease -> Nullable<Int8>,
        /// Last error of site/pattern (class: message), or why it was Filtered; the full history is in attempt.
        pattern_error -> Nullable<Text>,
    }
}

diesel::table! {
    /// Sitemaps of a domain, each of which parsed as one when it was stored.
    sitemap_file (id) {
        /// Key.
        id -> Int8,
        /// Whose sitemap it is.
        domain_id -> Int8,
        /// Its normalised address.
        url -> Text,
        /// urlset, sitemapindex, text, rss or atom; NULL until it was read.
        sitemap_type -> Nullable<Text>,
        /// How it was found.
        discovery_method -> Text,
        /// The index that lists it.
        parent_id -> Nullable<Int8>,
        /// How many indexes it lies below.
        depth -> Int2,
        /// Entries in it; NULL until it was read.
        url_count -> Nullable<Int4>,
        /// Its size, decompressed.
        size_bytes -> Nullable<Int8>,
        /// Whether the file itself is gzip.
        is_gzipped -> Nullable<Bool>,
        /// Whether a budget or damage cut the reading short.
        is_truncated -> Nullable<Bool>,
        /// When it was last imported.
        last_processed_at -> Nullable<Timestamptz>,
        /// When the row was stored.
        created_at -> Timestamptz,
        /// When the row last changed.
        updated_at -> Timestamptz,
        /// State of sitemap_file/import: NULL not asked for, Queued, Processing, Completed, Error, Filtered (rightly nothing to do), Cancelled. Set it to Queued to have the row worked.
        import_status -> Nullable<Text>,
        /// Order of sitemap_file/import among the due rows: higher first.
        import_priority -> Int2,
        /// While Queued: sitemap_file/import not before this. While Processing: asked for again at this time, NULL if not.
        import_due_at -> Nullable<Timestamptz>,
        /// Attempts at sitemap_file/import since it was last asked for, counted by the claim.
        import_attempts -> Int2,
        /// The lease under which sitemap_file/import has this row in hand; only the engine writes it.
        import_lease -> Nullable<Int8>,
        /// Last error of sitemap_file/import (class: message), or why it was Filtered; the full history is in attempt.
        import_error -> Nullable<Text>,
        /// What a person makes of the row: New, Selected, Maybe, Not a Fit, Archived. Selected queues import unless done already; leaving Selected un-queues.
        status -> Text,
    }
}

diesel::table! {
    /// Who wants to know about what, and how fresh it must be.
    subscription (id) {
        /// Key.
        id -> Int8,
        /// Whoever asked, by the name that their own system has.
        subscriber -> Text,
        /// A product, in all its shops; or else
        product_id -> Nullable<Int8>,
        /// one page.
        product_url_id -> Nullable<Int8>,
        /// high: crawled every 15 minutes; normal: every hour; low: every day.
        priority -> Text,
        /// Tell when the price falls to this or below; NULL for none.
        target_price -> Nullable<Numeric>,
        /// The currency of target_price; NULL for whatever the shop's is.
        target_currency -> Nullable<Text>,
        /// Tell of price drops.
        notify_drop -> Bool,
        /// Smaller drops than this, in percent, are not told.
        min_drop_percent -> Numeric,
        /// Tell when the target is crossed.
        notify_target -> Bool,
        /// Tell when it is back in stock.
        notify_restock -> Bool,
        /// Notifications are posted here; NULL for not.
        webhook_url -> Nullable<Text>,
        /// Notifications are mailed here; NULL for not.
        email -> Nullable<Text>,
        /// false: asks for nothing.
        active -> Bool,
        /// When the row was stored.
        created_at -> Timestamptz,
        /// When the row last changed.
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    /// What operators have asked of a workflow, on every node. A change is notified on gleaner_control.
    workflow_control (workflow) {
        /// Name of the workflow.
        workflow -> Text,
        /// Whether claiming is stopped.
        paused -> Bool,
        /// When somebody last asked for a claim at once.
        run_requested_at -> Nullable<Timestamptz>,
        /// When somebody last asked for a parked workflow to be started again.
        unpark_requested_at -> Nullable<Timestamptz>,
        /// When this row was last changed.
        changed_at -> Timestamptz,
        /// Who changed it.
        changed_by -> Text,
    }
}

diesel::allow_tables_to_appear_in_same_query!(
    attempt,
    bot,
    contact,
    crawl_job,
    crawl_plan,
    crawl_policy,
    crawl_result,
    domain,
    extraction_pattern,
    flag,
    lease,
    local_business,
    node,
    notification,
    page,
    place,
    price_history,
    product,
    product_page,
    product_url,
    schedule,
    site,
    sitemap_file,
    subscription,
    workflow_control,
);

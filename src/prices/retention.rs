//! What of prices gets old.

use crate::store::prune::{Kind, Schedule};

/// All of it.
pub const KINDS: [Kind; 5] = [
    // Good crawl results, but those that wait to be judged and those that a page's latest price was recorded from.
    Kind {
        key: "results",
        name: "crawl_result",
        table: "crawl_result",
        schedule: Schedule::Daily,
        batch: 5_000,
        sql: include_str!("retention/results.sql"),
    },
    Kind {
        key: "failed_results",
        name: "crawl_result (failed)",
        table: "crawl_result",
        schedule: Schedule::Daily,
        batch: 5_000,
        sql: include_str!("retention/failed_results.sql"),
    },
    // Those that are not on their way.
    Kind {
        key: "notifications",
        name: "notification",
        table: "notification",
        schedule: Schedule::Daily,
        batch: 5_000,
        sql: include_str!("retention/notifications.sql"),
    },
    // Stored pages of URLs that are not crawled any more.
    Kind {
        key: "pages",
        name: "product_page",
        table: "product_page",
        schedule: Schedule::Daily,
        batch: 1_000,
        sql: include_str!("retention/pages.sql"),
    },
    // Prices that neither differ from the one before nor are the first lowest or highest of their day (UTC). The price that
    // stays is confirmed as late as those that go. What a person recorded stays. A batch is of pages, each with all its old prices.
    Kind {
        key: "full_history",
        name: "price_history",
        table: "product_url",
        schedule: Schedule::Weekly,
        batch: 200,
        sql: include_str!("retention/history.sql"),
    },
];

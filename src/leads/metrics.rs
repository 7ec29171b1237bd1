//! What is counted of leads.

#![expect(
    clippy::disallowed_macros,
    reason = "a place for the metrics of an area"
)]

use metrics::{counter, describe_counter};

const BUDGETS_ENDED: &str = "gleaner_sitemap_budgets_ended_total";

/// Describes them.
pub(super) fn announce() {
    describe_counter!(
        BUDGETS_ENDED,
        "Budgets of sitemaps that ended the crawl of a site, by scope (domain, root) and budget."
    );
}

/// Counts a budget that ended.
pub fn sitemap_budget_ended(scope: &'static str, budget: &'static str) {
    counter!(BUDGETS_ENDED, "scope" => scope, "budget" => budget).increment(1);
}

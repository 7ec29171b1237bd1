//! What a page is, as far as that decides what its text is.

use std::collections::BTreeSet;

/// Types (schema.org) of pages with one text, with paragraphs.
const ARTICLES: [&str; 12] = [
    "Article",
    "NewsArticle",
    "BlogPosting",
    "ReportageNewsArticle",
    "AnalysisNewsArticle",
    "OpinionNewsArticle",
    "BackgroundNewsArticle",
    "ReviewNewsArticle",
    "TechArticle",
    "ScholarlyArticle",
    "MedicalWebPage",
    "Report",
];

/// Types (schema.org) of pages on which people write to each other.
const THREADS: [&str; 2] = ["DiscussionForumPosting", "QAPage"];

/// Types (schema.org) of pages that list or offer something.
const THINGS: [&str; 8] = [
    "Product",
    "ProductGroup",
    "Offer",
    "CollectionPage",
    "ItemList",
    "SearchResultsPage",
    "Event",
    "JobPosting",
];

/// What a page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Kind {
    /// One text, with paragraphs.
    Article,
    /// What people wrote to each other.
    Thread,
    /// Something on offer, or a list.
    Thing,
    /// It does not say.
    Unsaid,
}

impl Kind {
    /// What a page with these schema.org types and this `og:type` is.
    pub(in super::super) fn of(schema_types: &BTreeSet<String>, og_type: Option<&str>) -> Self {
        let has = |known: &[&str]| known.iter().any(|name| schema_types.contains(*name));
        if has(&THREADS) {
            Self::Thread
        } else if has(&ARTICLES) || og_type == Some("article") {
            Self::Article
        } else if has(&THINGS) || og_type.is_some_and(|kind| kind.contains("product")) {
            Self::Thing
        } else {
            Self::Unsaid
        }
    }
}

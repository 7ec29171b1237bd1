//! By what the tables tell addresses of a domain apart: the column `url_key`.

/// What of a key ([`gleaner_extract::url::key`]) is stored: that of an address with a query. Any other has one spelling only, and is
/// told by its `url`.
pub(super) fn stored_key(key: &str) -> Option<&str> {
    key.contains('?').then_some(key)
}

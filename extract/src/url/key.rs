//! By what addresses are told apart, whatever the order and the spelling of their parameters.

use std::borrow::Cow;

use url::Url;

use super::spelling::spelled;

/// The text by which an address that [`super::normalize`] has returned is told from others.
///
/// It is the address with its parameters in the order of their names and in one spelling, as far as that chooses the same page
/// ([`order_matters`]). It is for comparing only: what is fetched is the address itself.
#[must_use]
pub fn key(url: &Url) -> Cow<'_, str> {
    let text = url.as_str();
    let Some(query) = url.query() else {
        return Cow::Borrowed(text);
    };
    let query = ordered(spelled(query));
    match text.split_once('?') {
        Some((page, own)) if query != own => Cow::Owned(format!("{page}?{query}")),
        _ => Cow::Borrowed(text),
    }
}

/// Whether parameters are told by their place: those without `=`, as `news` in `?news&123`.
pub(super) fn order_matters(parameters: &[&str]) -> bool {
    parameters
        .iter()
        .any(|own| !own.is_empty() && !own.contains('='))
}

/// A query with its parameters in the order of their names. Those of one name keep theirs, and so do the members of one list
/// (`i[][id]`, `i[][n]`), which belong together as they stand.
fn ordered(query: Cow<'_, str>) -> Cow<'_, str> {
    let mut parameters: Vec<&str> = query.split('&').collect();
    if order_matters(&parameters) || parameters.is_sorted_by_key(|own| list_of(own)) {
        return query;
    }
    parameters.sort_by_key(|own| list_of(own));
    Cow::Owned(parameters.join("&"))
}

/// The name of a parameter, or of the list that it is a member of.
fn list_of(parameter: &str) -> &str {
    let name = parameter.split('=').next().unwrap_or_default();
    let end = ["[]", "%5B%5D"]
        .iter()
        .filter_map(|brackets| name.find(brackets))
        .min();
    name.get(..end.unwrap_or(name.len())).unwrap_or(name)
}

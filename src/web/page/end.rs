//! What is kept of a page whose end is missing.
//!
//! Servers declare lengths that are not those of what they send, forget the last chunk, or break off. Browsers show what has come, and
//! so is it read; where nothing is known of what is missing, up to the last tag that is whole.

use memchr::{memchr_iter, memrchr};

use crate::web::fetch::{FetchError, Response};

/// Cuts off what is not whole at the end of a page that broke off.
///
/// # Errors
/// Why the end is missing, where nothing of the page has come; where the server has fallen silent in the middle of it, and may say
/// more the next time.
pub(super) fn mend(response: &mut Response) -> Result<(), FetchError> {
    let Some(why) = response.cut.as_ref() else {
        return Ok(());
    };
    if is_there(&response.body) {
        return Ok(());
    }
    let whole = memrchr(b'>', &response.body).map_or(0, |last| last + 1);
    if whole == 0 || matches!(why, FetchError::Timeout { .. }) {
        return Err(why.clone());
    }
    response.body.truncate(whole);
    Ok(())
}

/// Whether the end of the document has come, whatever was to follow it.
pub(super) fn is_there(body: &[u8]) -> bool {
    memchr_iter(b'<', body).any(|open| {
        let tag = body.get(open..open + 6).unwrap_or_default();
        tag.eq_ignore_ascii_case(b"</body") || tag.eq_ignore_ascii_case(b"</html")
    })
}

//! A client for the program's own HTTP.

#![expect(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

/// Status and body.
pub(crate) async fn get(url: &str) -> (u16, String) {
    // reqwest wants the process's TLS provider also for plain HTTP.
    gleaner::tls::install();
    let response = reqwest::get(url).await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

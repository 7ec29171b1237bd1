//! TLS for Redis: whom to trust, and what a failed connection means in words.

use std::path::Path;
use std::sync::Arc;

use fred::prelude::{Error, TlsConfig, TlsConnector};
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls_platform_verifier::Verifier;

use super::RedisError;

/// Trusts the system's authorities (`SSL_CERT_FILE` adds one's own), and those in the PEM file `ca` unless it is empty.
pub(super) fn config(ca: &Path) -> Result<TlsConfig, RedisError> {
    crate::tls::install();
    let extra = authorities(ca)?;
    let builder = ClientConfig::builder();
    let provider = Arc::clone(builder.crypto_provider());
    let verifier = Verifier::new_with_extra_roots(extra, provider).map_err(RedisError::Tls)?;
    let client = builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(TlsConnector::from(client).into())
}

fn authorities(ca: &Path) -> Result<Vec<CertificateDer<'static>>, RedisError> {
    if ca.as_os_str().is_empty() {
        return Ok(Vec::new());
    }
    let bad = |reason: String| RedisError::BadCa {
        path: ca.to_owned(),
        reason,
    };
    let read = CertificateDer::pem_file_iter(ca).and_then(Iterator::collect);
    let certificates: Vec<_> = read.map_err(|error| bad(error.to_string()))?;
    if certificates.is_empty() {
        return Err(bad("there is no certificate in it".to_owned()));
    }
    Ok(certificates)
}

/// Why a connection failed, in words for the common reasons; the library's own are those of a debugger.
pub(super) fn explain(error: &Error) -> String {
    let details = error.details();
    let reasons = [
        ("ConnectionRefused", "nothing listens there"),
        (
            "UnknownIssuer",
            "nobody we trust has signed its certificate: name the authority's in redis.ca",
        ),
        (
            "BadSignature",
            "its certificate is signed by another authority of the same name as one we trust: is redis.ca up to date?",
        ),
        (
            "NotValidForName",
            "its certificate is for another name than the one in redis.url",
        ),
        ("Expired", "its certificate has expired"),
        (
            "InvalidContentType",
            "it does not speak TLS at that port: take a URL that begins with redis",
        ),
        (
            "CertificateRequired",
            "it asks clients for a certificate, which is not supported",
        ),
    ];
    let found = reasons.iter().find(|(sign, _)| details.contains(sign));
    found.map_or_else(
        || details.to_owned(),
        |(sign, reason)| format!("{reason} ({sign})"),
    )
}

#[cfg(test)]
mod tests {
    use fred::prelude::ErrorKind;

    use super::*;

    #[test]
    fn failed_connections_are_explained() {
        for (details, expected) in [
            (
                "Custom { kind: InvalidData, error: InvalidCertificate(UnknownIssuer) }",
                "nobody we trust has signed its certificate: name the authority's in redis.ca (UnknownIssuer)",
            ),
            (
                "Custom { kind: InvalidData, error: InvalidCertificate(ExpiredContext { time: UnixTime(2), not_after: UnixTime(1) }) }",
                "its certificate has expired (Expired)",
            ),
            (
                "Os { code: 111, kind: ConnectionRefused, message: \"Connection refused\" }",
                "nothing listens there (ConnectionRefused)",
            ),
            ("WRONGPASS invalid username", "WRONGPASS invalid username"),
        ] {
            assert_eq!(explain(&Error::new(ErrorKind::IO, details)), expected);
        }
    }
}

//! The one TLS implementation of the process.

/// Chooses the process's TLS implementation (ring). To be called before the first use of TLS, by
/// whoever comes first; later calls change nothing.
pub fn install() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // An error means that another thread was faster, which is as good.
        drop(rustls::crypto::ring::default_provider().install_default());
    }
}

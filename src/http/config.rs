//! The section `[http]`.

use std::net::SocketAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::secret::Secret;
use crate::settings::{ConfigError, inconsistent};

/// Connections that a port serves at a time.
pub(crate) const MAX_CONNECTIONS: usize = 256;

/// Health, metrics and API.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Address to serve on; empty for none.
    pub listen: String,
    /// Bearer token for all but the health checks; empty for none.
    pub admin_token: Secret,
    /// Connections of one address at a time, on each port.
    pub max_connections_per_peer: usize,
    /// Networks whose addresses are proxies', which bound their clients themselves: no share holds for them.
    pub trusted_proxies: Vec<IpNet>,
}

impl Config {
    /// Checks what needs no other section.
    ///
    /// # Errors
    /// [`ConfigError::Inconsistent`] naming the key.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.address()?;
        if !(1..=MAX_CONNECTIONS).contains(&self.max_connections_per_peer) {
            return Err(inconsistent(
                "http.max_connections_per_peer",
                format!("must be 1 to {MAX_CONNECTIONS}, which is how many a port serves"),
            ));
        }
        Ok(())
    }

    /// The address to serve on, if any.
    ///
    /// # Errors
    /// [`ConfigError::Inconsistent`] when it is not an address, or open to others without a token.
    pub fn address(&self) -> Result<Option<SocketAddr>, ConfigError> {
        if self.listen.is_empty() {
            return Ok(None);
        }
        let address: SocketAddr = self
            .listen
            .parse()
            .map_err(|error| inconsistent("http.listen", format!("is not IP:PORT ({error})")))?;
        if !address.ip().is_loopback() && self.admin_token.is_empty() {
            return Err(inconsistent(
                "http.listen",
                format!(
                    "{address} can be reached from elsewhere: set http.admin_token, or bind to 127.0.0.1"
                ),
            ));
        }
        Ok(Some(address))
    }
}

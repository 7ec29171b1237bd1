//! Where a fetch may go: which URLs, ports and addresses.
//!
//! URLs come from strangers: from uploads, from pages, from `Location` headers. Without this guard
//! anyone could make the crawler read its own network (server-side request forgery). It is asked
//! about the URL before each hop, and about every address that a name resolves to; the connection
//! is made to the very addresses that were checked, so that a name cannot change its mind in
//! between (DNS rebinding).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use url::{Host, Url};

use super::error::Refused;
use super::{Config, FetchError};

/// IPv4 networks that are never fetched from, and why.
///
/// Source: the IANA IPv4 Special-Purpose Address Registry, every entry that is not globally
/// reachable; multicast (RFC 5771); and Azure's platform address, which is public by number only.
/// 169.254.0.0/16 holds the metadata service of most clouds.
const REFUSED_V4: &[(Ipv4Net, &str)] = &[
    (v4(0, 0, 0, 0, 8), "this network"),
    (v4(10, 0, 0, 0, 8), "private"),
    (v4(100, 64, 0, 0, 10), "shared address space"),
    (v4(127, 0, 0, 0, 8), "loopback"),
    (v4(168, 63, 129, 16, 32), "cloud platform service"),
    (v4(169, 254, 0, 0, 16), "link-local"),
    (v4(172, 16, 0, 0, 12), "private"),
    (v4(192, 0, 0, 0, 24), "protocol assignments"),
    (v4(192, 0, 2, 0, 24), "documentation"),
    (v4(192, 88, 99, 0, 24), "6to4 relay"),
    (v4(192, 168, 0, 0, 16), "private"),
    (v4(198, 18, 0, 0, 15), "benchmarking"),
    (v4(198, 51, 100, 0, 24), "documentation"),
    (v4(203, 0, 113, 0, 24), "documentation"),
    (v4(224, 0, 0, 0, 4), "multicast"),
    (v4(240, 0, 0, 0, 4), "reserved"),
];

/// IPv6 networks inside global unicast (`2000::/3`) that are never fetched from. All outside of it
/// is refused as well, so that space assigned in future is closed until this table knows it.
///
/// Source: the IANA IPv6 Special-Purpose Address Registry.
const REFUSED_V6: &[(Ipv6Net, &str)] = &[
    (
        v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23),
        "protocol assignments",
    ), // with Teredo, 2001::/32
    (v6([0x2001, 0x0db8, 0, 0, 0, 0, 0, 0], 32), "documentation"),
    (v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20), "documentation"),
];

/// The well-known prefix of NAT64 (RFC 6052): the last 32 bits are an IPv4 address.
const NAT64: Ipv6Net = v6([0x0064, 0xff9b, 0, 0, 0, 0, 0, 0], 96);
/// 6to4 (RFC 3056): bits 16 to 48 are an IPv4 address.
const SIX_TO_FOUR: Ipv6Net = v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16);
/// IPv4-mapped (RFC 4291, 2.5.5.2) and the deprecated IPv4-compatible addresses (2.5.5.1).
const MAPPED: Ipv6Net = v6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96);
const COMPATIBLE: Ipv6Net = v6([0, 0, 0, 0, 0, 0, 0, 0], 96);
const GLOBAL_UNICAST: Ipv6Net = v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);

/// Ports that belong to other protocols, which a crafted URL could be made to speak to.
///
/// Source: the "bad port" list of the Fetch standard, <https://fetch.spec.whatwg.org/#port-blocking>.
const BAD_PORTS: &[u16] = &[
    0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101,
    102, 103, 104, 109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427,
    465, 512, 513, 514, 515, 526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990,
    993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667,
    6668, 6669, 6679, 6697, 10080,
];

/// Longest URL that is fetched, in bytes; what the common servers accept at most.
const MAX_URL_BYTES: usize = 8 * 1024;

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(s: [u16; 8], prefix: u8) -> Ipv6Net {
    let address = Ipv6Addr::new(s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]);
    Ipv6Net::new_assert(address, prefix)
}

/// Why an address is never fetched from on the public web, or `None` if it is a public one.
pub fn refusal(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => refusal_v4(address),
        IpAddr::V6(address) => refusal_v6(address),
    }
}

fn refusal_v4(address: Ipv4Addr) -> Option<&'static str> {
    REFUSED_V4
        .iter()
        .find(|(network, _)| network.contains(&address))
        .map(|(_, why)| *why)
}

fn refusal_v6(address: Ipv6Addr) -> Option<&'static str> {
    if let Some(embedded) = embedded_v4(address) {
        return refusal_v4(embedded);
    }
    if address.is_loopback() {
        return Some("loopback");
    }
    if !GLOBAL_UNICAST.contains(&address) {
        return Some("not a global unicast address");
    }
    REFUSED_V6
        .iter()
        .find(|(network, _)| network.contains(&address))
        .map(|(_, why)| *why)
}

/// The IPv4 address that packets to this one end up at. `::` and `::1` look IPv4-compatible but
/// are addresses of their own.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [_, _, a, b, c, d, ..] = address.octets();
    if SIX_TO_FOUR.contains(&address) {
        return Some(Ipv4Addr::new(a, b, c, d));
    }
    let [.., a, b, c, d] = address.octets();
    let is_compatible =
        COMPATIBLE.contains(&address) && !address.is_loopback() && !address.is_unspecified();
    (MAPPED.contains(&address) || NAT64.contains(&address) || is_compatible)
        .then(|| Ipv4Addr::new(a, b, c, d))
}

/// The addresses of this machine's own interfaces, as far as the system tells. A public one is as much our own door as loopback
/// is: what listens there for neighbours, behind a firewall, is open from within.
fn own_addresses() -> Vec<IpAddr> {
    let Ok(interfaces) = nix::ifaddrs::getifaddrs() else {
        return Vec::new();
    };
    interfaces
        .filter_map(|interface| {
            let address = interface.address?;
            let v4 = address.as_sockaddr_in().map(|own| IpAddr::V4(own.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|own| IpAddr::V6(own.ip())))
        })
        .collect()
}

/// Whether packets to an address end up at `own`, by whatever spelling.
fn leads_to(address: IpAddr, own: IpAddr) -> bool {
    let embedded = match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(address) => embedded_v4(address).map(IpAddr::V4),
    };
    address == own || embedded == Some(own)
}

/// The rules of one configuration.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    allowed: Vec<IpNet>,
    own: Vec<IpAddr>,
    proxy: Option<SocketAddr>,
}

impl Guard {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            allowed: config.allow_networks.clone(),
            own: own_addresses(),
            proxy: config.proxy_hosts_to,
        }
    }

    /// Where every host name leads, if the configuration says so.
    pub(super) fn proxy(&self) -> Option<SocketAddr> {
        self.proxy
    }

    /// Refuses an address unless it is public and somebody else's, or in an allowed network.
    pub(super) fn check_address(&self, address: IpAddr) -> Result<(), Refused> {
        let plain = address.to_canonical();
        let is_allowed = self
            .allowed
            .iter()
            .any(|network| network.contains(&plain) || network.contains(&address));
        let reason = refusal(address).or_else(|| {
            let ends_here = self.own.iter().any(|own| leads_to(address, *own));
            ends_here.then_some("this machine's own")
        });
        match reason {
            Some(reason) if !is_allowed => Err(Refused {
                address: plain.to_string(),
                reason,
            }),
            _ => Ok(()),
        }
    }

    /// Keeps the addresses of a name that may be connected to.
    ///
    /// # Errors
    /// The first refused one, if none is left.
    pub(super) fn filter(&self, addresses: Vec<IpAddr>) -> Result<Vec<IpAddr>, Refused> {
        let mut refused = None;
        let mut kept = Vec::with_capacity(addresses.len());
        for address in addresses {
            match self.check_address(address) {
                Ok(()) => kept.push(address),
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        match refused {
            Some(refused) if kept.is_empty() => Err(refused),
            _ => Ok(kept),
        }
    }

    /// Checks a URL before it is sent for, and removes what is never sent: credentials, fragment.
    ///
    /// # Errors
    /// [`FetchError::BadUrl`] and [`FetchError::Blocked`].
    pub(super) fn check_url(&self, url: &Url) -> Result<Url, FetchError> {
        let bad = |reason: String| FetchError::BadUrl { reason };
        if !matches!(url.scheme(), "http" | "https") {
            return Err(bad(format!(
                "scheme {:?} is not fetched",
                shortened(url.scheme())
            )));
        }
        if url.as_str().len() > MAX_URL_BYTES {
            return Err(bad(format!("longer than {MAX_URL_BYTES} bytes")));
        }
        if let Some(port) = url.port()
            && BAD_PORTS.contains(&port)
        {
            return Err(bad(format!("port {port} belongs to another protocol")));
        }
        // The URL parser has already turned every spelling of an address (decimal, octal, hex,
        // short) into the address, so a name here is a name.
        let refused = match url.host() {
            None => return Err(bad("no host".to_owned())),
            Some(Host::Ipv4(address)) => self.check_address(address.into()),
            Some(Host::Ipv6(address)) => self.check_address(address.into()),
            Some(Host::Domain(name)) => self.check_name(name),
        };
        refused.map_err(|refused| FetchError::Blocked {
            address: refused.address,
            reason: refused.reason,
        })?;
        let mut clean = url.clone();
        clean.set_fragment(None);
        let is_clean = clean.set_username("").is_ok() && clean.set_password(None).is_ok();
        if !is_clean {
            return Err(bad("credentials".to_owned()));
        }
        // Hosts such as `{}` are URLs to browsers, and nothing that HTTP can ask for.
        if clean.as_str().parse::<http::Uri>().is_err() {
            return Err(bad("cannot be asked for by HTTP".to_owned()));
        }
        Ok(clean)
    }

    /// `localhost` is loopback by definition (RFC 6761, 6.3), whatever a resolver says.
    fn check_name(&self, name: &str) -> Result<(), Refused> {
        let name = host_key(name);
        if name == "localhost" || name.ends_with(".localhost") {
            return self
                .check_address(Ipv4Addr::LOCALHOST.into())
                .or_else(|_| self.check_address(Ipv6Addr::LOCALHOST.into()))
                .map_err(|refused| Refused {
                    address: name,
                    ..refused
                });
        }
        Ok(())
    }
}

/// One spelling of a host name: lower case, without the root's dot.
pub(super) fn host_key(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// The start of a stranger's text, fit for an error message.
pub(super) fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(allowed: &[&str]) -> Guard {
        Guard {
            allowed: allowed.iter().map(|n| n.parse().unwrap()).collect(),
            own: Vec::new(),
            proxy: None,
        }
    }

    #[test]
    fn this_machine_s_own_public_addresses_are_refused_unless_allowed() {
        let here = |allowed: &[&str]| Guard {
            own: ["20.30.40.50", "2a00:1450::7"]
                .map(|own| own.parse().unwrap())
                .to_vec(),
            ..guard(allowed)
        };
        for (url, is_allowed) in [
            ("http://20.30.40.50/", false),
            ("http://20.30.40.50:8080/x", false),
            ("http://0x141e2832/", false),
            ("http://[::ffff:20.30.40.50]/", false),
            ("http://[64:ff9b::141e:2832]/", false),
            ("http://[2a00:1450::7]/", false),
            ("http://20.30.40.51/", true),
            ("http://[2a00:1450::8]/", true),
        ] {
            let url = Url::parse(url).unwrap();
            assert_eq!(here(&[]).check_url(&url).is_ok(), is_allowed, "{url}");
        }
        let refused = here(&[])
            .check_address("20.30.40.50".parse().unwrap())
            .unwrap_err();
        assert_eq!(refused.reason, "this machine's own");
        let url = Url::parse("http://20.30.40.50/").unwrap();
        assert!(here(&["20.30.40.50/32"]).check_url(&url).is_ok());
        // What the system tells holds loopback at least.
        assert!(own_addresses().iter().any(IpAddr::is_loopback));
    }

    #[test]
    fn only_public_addresses_are_fetched_from() {
        for (address, is_public) in [
            ("1.1.1.1", true),
            ("93.184.216.34", true),
            ("172.15.255.255", true),
            ("172.32.0.0", true),
            ("100.63.255.255", true),
            ("223.255.255.255", true),
            ("2606:4700:4700::1111", true),
            ("2a00:1450:4001:81b::200e", true),
            ("64:ff9b::101:101", true),
            ("2002:0101:0101::1", true),
            ("::ffff:1.1.1.1", true),
            ("0.0.0.0", false),
            ("0.1.2.3", false),
            ("10.0.0.1", false),
            ("100.64.0.1", false),
            ("100.100.100.200", false),
            ("127.0.0.1", false),
            ("127.255.255.254", false),
            ("168.63.129.16", false),
            ("169.254.169.254", false),
            ("172.16.0.1", false),
            ("172.31.255.255", false),
            ("192.0.0.192", false),
            ("192.0.2.1", false),
            ("192.168.1.1", false),
            ("198.18.0.1", false),
            ("198.19.255.255", false),
            ("198.51.100.7", false),
            ("203.0.113.7", false),
            ("224.0.0.1", false),
            ("239.255.255.255", false),
            ("240.0.0.1", false),
            ("255.255.255.255", false),
            ("::", false),
            ("::1", false),
            ("::127.0.0.1", false),
            ("::ffff:127.0.0.1", false),
            ("::ffff:10.0.0.1", false),
            ("::ffff:169.254.169.254", false),
            ("64:ff9b::7f00:1", false),
            ("64:ff9b::a9fe:a9fe", false),
            ("64:ff9b:1::1", false),
            ("100::1", false),
            ("2001::1", false),
            ("2001:db8::1", false),
            ("2002:7f00:1::", false),
            ("2002:a9fe:a9fe::", false),
            ("3fff::1", false),
            ("5f00::1", false),
            ("fc00::1", false),
            ("fd00:ec2::254", false),
            ("fe80::1", false),
            ("fec0::1", false),
            ("ff02::1", false),
        ] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(refusal(address).is_none(), is_public, "{address}");
        }
    }

    #[test]
    fn addresses_in_urls_are_refused_in_every_spelling() {
        for url in [
            "http://127.0.0.1/",
            "http://127.1/",
            "http://2130706433/",
            "http://0x7f000001/",
            "http://0x7f.1/",
            "http://0177.0.0.1/",
            "http://017700000001/",
            "http://127.0.0.1./",
            "http://①②⑦.⓪.⓪.①/",
            "http://0/",
            "http://[::1]/",
            "http://[::]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[::ffff:7f00:1]/",
            "http://[::7f00:1]/",
            "http://[64:ff9b::7f00:1]/",
            "http://[fe80::1]/",
            "http://169.254.169.254/latest/meta-data/",
            "http://2852039166/",
            "http://0xa9fea9fe/",
            "http://[::ffff:a9fe:a9fe]/",
            "http://user:pass@169.254.169.254/",
            "http://10.1.2.3:8080/",
            "https://192.168.0.1/",
            "http://localhost/",
            "http://LOCALHOST:8080/",
            "http://localhost./",
            "http://app.localhost/",
        ] {
            let parsed = Url::parse(url).unwrap();
            let answer = guard(&[]).check_url(&parsed);
            assert!(
                matches!(answer, Err(FetchError::Blocked { .. })),
                "{url}: {answer:?}"
            );
        }
    }

    #[test]
    fn allowed_network_opens_itself_and_nothing_else() {
        let guard = guard(&["127.0.0.0/8", "fd00::/8"]);
        for (url, is_allowed) in [
            ("http://127.0.0.1/", true),
            ("http://[::ffff:127.9.9.9]/", true),
            ("http://localhost/", true),
            ("http://[fd00::5]/", true),
            ("http://[::1]/", false),
            ("http://10.0.0.1/", false),
            ("http://169.254.169.254/", false),
            ("http://[64:ff9b::7f00:1]/", false),
        ] {
            assert_eq!(
                guard.check_url(&Url::parse(url).unwrap()).is_ok(),
                is_allowed,
                "{url}"
            );
        }
    }

    #[test]
    fn urls_of_other_schemes_and_protocols_are_bad() {
        let long = format!("http://example.com/{}", "a".repeat(MAX_URL_BYTES));
        for url in [
            "ftp://example.com/",
            "file:///etc/passwd",
            "gopher://example.com/",
            "javascript:alert(1)",
            "data:text/plain,x",
            "http://example.com:25/",
            "http://example.com:6667/",
            "https://example.com:22/",
            "http://example.com:0/",
            "http://{}/",
            &long,
        ] {
            let answer = guard(&[]).check_url(&Url::parse(url).unwrap());
            assert!(
                matches!(answer, Err(FetchError::BadUrl { .. })),
                "{url}: {answer:?}"
            );
        }
    }

    #[test]
    fn credentials_and_fragments_are_removed() {
        let url = Url::parse("https://user:secret@example.com:8443/a?b=c#d").unwrap();
        let clean = guard(&[]).check_url(&url).unwrap();
        assert_eq!(clean.as_str(), "https://example.com:8443/a?b=c");
    }

    #[test]
    fn public_addresses_of_a_mixed_name_are_kept() {
        let parse = |list: &[&str]| {
            list.iter()
                .map(|a| a.parse().unwrap())
                .collect::<Vec<IpAddr>>()
        };
        let kept = guard(&[])
            .filter(parse(&["10.0.0.1", "1.1.1.1", "::1"]))
            .unwrap();
        assert_eq!(kept, parse(&["1.1.1.1"]));
        let refused = guard(&[]).filter(parse(&["10.0.0.1", "::1"])).unwrap_err();
        assert_eq!(
            (refused.address.as_str(), refused.reason),
            ("10.0.0.1", "private")
        );
        assert!(guard(&[]).filter(vec![]).unwrap().is_empty());
    }
}

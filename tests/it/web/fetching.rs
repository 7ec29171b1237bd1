//! Outbound HTTP against servers that lie, stall, flood, redirect in circles and point inwards.

#![expect(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

mod cookies;
mod limits;
mod politeness;
mod reach;
mod robots;
mod shared_pace;

use std::io::Write as _;
use std::time::Duration;

use gleaner::web::fetch::{Client, Config};
use url::Url;

const OK: &str = "200 OK";

fn client(change: impl FnOnce(&mut Config)) -> Client {
    let mut config = Config::for_tests();
    change(&mut config);
    Client::new(config).unwrap()
}

fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

async fn class(client: &Client, url: &Url) -> &'static str {
    match client.get(url).await {
        Ok(response) => panic!("{url} answered {}", response.status),
        Err(error) => error.class(),
    }
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

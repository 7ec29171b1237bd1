//! A small real web on loopback to run the whole pipeline against.
//!
//! [`Web::generate`] plans hundreds of invented businesses with their hosts, pages and contact details from a seed.
//! [`Web::serve`] answers for all of them over real HTTP on one loopback port, and for the Places Details API in
//! front of them. Because the plan is known, [`score`] can say what a pipeline found, missed and made up.
//! [`Web::from_folder`] serves saved sites instead; nothing is planted there.
//!
//! The host names are invented but stand under real public suffixes, because the pipeline must treat them like any
//! other. They are never resolved: whoever runs the demo gives its fetch client a resolver that answers every name with
//! [`Server::address`]. The server speaks plain HTTP only, and tells hosts apart by the `Host` header.
//!
//! The same seed and number of places give the same bytes. Flakiness counts requests per path; nothing is left to
//! chance at run time.

mod country;
mod decoy;
mod folder;
mod generate;
mod model;
mod names;
mod places;
mod render;
mod server;
mod site;
mod sitemaps;
mod truth;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

pub use model::{Behaviour, ContactKind, Form, SitemapForm};
pub use places::{PLACES_HOST, PLACES_PATH, PlaceSeed};
pub use server::{HostStats, Server, Stats, Violation};
pub use truth::{
    Decoy, Found, FoundBusiness, FoundContact, KindScore, PlantedBusiness, PlantedContact, Score,
    Truth, score,
};

/// Hosts that stand beside those of the generated web.
pub trait Hosts: fmt::Debug + Send + Sync {
    /// Whether this host, in lower case and without a port, is one of them.
    fn has(&self, host: &str) -> bool;

    /// The HTML page that is to be seen now at a path of one of them; `None` where there is none.
    fn page(&self, host: &str, path: &str) -> Option<String>;
}

/// What can go wrong before the demo's web answers its first request.
#[derive(Debug, Error)]
pub enum DemoError {
    /// The loopback listener could not be opened.
    #[error("failed to listen on 127.0.0.1")]
    Listen(#[source] io::Error),
    /// A file or folder below the folder of saved sites could not be read.
    #[error("failed to read {}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// `places.json` is not a JSON array of places.
    #[error("failed to parse {}", path.display())]
    ParsePlaces {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// The folder of saved sites holds no folder named like a host.
    #[error("no folder named like a host in {}", .0.display())]
    NoHosts(PathBuf),
}

/// The demo's web: its places, its hosts and what is planted on them.
#[derive(Debug)]
pub struct Web {
    seeds: Vec<PlaceSeed>,
    truth: Truth,
    content: Arc<server::Content>,
}

impl Web {
    /// Plans a web of `places` businesses from `seed`; pure, so the same arguments give the same bytes.
    ///
    /// From 40 places on, every [`Behaviour`], [`SitemapForm`] and [`Form`] is there.
    #[must_use]
    pub fn generate(seed: u64, places: usize) -> Self {
        let generated = generate::generate(seed, places);
        Self::assemble(
            generated.places,
            generated.truth,
            server::Sites::Generated(generated.sites),
        )
    }

    /// Serves saved sites: one folder per host in `folder`, and an optional `places.json`.
    ///
    /// `places.json` is an array of objects in the form of Places results (`place_id`, `name`, `website`, …). Without it
    /// there is one place per host. Files are read when they are asked for, so a large folder costs no memory.
    ///
    /// # Errors
    ///
    /// [`DemoError::Read`] and [`DemoError::ParsePlaces`] when the folder or its `places.json` cannot be read,
    /// [`DemoError::NoHosts`] when it has no host folder.
    pub fn from_folder(folder: &Path) -> Result<Self, DemoError> {
        let (places, hosts) = folder::load(folder)?;
        let sites = server::Sites::Saved(hosts);
        Ok(Self::assemble(places, Truth::default(), sites))
    }

    fn assemble(places: Vec<places::Place>, truth: Truth, sites: server::Sites) -> Self {
        Self {
            seeds: places.iter().map(places::Place::seed).collect(),
            truth,
            content: Arc::new(server::Content::new(places, sites)),
        }
    }

    /// Whether it is planned rather than saved, so that others may plant more beside it.
    #[must_use]
    pub fn is_generated(&self) -> bool {
        self.content.is_generated()
    }

    /// The rows to insert into table `place` before the pipeline starts.
    #[must_use]
    pub fn places(&self) -> &[PlaceSeed] {
        &self.seeds
    }

    /// What is planted; empty for saved sites.
    #[must_use]
    pub fn truth(&self) -> &Truth {
        &self.truth
    }

    /// How each generated host answers and publishes its sitemaps, by host; empty for saved sites.
    #[must_use]
    pub fn hosts(&self) -> Vec<(&str, Behaviour, SitemapForm)> {
        self.content.host_kinds()
    }

    /// Starts answering on a free loopback port; the server stops when the returned value is dropped.
    ///
    /// # Errors
    ///
    /// [`DemoError::Listen`] when no port can be opened.
    pub async fn serve(&self) -> Result<Server, DemoError> {
        self.serve_beside(Vec::new()).await
    }

    /// The same, with others' hosts on the same port.
    ///
    /// # Errors
    ///
    /// [`DemoError::Listen`] when no port can be opened.
    pub async fn serve_beside(&self, others: Vec<Arc<dyn Hosts>>) -> Result<Server, DemoError> {
        Server::start(Arc::clone(&self.content), others).await
    }
}

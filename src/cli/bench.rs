//! `gleaner bench`: measures the engine on your own server, or on the private one, in a schema of its own that it drops again.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::{Value, json};

use super::run::start_private;
use crate::bench::{
    self, DocumentTimes, Documents, Drain, Load, Pin, Pulls, Rate, Record, Renders, Schedule,
    Scratch, Searches, Service, Sitemaps, Wake,
};
use crate::config::Config;
use crate::console::{Global, OK, print};
use crate::documents::child::find_pdfium;
use crate::documents::processing::DocumentProcessing;
use crate::prices::auto_record::AutoRecord;
use crate::secret::Secret;
use crate::signals::{Asked, Signals};
use crate::{embedded, metrics, telemetry};

/// Arguments of `gleaner bench`.
#[derive(Clone, Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Clone, Debug, Subcommand)]
enum What {
    /// How fast queued rows that need no work are drained, and how near that is to bare SQL.
    Drain {
        /// Rows per round.
        #[arg(long, value_name = "N", default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
        rows: u64,
        /// Rounds; the median counts.
        #[arg(long, value_name = "N", default_value_t = 3)]
        rounds: usize,
        #[command(flatten)]
        sizes: Sizes,
    },
    /// How long a row waits from its insert to the start of its run.
    Wake {
        /// Rows inserted per second, or a percentage of what the engine sustains, such as 70%.
        #[arg(long, value_name = "RATE", default_value = "20")]
        rate: Rate,
        /// For how long.
        #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
        seconds: u64,
        #[command(flatten)]
        sizes: Sizes,
    },
    /// How long a claim takes, by how much is queued.
    Claim {
        /// Rows queued.
        #[arg(
            long,
            value_name = "NUMBERS",
            value_delimiter = ',',
            default_value = "1000,10000,100000,1000000"
        )]
        queued: Vec<u64>,
        /// Rows per claim.
        #[arg(long, value_name = "N", default_value_t = 10)]
        batch: usize,
    },
    /// What somebody else's open transaction costs: a steady load without one, and the same with one.
    Pin {
        /// Rows inserted per second.
        #[arg(long, value_name = "RATE", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        rate: u32,
        /// For how long, each time.
        #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
        seconds: u64,
        #[command(flatten)]
        sizes: Sizes,
    },
    /// How fast results are judged and recorded from a full queue in Redis, and how near that is to bare SQL.
    Record {
        /// Results per round, each of a page of its own that has a price already.
        #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
        results: u32,
        /// Rounds; the median counts.
        #[arg(long, value_name = "N", default_value_t = 3)]
        rounds: usize,
        #[command(flatten)]
        sizes: Sizes,
    },
    /// How fast bots are handed crawl jobs over HTTP, and that no job goes to two.
    Pull {
        /// Bots that pull at a time.
        #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=200))]
        bots: u32,
        /// Jobs per pull.
        #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
        batch: u32,
        /// Jobs in all.
        #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
        jobs: u64,
        /// Sites that the jobs are spread over.
        #[arg(long, value_name = "N", default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
        sites: u64,
        /// Give every site a pace to be kept: another row written per site and pull.
        #[arg(long)]
        paced: bool,
    },
    /// How many pages the browser renders, and what it takes in memory; needs no database.
    Render {
        /// Pages in all.
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        pages: u32,
        /// Tabs at a time; as configured unless given.
        #[arg(long, value_name = "N")]
        tabs: Option<NonZeroUsize>,
    },
    /// How well and how fast documents are read, how soon large ones are ready, and how fast the API answers meanwhile.
    Documents {
        /// A folder with documents, and with labels.jsonl: what words stand in which. Without one, none are read but those that are made.
        folder: Option<PathBuf>,
        /// Sizes of the PDFs that are timed one after the other, in MB.
        #[arg(
            long,
            value_name = "NUMBERS",
            value_delimiter = ',',
            default_value = "10,50"
        )]
        alone: Vec<u8>,
        /// Size of the five that are read while the API is asked, in MB.
        #[arg(long, value_name = "MB", default_value_t = 20, value_parser = clap::value_parser!(u8).range(1..=80))]
        large: u8,
        /// Users of the API at a time; with 0 nothing is served, and no database needed.
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..=120))]
        users: u32,
    },
    /// How long a round of the crawl-scheduler takes: when nothing is due, when one URL in a hundred is, and when all are.
    Schedule {
        /// Product URLs, each with its job.
        #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(100..=100_000_000))]
        urls: u64,
        /// Sites that they are spread over.
        #[arg(long, value_name = "N", default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
        sites: u64,
        /// Rounds with nothing due, and with one in a hundred; the median counts.
        #[arg(long, value_name = "N", default_value_t = 5)]
        rounds: usize,
    },
    /// How fast sitemaps become pages, and what memory that takes.
    Sitemap {
        /// Sitemaps; as many at a time as is configured.
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        sitemaps: u32,
        /// Addresses in each.
        #[arg(long, value_name = "N", default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(1..=50_000))]
        urls: u32,
    },
    /// How good the search in documents is, on sets of questions with judged answers, and how fast among many pieces.
    Search {
        /// Folder of the sets (NAME.json.gz); without one only time is measured.
        #[arg(value_name = "FOLDER")]
        folder: Option<PathBuf>,
        /// Pieces of a tenant that are made to be searched; 0 for none.
        #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(0..=10_000_000))]
        pieces: u32,
        /// So many times as many pieces of another tenant's are added then, and the same is asked again.
        #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(0..=100))]
        others: u32,
        /// Words of each of these, at most; 140, as many as the others have, unless given.
        #[arg(long, value_name = "N", default_value_t = 140)]
        other_words: usize,
    },
    /// What a process costs that has nothing to do.
    Idle {
        /// For how long it is watched.
        #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86_400))]
        seconds: u64,
    },
}

#[derive(Clone, Copy, Debug, Args)]
struct Sizes {
    /// Rows per claim and per settle.
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    batch: usize,
    /// Rows in hand at most; four batches unless given.
    #[arg(long, value_name = "N")]
    concurrency: Option<usize>,
}

impl Sizes {
    fn load(self, config: &Config) -> Load {
        let batch = self.batch.max(1);
        Load {
            batch,
            concurrency: self.concurrency.unwrap_or(batch.saturating_mul(4)).max(1),
            settle_age: config.engine.settle_age,
            tree: config.engine.tree_settings(),
        }
    }
}

pub(super) async fn run(global: &Global, arguments: Arguments) -> anyhow::Result<u8> {
    let mut config = global.load()?;
    let _log = telemetry::init(&config.log)?;
    // As in production, so that what counting costs is counted.
    let _metrics = metrics::install()?;
    let mut signals = Signals::new().context("cannot listen to signals")?;

    if let What::Render { pages, tabs } = arguments.what {
        let renders = Renders {
            pages,
            tabs: tabs.unwrap_or(config.render.max_pages),
            render: config.render,
            fetch: config.fetch,
        };
        report(global, &object(&bench::render(renders).await?)?);
        return Ok(OK);
    }
    if let What::Documents {
        folder, users: 0, ..
    } = arguments.what
    {
        report(global, &object(&read(&config, folder).await?)?);
        return Ok(OK);
    }
    let private = if config.database.url.is_empty() {
        Some(start_private(&config.embedded).await?)
    } else {
        None
    };
    if let Some(private) = &private {
        config.database.url = Secret::new(&private.url("gleaner"));
        config.database.direct_url = Secret::new("");
    }
    let result = tokio::select! {
        result = measure_in_scratch(&config, &arguments.what) => result,
        () = asked_to_stop(&mut signals) => Err(anyhow::anyhow!("interrupted")),
    };
    if let Some(private) = private {
        private.stop().await;
    }
    report(global, &result?);
    Ok(OK)
}

/// Reads a folder of documents.
async fn read(config: &Config, folder: Option<PathBuf>) -> anyhow::Result<DocumentTimes> {
    let pdfium = pdfium(config);
    Ok(bench::documents(&Documents { folder, pdfium }).await?)
}

fn megabytes(number: u8) -> usize {
    usize::from(number) * 1_000_000
}

fn pdfium(config: &Config) -> Option<PathBuf> {
    let configured = &config.workflows.options::<DocumentProcessing>().pdfium;
    find_pdfium(configured, &config.embedded.data_dir())
}

async fn asked_to_stop(signals: &mut Signals) {
    while signals.next().await != Asked::Stop {}
}

async fn measure_in_scratch(config: &Config, what: &What) -> anyhow::Result<Value> {
    let mut scratch = Scratch::open(&config.database).await?;
    let result = measure(&mut scratch, config, what).await;
    scratch.close().await;
    result
}

async fn measure(scratch: &mut Scratch, config: &Config, what: &What) -> anyhow::Result<Value> {
    let result = match what {
        What::Drain {
            rows,
            rounds,
            sizes,
        } => {
            let drain = Drain {
                rows: *rows,
                rounds: *rounds,
                load: sizes.load(config),
            };
            object(&bench::drain(scratch, &drain).await?)?
        }
        What::Wake {
            rate,
            seconds,
            sizes,
        } => {
            let wake = Wake {
                rate: *rate,
                duration: Duration::from_secs(*seconds),
                load: sizes.load(config),
            };
            object(&bench::wake(scratch, &wake).await?)?
        }
        What::Claim { queued, batch } => {
            let claims = bench::claim(scratch, queued, (*batch).max(1)).await?;
            json!({ "claims": claims })
        }
        What::Pin {
            rate,
            seconds,
            sizes,
        } => {
            let pin = Pin {
                rate: f64::from(*rate),
                duration: Duration::from_secs(*seconds),
                load: sizes.load(config),
            };
            object(&bench::pin(scratch, &pin).await?)?
        }
        What::Record {
            results,
            rounds,
            sizes,
        } => {
            let private = match config.redis.is_on() {
                true => None,
                false => {
                    let folder = config.embedded.data_dir();
                    Some(embedded::Redis::start(embedded::Options::new(folder)).await?)
                }
            };
            let mut redis = config.redis.clone();
            if let Some(private) = &private {
                redis.url = Secret::new(&private.url());
            }
            let record = Record {
                results: *results,
                rounds: *rounds,
                load: sizes.load(config),
                options: config.workflows.options::<AutoRecord>().clone(),
                redis,
            };
            let recorded = bench::record(scratch, &record).await;
            if let Some(private) = private {
                private.stop().await;
            }
            object(&recorded?)?
        }
        What::Pull {
            bots,
            batch,
            jobs,
            sites,
            paced,
        } => {
            let pulls = Pulls {
                bots: *bots,
                batch: *batch,
                jobs: *jobs,
                sites: *sites,
                paced: *paced,
            };
            object(&bench::pull(scratch, config, &pulls).await?)?
        }
        What::Documents {
            folder,
            alone,
            large,
            users,
        } => {
            let mut told = object(&read(config, folder.clone()).await?)?;
            let service = Service {
                alone: alone.iter().copied().map(megabytes).collect(),
                large_bytes: megabytes(*large),
                users: *users,
                pdfium: pdfium(config),
            };
            let served = bench::served(scratch, &this_program()?, &service).await?;
            if let (Value::Object(told), Value::Object(served)) = (&mut told, object(&served)?) {
                told.extend(served);
            }
            told
        }
        What::Render { .. } => bail!("this benchmark needs no database"),
        What::Schedule {
            urls,
            sites,
            rounds,
        } => {
            let schedule = Schedule {
                urls: *urls,
                sites: *sites,
                rounds: *rounds,
            };
            object(&bench::schedule(scratch, config, &schedule).await?)?
        }
        What::Sitemap { sitemaps, urls } => {
            let sitemaps = Sitemaps {
                sitemaps: *sitemaps,
                urls: *urls,
            };
            object(&bench::sitemap(scratch, &this_program()?, sitemaps).await?)?
        }
        What::Search {
            folder,
            pieces,
            others,
            other_words,
        } => {
            let searches = Searches {
                folder: folder.clone(),
                pieces: *pieces,
                others: *others,
                other_words: *other_words,
            };
            object(&bench::search(scratch, &searches).await?)?
        }
        What::Idle { seconds } => {
            let duration = Duration::from_secs(*seconds);
            let watched = bench::idle(scratch, &this_program()?, duration).await?;
            object(&watched)?
        }
    };
    Ok(result)
}

fn this_program() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("cannot find this program's file")
}

fn object(result: &impl Serialize) -> anyhow::Result<Value> {
    let value = serde_json::to_value(result)?;
    if !value.is_object() {
        bail!("a result is no object");
    }
    Ok(value)
}

fn report(global: &Global, result: &Value) {
    if global.json {
        print(&result.to_string());
    } else if let Some(fields) = result.as_object() {
        for (name, value) in fields {
            print(&format!("{name:<32} {value}"));
        }
        print(&result.to_string());
    }
}

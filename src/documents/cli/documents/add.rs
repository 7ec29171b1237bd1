//! `gleaner documents add`: files of this machine become a tenant's documents.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use bytes::Bytes;
use clap::Args;
use diesel_async::{AsyncConnection as _, AsyncPgConnection};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;

use crate::console::table::plain;
use crate::console::{FAILURE, Global, Misuse, OK, complain, connect, print};
use crate::documents::blob::Blobs;
use crate::documents::config::Documents;
use crate::documents::intake;
use crate::documents::intake::{Accepted, Aside, Draft, Head, Wish};
use crate::documents::quota;
use crate::documents::quota::Refusal;
use crate::documents::scope;
use crate::documents::storage;
use crate::documents::tenant;
use crate::documents::tenant::Tenant;
use crate::telemetry::chain;

/// What is read of a file at a time, in bytes.
const PIECE: usize = 256 * 1024;

/// Arguments of `gleaner documents add`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The files.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The tenant: its name, or its uid.
    #[arg(long, value_name = "NAME")]
    tenant: String,
    /// The document's name, in the place of the file's; for one file at a time.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Make a new document also of bytes that the tenant has already.
    #[arg(long)]
    allow_duplicates: bool,
}

/// Why a file was not added.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("it cannot be read")]
    Unreadable(#[source] std::io::Error),
    #[error("it is empty")]
    Empty,
    #[error("it has {0} bytes, and may have {1} (documents.max_file_bytes)")]
    TooLarge(u64, u64),
    #[error("this is {0}, which is not read here")]
    Type(&'static str),
    #[error(transparent)]
    Refused(#[from] Refusal),
}

struct Adding<'a> {
    conn: AsyncPgConnection,
    blobs: &'a dyn Blobs,
    tenant: &'a Tenant,
    most: u64,
    /// Of the document, in the place of the file's.
    name: Option<&'a str>,
    allows_duplicates: bool,
}

pub(super) async fn run(global: &Global, arguments: Arguments) -> anyhow::Result<u8> {
    if arguments.name.is_some() && arguments.files.len() > 1 {
        return Err(Misuse("--name is for one file at a time".to_owned()).into());
    }
    let config = global.load()?;
    let mut conn = connect(&config).await?;
    let Some(tenant) = tenant::find(&mut conn, &arguments.tenant).await? else {
        let named = plain(&arguments.tenant);
        return Err(Misuse(format!("there is no tenant \"{named}\"")).into());
    };
    let blobs = storage::of(&config);
    let mut adding = Adding {
        conn,
        blobs: &*blobs,
        tenant: &tenant,
        most: config.section::<Documents>().max_file_bytes,
        name: arguments.name.as_deref(),
        allows_duplicates: arguments.allow_duplicates,
    };
    let (mut results, mut code) = (Vec::new(), OK);
    for file in &arguments.files {
        let shown = plain(&file.display().to_string());
        match adding.add(file).await {
            Ok(accepted) => {
                if !global.json {
                    let was = if accepted.is_duplicate {
                        "  (was there)"
                    } else {
                        ""
                    };
                    print(&format!("{}  {shown}{was}", accepted.uid));
                }
                results.push(told(file, &accepted));
            }
            Err(trouble) => {
                code = FAILURE;
                let reason = chain(&trouble);
                if !global.json {
                    complain(&format!("{shown}: {reason}"));
                }
                results.push(json!({ "file": file.display().to_string(), "error": reason }));
            }
        }
    }
    if global.json {
        let text = serde_json::to_string_pretty(&results).context("results as JSON")?;
        print(&text);
    }
    Ok(code)
}

fn told(file: &Path, accepted: &Accepted) -> Value {
    json!({
        "file": file.display().to_string(), "document_id": accepted.uid, "filename": accepted.filename,
        "status": accepted.status, "duplicate": accepted.is_duplicate,
    })
}

impl Adding<'_> {
    async fn add(&mut self, file: &Path) -> Result<Accepted, Trouble> {
        let bytes = tokio::fs::metadata(file)
            .await
            .map_err(Trouble::Unreadable)?
            .len();
        let reservation = self.reserve(bytes).await?;
        let added = self.added(file, bytes, &reservation).await;
        if added.is_err() {
            self.refund(&reservation).await;
        }
        added
    }

    async fn reserve(&mut self, bytes: u64) -> Result<String, Trouble> {
        if bytes == 0 {
            return Err(Trouble::Empty);
        }
        let set_aside = i64::try_from(bytes).ok().filter(|_| bytes <= self.most);
        let set_aside = set_aside.ok_or(Trouble::TooLarge(bytes, self.most))?;
        let tenant = self.tenant.id;
        let reserved = self
            .conn
            .transaction::<_, Refusal, _>(async |conn| {
                scope::enter(conn, tenant).await?;
                quota::reserve(conn, tenant, set_aside).await
            })
            .await?;
        Ok(reserved)
    }

    async fn refund(&mut self, reservation: &str) {
        let tenant = self.tenant.id;
        // What cannot be given back now is when it has expired.
        drop(
            self.conn
                .transaction::<_, Refusal, _>(async |conn| {
                    scope::enter(conn, tenant).await?;
                    quota::refund(conn, tenant, reservation).await
                })
                .await,
        );
    }

    async fn added(
        &mut self,
        file: &Path,
        bytes: u64,
        reservation: &str,
    ) -> Result<Accepted, Trouble> {
        let mut source = tokio::fs::File::open(file)
            .await
            .map_err(Trouble::Unreadable)?;
        let mut draft = Draft::new(self.blobs).await.map_err(Refusal::Storage)?;
        let mut buffer = vec![0; PIECE];
        loop {
            let read = source
                .read(&mut buffer)
                .await
                .map_err(Trouble::Unreadable)?;
            if read == 0 {
                break;
            }
            let piece = Bytes::copy_from_slice(buffer.get(..read).unwrap_or_default());
            draft.write(piece).await.map_err(Refusal::Storage)?;
            // It grows while it is read.
            if draft.bytes() > bytes {
                return Err(Trouble::TooLarge(draft.bytes(), bytes));
            }
        }
        let own = file.file_name().unwrap_or_default().to_string_lossy();
        let name = self.name.map_or(own, Cow::Borrowed);
        let mime = match intake::kind_of(draft.head(), &name) {
            Head::Of(mime) => mime,
            Head::Refused(what) => return Err(Trouble::Type(what)),
        };
        let whole = draft.finish().await.map_err(Refusal::Storage)?;
        let kept = intake::keep(self.blobs, &self.tenant.uid, whole, mime).await?;
        let wish = Wish {
            name: name.into_owned(),
            allows_duplicate: self.allows_duplicates,
            idempotency_key: None,
        };
        let aside = Aside::Reservation(reservation.to_owned());
        let accepted = intake::settle(
            &mut self.conn,
            self.blobs,
            self.tenant.id,
            &self.tenant.uid,
            &kept,
            &wish,
            &aside,
        )
        .await?;
        Ok(accepted)
    }
}

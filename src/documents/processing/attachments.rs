//! What was attached to an e-mail, and becomes documents of its own: by the same rules, under the same quota.
//!
//! The files are kept before the e-mail is settled, and the documents made in the transaction that settles it. What cannot become one
//! is listed in the e-mail's `doc_metadata`, with the reason; it never fails the e-mail.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use diesel::sql_types::{BigInt, Binary, Integer, SmallInt, Text};
use diesel::{OptionalExtension as _, QueryResult, QueryableByName};
use diesel_async::AsyncPgConnection;
use gleaner_parse::sniff::{HEAD_BYTES, Head, sniff_head};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use super::options::Processing;
use super::text::words;
use super::{DocumentProcessing, Stopped};
use crate::db::statement::statement;
use crate::documents::blob::{Blobs, Key, Sha256};
use crate::store::stage::Request;
use crate::workflow::{ItemId, Workflow as _};

/// How deep e-mails may lie in each other; the table knows no deeper.
const DEEPEST: i16 = 3;
/// Attachments that are listed as skipped.
const LISTED: usize = 1_000;
/// Bytes of a name.
const LONGEST_NAME: usize = 255;
/// Files up to so many bytes are small, and beyond the second large; as at the intake.
const LANES: [i64; 2] = [2 << 20, 20 << 20];

/// What was attached, once the files are kept.
#[derive(Debug, Default)]
pub struct Found {
    kept: Vec<Kept>,
    skipped: Vec<Skipped>,
}

/// A file that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Kept {
    name: String,
    sha256: Sha256,
    bytes: i64,
}

/// What does not become a document.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Skipped {
    name: String,
    reason: &'static str,
}

/// Attachments as they come: each in a draft, which goes with this.
pub(super) struct Drafts {
    blobs: Arc<dyn Blobs>,
    room: u32,
    depth: i16,
    files: Vec<(PathBuf, Kept)>,
    skipped: Vec<Skipped>,
}

impl Drop for Drafts {
    /// The work may have been dropped anywhere. They are few.
    fn drop(&mut self) {
        for (path, _) in &self.files {
            drop(std::fs::remove_file(path));
        }
    }
}

impl Drafts {
    /// Of an e-mail that was in so many others.
    pub(super) fn new(blobs: Arc<dyn Blobs>, options: &Processing, depth: i16) -> Self {
        Self {
            blobs,
            room: options.attachments,
            depth,
            files: Vec::new(),
            skipped: Vec::new(),
        }
    }

    /// Takes one in.
    pub(super) async fn write(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let name = tidy(name);
        let sha256 = sha256(bytes);
        let reason = if bytes.is_empty() {
            "empty"
        } else if let Head::Refused(_) =
            sniff_head(bytes.get(..HEAD_BYTES).unwrap_or(bytes), Some(&name))
        {
            "unsupported_type"
        } else if self.depth >= DEEPEST {
            "nested_too_deep"
        } else if self.room == 0 {
            "too_many"
        } else if self.files.iter().any(|(_, kept)| kept.sha256 == sha256) {
            "twice"
        } else {
            let path = self.blobs.drafts().await?;
            let path = path.join(format!("attachment-{:032x}", rand::random::<u128>()));
            let kept = Kept {
                name,
                sha256,
                bytes: i64::try_from(bytes.len()).unwrap_or(i64::MAX),
            };
            // Noted first: what is half written goes as well.
            self.files.push((path.clone(), kept));
            self.room -= 1;
            return write(&path, bytes).await;
        };
        self.skip(&name, reason);
        Ok(())
    }

    /// Notes that one does not become a document.
    pub(super) fn skip(&mut self, name: &str, reason: &'static str) {
        // A list that is as long as the file likes helps nobody.
        if self.skipped.len() < LISTED {
            self.skipped.push(Skipped {
                name: tidy(name),
                reason,
            });
        }
    }

    /// Keeps all of them.
    pub(super) async fn keep(mut self, tenant: &str) -> Result<Found, Stopped> {
        let mut found = Found {
            skipped: std::mem::take(&mut self.skipped),
            ..Found::default()
        };
        for (path, kept) in &self.files {
            let key = Key {
                tenant: tenant.to_owned(),
                sha256: kept.sha256,
            };
            let done = self.blobs.keep(&key, path).await;
            done.map_err(Stopped::Storage)?;
            found.kept.push(kept.clone());
        }
        // In the order in which they are locked.
        found.kept.sort_by_key(|kept| kept.sha256);
        Ok(found)
    }
}

async fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    tokio::fs::write(path, bytes).await
}

fn sha256(bytes: &[u8]) -> Sha256 {
    let mut sha256 = [0; 32];
    sha256.copy_from_slice(digest(&SHA256, bytes).as_ref());
    sha256
}

/// A name as a document has it: its last part, without control characters, not too long.
fn tidy(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let clean = words(last.trim());
    let end = clean.floor_char_boundary(LONGEST_NAME);
    match clean.get(..end).map(str::trim) {
        None | Some("" | "." | "..") => "attachment".to_owned(),
        Some(name) => name.to_owned(),
    }
}

#[derive(QueryableByName)]
struct Refs {
    #[diesel(sql_type = Integer)]
    refs: i32,
}

#[derive(QueryableByName)]
struct Parent {
    #[diesel(sql_type = BigInt)]
    tenant_id: i64,
    #[diesel(sql_type = SmallInt)]
    depth: i16,
}

impl Found {
    /// Makes documents of them, below this one, and returns what is to be said of those that cannot be. Belongs into the transaction that
    /// settles it.
    pub(super) async fn store(
        &self,
        conn: &mut AsyncPgConnection,
        document: ItemId,
    ) -> QueryResult<Value> {
        let mut skipped = self.skipped.clone();
        if !self.kept.is_empty() {
            // The tenant is locked before its blobs, as wherever both are.
            let parent: Parent = statement(
                "SELECT tenant_id, depth FROM documents JOIN tenant ON tenant.id = tenant_id \
                 WHERE documents.id = $1 FOR NO KEY UPDATE OF tenant",
            )
            .bind::<BigInt, _>(document)
            .get_result(conn)
            .await?;
            for kept in &self.kept {
                if let Some(reason) = accept(conn, document, &parent, kept).await? {
                    let name = kept.name.clone();
                    skipped.push(Skipped { name, reason });
                }
            }
        }
        let skipped = skipped
            .iter()
            .map(|one| json!({ "filename": one.name, "reason": one.reason }))
            .collect::<Vec<_>>();
        Ok(if skipped.is_empty() {
            json!({})
        } else {
            json!({ "skipped_attachments": skipped })
        })
    }
}

/// Makes one a document; says why if it cannot be.
async fn accept(
    conn: &mut AsyncPgConnection,
    document: ItemId,
    parent: &Parent,
    kept: &Kept,
) -> QueryResult<Option<&'static str>> {
    if parent.depth >= DEEPEST {
        return Ok(Some("nested_too_deep"));
    }
    // It was made when the e-mail was read before. If its tenant has deleted it since, it stays so.
    let before = statement(
        "SELECT 1::integer AS refs FROM documents WHERE parent_id = $1 AND sha256 = $2 LIMIT 1",
    )
    .bind::<BigInt, _>(document)
    .bind::<Binary, _>(kept.sha256.as_slice())
    .get_result::<Refs>(conn)
    .await
    .optional()?;
    if before.is_some() {
        return Ok(None);
    }
    // Locks it, so that nobody releases it meanwhile.
    let blob: Refs = statement(
        "INSERT INTO blob AS known (tenant_id, sha256, bytes, refs, released_at) VALUES ($1, $2, $3, 0, now()) \
         ON CONFLICT (tenant_id, sha256) DO UPDATE SET refs = known.refs RETURNING refs",
    )
    .bind::<BigInt, _>(parent.tenant_id)
    .bind::<Binary, _>(kept.sha256.as_slice())
    .bind::<BigInt, _>(kept.bytes)
    .get_result(conn)
    .await?;
    if blob.refs == 0 {
        let charged = statement(
            "UPDATE tenant SET used_bytes = used_bytes + $2, updated_at = now() \
             WHERE id = $1 AND used_bytes + reserved_bytes + $2 <= quota_bytes",
        )
        .bind::<BigInt, _>(parent.tenant_id)
        .bind::<BigInt, _>(kept.bytes)
        .execute(conn)
        .await?;
        if charged == 0 {
            return Ok(Some("quota_exceeded"));
        }
    }
    statement("UPDATE blob SET refs = refs + 1 WHERE tenant_id = $1 AND sha256 = $2")
        .bind::<BigInt, _>(parent.tenant_id)
        .bind::<Binary, _>(kept.sha256.as_slice())
        .execute(conn)
        .await?;
    let lane = LANES.iter().filter(|bound| kept.bytes >= **bound).count();
    statement(&insert())
        .bind::<BigInt, _>(document)
        .bind::<Text, _>(&kept.name)
        .bind::<BigInt, _>(kept.bytes)
        .bind::<Binary, _>(kept.sha256.as_slice())
        .bind::<SmallInt, _>(i16::try_from(lane).unwrap_or_default())
        .execute(conn)
        .await?;
    Ok(None)
}

fn insert() -> String {
    DocumentProcessing::stage().group().ask(
        "INSERT INTO documents (tenant_id, parent_id, depth, filename, original_filename, file_size, sha256, lane, {columns}) \
         SELECT parent.tenant_id, parent.id, parent.depth + 1, $2, $2, $3, $4, $5, {values} \
         FROM documents AS parent JOIN tenant ON tenant.id = parent.tenant_id WHERE parent.id = $1",
        &[
            Request::Queue,
            Request::Prioritise("least(tenant.tier * 10 - $5 * 3, 32767)::smallint"),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_nowhere() {
        for (name, expected) in [
            ("report.pdf", "report.pdf"),
            ("../../etc/passwd", "passwd"),
            ("C:\\temp\\a.doc", "a.doc"),
            ("/", "attachment"),
            ("..", "attachment"),
            (" \u{7}a\u{0}b ", "ab"),
        ] {
            assert_eq!(tidy(name), expected, "{name}");
        }
        assert_eq!(tidy(&"é".repeat(300)).len(), 254);
    }
}

//! Files that are nobody's: released ones, drafts that were left lying, files without a row.

use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use diesel::sql_types::{Array, BigInt, Binary, Double, Text};
use diesel::{QueryResult, QueryableByName};
use diesel_async::{AsyncConnection as _, AsyncPgConnection};

use super::{Name, Number, SweepError, as_count};
use crate::db::statement::{seconds, sql_query};
use crate::documents::blob::{Blobs, Key, Sha256, Stored};
use crate::documents::metrics;

/// Files that are taken away in one transaction, for as long as which their rows are locked.
const FILES: i64 = 50;

#[derive(QueryableByName)]
struct Released {
    #[diesel(sql_type = BigInt)]
    tenant_id: i64,
    /// Its uid.
    #[diesel(sql_type = Text)]
    tenant: String,
    #[diesel(sql_type = Binary)]
    sha256: Vec<u8>,
}

/// Takes away files that no document has referred to for `grace`, and their rows, as far as no deleted document names them.
pub(super) async fn released(
    conn: &mut AsyncPgConnection,
    blobs: &dyn Blobs,
    grace: Duration,
    is_trial: bool,
) -> Result<usize, SweepError> {
    if is_trial {
        let counted: Number = sql_query(
            "SELECT count(*) AS number FROM blob \
             WHERE refs = 0 AND purged_at IS NULL AND released_at < now() - make_interval(secs => $1)",
        )
        .bind::<Double, _>(seconds(grace))
        .get_result(conn)
        .await?;
        return Ok(as_count(counted.number));
    }
    let mut gone = 0;
    loop {
        let (found, taken) = conn
            .transaction::<_, SweepError, _>(async |conn| some_released(conn, blobs, grace).await)
            .await?;
        gone += taken;
        // Of a batch of which none goes, each is being uploaded again.
        if taken == 0 || found < as_count(FILES) {
            break;
        }
    }
    sql_query(
        "DELETE FROM blob WHERE (tenant_id, sha256) IN ( \
             SELECT tenant_id, sha256 FROM blob WHERE refs = 0 AND purged_at IS NOT NULL \
               AND NOT EXISTS (SELECT 1 FROM documents WHERE documents.tenant_id = blob.tenant_id AND documents.sha256 = blob.sha256) \
             LIMIT 10000 FOR UPDATE SKIP LOCKED)",
    )
    .execute(conn)
    .await?;
    Ok(gone)
}

/// A batch of them: how many there were, and how many went.
async fn some_released(
    conn: &mut AsyncPgConnection,
    blobs: &dyn Blobs,
    grace: Duration,
) -> Result<(usize, usize), SweepError> {
    let found: Vec<Released> = sql_query(
        "SELECT tenant_id, tenant.uid::text AS tenant, sha256 FROM blob JOIN tenant ON tenant.id = tenant_id \
         WHERE refs = 0 AND purged_at IS NULL AND released_at < now() - make_interval(secs => $1) \
         ORDER BY released_at LIMIT $2 FOR UPDATE OF blob SKIP LOCKED",
    )
    .bind::<Double, _>(seconds(grace))
    .bind::<BigInt, _>(FILES)
    .load(conn)
    .await?;
    let before = SystemTime::now() - grace;
    let (mut tenants, mut hashes) = (Vec::new(), Vec::new());
    for one in &found {
        let Ok(sha256) = Sha256::try_from(one.sha256.as_slice()) else {
            continue;
        };
        let key = Key {
            tenant: one.tenant.clone(),
            sha256,
        };
        if blobs.remove_before(&key, before).await? {
            tenants.push(one.tenant_id);
            hashes.push(one.sha256.as_slice());
        }
    }
    sql_query(
        "UPDATE blob SET purged_at = now() FROM unnest($1::bigint[], $2::bytea[]) AS gone(tenant_id, sha256) \
         WHERE blob.tenant_id = gone.tenant_id AND blob.sha256 = gone.sha256",
    )
    .bind::<Array<BigInt>, _>(&tenants)
    .bind::<Array<Binary>, _>(&hashes)
    .execute(conn)
    .await?;
    Ok((found.len(), tenants.len()))
}

/// Takes away drafts on this machine to which nobody has written for `grace`, but those of uploads that wait for their next part.
pub(super) async fn drafts(
    conn: &mut AsyncPgConnection,
    blobs: &dyn Blobs,
    grace: Duration,
    is_trial: bool,
) -> Result<usize, SweepError> {
    let folder = blobs.drafts().await?.to_owned();
    let (listed, before) = (folder.clone(), SystemTime::now() - grace);
    let mut names = tokio::task::spawn_blocking(move || old_files(&listed, before))
        .await
        .map_err(io::Error::other)??;
    let waiting: Vec<Name> =
        sql_query("SELECT id::text AS name FROM upload WHERE id::text = ANY ($1)")
            .bind::<Array<Text>, _>(&names)
            .load(conn)
            .await?;
    names.retain(|name| !waiting.iter().any(|own| own.name == *name));
    if !is_trial {
        for name in &names {
            match tokio::fs::remove_file(folder.join(name)).await {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                Ok(()) | Err(_) => {}
            }
        }
    }
    Ok(names.len())
}

/// Names of files that have not been written to since, of a folder that need not be there.
fn old_files(folder: &Path, before: SystemTime) -> io::Result<Vec<String>> {
    /// The rest the next time.
    const AT_ONCE: usize = 1_000;
    let mut names = Vec::new();
    for entry in folder.read_dir()? {
        let entry = entry?;
        let about = match entry.metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            about => about?,
        };
        if about.is_file()
            && about.modified()? < before
            && let Some(name) = entry.file_name().to_str()
        {
            names.push(name.to_owned());
            if names.len() == AT_ONCE {
                break;
            }
        }
    }
    Ok(names)
}

/// Looks through the whole storage for files without a row, has the next sweep take them away, and returns how many there are.
///
/// Those that are younger than `grace` may get one yet. Ends by `until`, wherever it is.
///
/// # Errors
/// Whatever database or storage answer.
pub async fn orphans(
    conn: &mut AsyncPgConnection,
    blobs: &dyn Blobs,
    grace: Duration,
    until: std::time::Instant,
    is_trial: bool,
) -> Result<usize, SweepError> {
    let before = SystemTime::now() - grace;
    let (sender, mut batches) = tokio::sync::mpsc::unbounded_channel();
    let mut visit =
        move |batch: Vec<Stored>| std::time::Instant::now() < until && sender.send(batch).is_ok();
    let listing = async move {
        let listed = blobs.list(&mut visit).await;
        drop(visit);
        listed.map_err(SweepError::from)
    };
    let judging = async {
        let mut orphans = 0;
        while let Some(mut batch) = batches.recv().await {
            batch.retain(|stored| stored.modified_at < before && is_uid(&stored.key.tenant));
            orphans += judge(conn, blobs, &batch, before, is_trial).await?;
        }
        Ok::<_, SweepError>(orphans)
    };
    let ((), orphans) = tokio::try_join!(listing, judging)?;
    if !is_trial {
        metrics::orphans(orphans);
        metrics::swept("orphans", orphans);
    }
    Ok(orphans)
}

/// Whether a folder's name can be a tenant's: others put things into folders, too.
fn is_uid(name: &str) -> bool {
    name.len() == 36
        && name.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
        })
}

#[derive(QueryableByName)]
struct Nobodys {
    #[diesel(sql_type = BigInt)]
    place: i64,
    /// Whether there is such a tenant, so that it could be uploaded again at this moment.
    #[diesel(sql_type = diesel::sql_types::Bool)]
    has_tenant: bool,
}

/// Of these files, those without a row. They get one, by which the sweep takes them; a tenant who is gone uploads nothing more.
async fn judge(
    conn: &mut AsyncPgConnection,
    blobs: &dyn Blobs,
    batch: &[Stored],
    before: SystemTime,
    is_trial: bool,
) -> Result<usize, SweepError> {
    let tenants: Vec<&str> = batch
        .iter()
        .map(|stored| stored.key.tenant.as_str())
        .collect();
    let hashes: Vec<&[u8]> = batch
        .iter()
        .map(|stored| stored.key.sha256.as_slice())
        .collect();
    let found: Vec<Nobodys> = sql_query(
        "SELECT file.place, tenant.id IS NOT NULL AS has_tenant \
         FROM unnest($1::text[], $2::bytea[]) WITH ORDINALITY AS file(tenant, sha256, place) LEFT JOIN tenant ON tenant.uid = file.tenant::uuid \
         WHERE NOT EXISTS (SELECT 1 FROM blob WHERE blob.tenant_id = tenant.id AND blob.sha256 = file.sha256)",
    )
    .bind::<Array<Text>, _>(&tenants)
    .bind::<Array<Binary>, _>(&hashes)
    .load(conn)
    .await?;
    if is_trial {
        return Ok(found.len());
    }
    for one in &found {
        let at = as_count(one.place).saturating_sub(1);
        let Some(stored) = batch.get(at) else {
            continue;
        };
        if one.has_tenant {
            mark(conn, stored).await?;
        } else {
            blobs.remove_before(&stored.key, before).await?;
        }
    }
    Ok(found.len())
}

/// Gives a file a row as if it had been released long ago.
async fn mark(conn: &mut AsyncPgConnection, stored: &Stored) -> QueryResult<usize> {
    sql_query(
        "INSERT INTO blob (tenant_id, sha256, bytes, refs, released_at) \
         SELECT id, $2, $3, 0, now() - interval '1 day' FROM tenant WHERE uid = $1::uuid \
         ON CONFLICT (tenant_id, sha256) DO NOTHING",
    )
    .bind::<Text, _>(&stored.key.tenant)
    .bind::<Binary, _>(stored.key.sha256.as_slice())
    .bind::<BigInt, _>(i64::try_from(stored.bytes).unwrap_or(i64::MAX))
    .execute(conn)
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_others_are_let_be() {
        for (name, is) in [
            ("00000000-0000-4000-8000-00000000000a", true),
            ("00000000-0000-4000-8000-00000000000A", false),
            ("lost+found", false),
            ("00000000000040008000000000000000aaaa", false),
            ("", false),
        ] {
            assert_eq!(is_uid(name), is, "{name}");
        }
    }
}

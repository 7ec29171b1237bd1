//! What every place for files keeps to.

#[cfg(feature = "s3")]
mod bucket;

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::time::Duration;

use super::*;

/// A tenant's uid.
const TENANT: &str = "00000000-0000-4000-8000-00000000000a";

/// The key of a file of [`TENANT`]'s; its hash is not looked at.
fn key(first: u8) -> Key {
    let mut sha256 = [7; 32];
    sha256[0] = first;
    Key {
        tenant: TENANT.to_owned(),
        sha256,
    }
}

/// Keeps what a draft holds.
async fn keep(blobs: &dyn Blobs, key: &Key, bytes: &[u8]) -> io::Result<()> {
    let draft = blobs.drafts().await?.join("a-draft");
    File::create_new(&draft)?.write_all(bytes)?;
    blobs.keep(key, &draft).await?;
    assert!(!draft.exists(), "the draft is gone");
    Ok(())
}

async fn read(blobs: &dyn Blobs, key: &Key) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    blobs.open(key).await?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

async fn listed(blobs: &dyn Blobs) -> io::Result<Vec<Stored>> {
    let mut all = Vec::new();
    let mut visit = |batch: Vec<Stored>| {
        all.extend(batch);
        true
    };
    blobs.list(&mut visit).await?;
    all.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(all)
}

/// Everything that a place has to do, of an empty one.
async fn fulfil(blobs: &dyn Blobs) -> io::Result<()> {
    blobs.check().await?;
    assert_eq!(listed(blobs).await?, [], "what a check writes is no file");
    let (one, large, empty) = (key(1), key(2), key(3));

    // What is not there.
    assert!(!blobs.holds(&one).await?);
    let missing = blobs.open(&one).await.expect_err("there is none");
    assert_eq!(missing.kind(), io::ErrorKind::NotFound, "{missing}");
    blobs.remove(&one).await?;
    assert!(blobs.remove_before(&one, SystemTime::now()).await?);

    // What is kept is there, of any size, as often as it is kept.
    let started = SystemTime::now();
    let bytes: Vec<u8> = (0..20_000_003_u32)
        .map(|at| (at / 7).to_le_bytes()[0])
        .collect();
    for (key, bytes) in [(&one, &b"one"[..]), (&large, &bytes), (&empty, b"")] {
        for _ in 0..2 {
            keep(blobs, key, bytes).await?;
            assert!(blobs.holds(key).await?, "{key}");
            assert!(read(blobs, key).await? == bytes, "{key}");
        }
    }
    let all = listed(blobs).await?;
    let told: Vec<_> = all.iter().map(|one| (&one.key, one.bytes)).collect();
    assert_eq!(told, [(&one, 3), (&large, 20_000_003), (&empty, 0)]);
    let minute = Duration::from_secs(60);
    for one in &all {
        assert!(one.modified_at > started - minute && one.modified_at < started + minute);
    }

    // What was kept a moment ago stays; what is old goes.
    assert!(!blobs.remove_before(&one, started - minute).await?);
    assert!(blobs.holds(&one).await?);
    assert!(
        blobs
            .remove_before(&one, SystemTime::now() + minute)
            .await?
    );
    assert!(!blobs.holds(&one).await?);

    // An open file stays readable.
    let mut open = blobs.open(&large).await?;
    blobs.remove(&large).await?;
    let mut still = Vec::new();
    open.read_to_end(&mut still)?;
    assert!(still == bytes);
    blobs.remove(&empty).await?;
    assert_eq!(listed(blobs).await?, []);

    // A draft that is not there is no file.
    let nothing = blobs.drafts().await?.join("nothing");
    assert!(blobs.keep(&one, &nothing).await.is_err());
    assert!(!blobs.holds(&one).await?);
    let left = std::fs::read_dir(blobs.drafts().await?)?.count();
    assert_eq!(left, 0, "nothing is left among the drafts");
    Ok(())
}

#[tokio::test]
async fn a_folder_keeps_files() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    fulfil(&Local::new(folder.path().join("files"))).await
}

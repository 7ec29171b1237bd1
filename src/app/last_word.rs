//! The last word of a process that ends in good order while the database is away and cannot hear it: left in a file of this machine,
//! and passed on by the next process that starts here. Its rows are then not charged with its death, also where another process has taken
//! it for dead meanwhile.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use diesel_async::{AsyncConnection, AsyncPgConnection};
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use crate::store::{lease, node};
use crate::telemetry::chain;
use crate::workflows::InForce;

/// The folder of the files, in that of this machine.
const FOLDER: &str = "last-words";
/// More of a file is not read.
const MAX_BYTES: u64 = 1_024;
/// More files are left for the start after.
const MAX_FILES: usize = 1_000;

/// Who said it. The number of a process is not enough: the same folder may serve another database tomorrow, which counts for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct LastWord {
    node: i64,
    pid: i32,
}

/// Leaves the last word of this process.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn leave(data_dir: &Path, node: i64) -> io::Result<()> {
    let word = LastWord {
        node,
        pid: node::own_pid(),
    };
    let folder = data_dir.join(FOLDER);
    fs::create_dir_all(&folder)?;
    fs::write(
        folder.join(format!("{node}.json")),
        serde_json::to_vec(&word)?,
    )
}

/// Passes on what was left here, and takes it away. What cannot be passed on now stays for the next start.
pub(super) async fn pass_on(conn: &mut AsyncPgConnection, data_dir: &Path, workflows: &InForce) {
    for path in left(&data_dir.join(FOLDER)) {
        let Some(word) = read(&path) else {
            warn!(file = %path.display(), "no last word of a process; it is taken away");
            forget(&path);
            continue;
        };
        match hear(conn, word, workflows).await {
            Ok(rows) => {
                info!(
                    node = word.node,
                    rows, "an earlier process had ended in good order while the database was away"
                );
                forget(&path);
            }
            Err(error) => {
                warn!(node = word.node, error = %chain(&error), "cannot pass on the last word of an earlier process");
            }
        }
    }
}

fn left(folder: &Path) -> Vec<PathBuf> {
    // There is no folder where nobody ever had to leave a word.
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).take(MAX_FILES).collect()
}

fn read(path: &Path) -> Option<LastWord> {
    let metadata = fs::symlink_metadata(path).ok()?;
    if !metadata.is_file() || metadata.len() > MAX_BYTES {
        return None;
    }
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

fn forget(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        warn!(file = %path.display(), %error, "cannot take a last word away");
    }
}

/// Notes that it stopped in good order and hands back what it had in hand. Returns the number of rows.
async fn hear(
    conn: &mut AsyncPgConnection,
    word: LastWord,
    workflows: &InForce,
) -> diesel::QueryResult<i64> {
    conn.transaction(async |conn| {
        let mut rows = 0;
        for left in node::has_stopped(conn, word.node, word.pid).await? {
            let Some(known) = workflows.find(&left.workflow) else {
                continue;
            };
            let released = known.stage.release_lost(conn, left.lease()).await?;
            rows += released.freed;
            if released.locked > 0 {
                lease::close(conn, left.lease()).await?;
            } else {
                lease::end(conn, left.lease()).await?;
            }
        }
        Ok(rows)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_is_found_and_what_is_no_word_is_not_read() {
        let data = tempfile::tempdir().unwrap();
        assert_eq!(left(&data.path().join(FOLDER)), Vec::<PathBuf>::new());
        leave(data.path(), 7).unwrap();
        leave(data.path(), 7).unwrap();
        let found = left(&data.path().join(FOLDER));
        assert_eq!(found.len(), 1);
        let word = LastWord {
            node: 7,
            pid: node::own_pid(),
        };
        assert_eq!(read(&found[0]), Some(word));
        forget(&found[0]);
        assert_eq!(left(&data.path().join(FOLDER)), Vec::<PathBuf>::new());

        let path = data.path().join("strange");
        for text in [
            "",
            "{",
            r#"{"node":"1","pid":2}"#,
            r#"{"node":1,"pid":2,"more":3}"#,
            &" ".repeat(5_000),
        ] {
            fs::write(&path, text).unwrap();
            assert_eq!(read(&path), None, "{text}");
        }
        assert_eq!(read(data.path()), None, "a folder");
    }
}

//! Finding server programs.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::EmbeddedError;
use crate::child;

/// The oldest PostgreSQL major version we run on.
const MIN_MAJOR: u32 = 14;
/// How deep under `<data_dir>/pgbin` a `bin` folder may lie.
const MAX_DEPTH: usize = 6;

/// A folder with `postgres` and `initdb`, and their version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PostgresBinaries {
    pub(super) directory: PathBuf,
    pub(super) major: u32,
}

/// Finds PostgreSQL's server programs.
///
/// In this order: `pg_bin` (and then nothing else), `/usr/lib/postgresql/*/bin` and `/usr/pgsql-*/bin` with the highest
/// version first, `$PATH`, `<data_dir>/pgbin`. An existing cluster, made by `cluster_major`, needs that very version.
pub(super) fn find_postgres(
    pg_bin: Option<&Path>,
    data_dir: &Path,
    cluster_major: Option<(u32, &Path)>,
) -> Result<PostgresBinaries, EmbeddedError> {
    let directories = match pg_bin {
        Some(directory) => vec![directory.to_path_buf()],
        None => postgres_directories(data_dir),
    };
    let mut found: Vec<PostgresBinaries> = Vec::new();
    for directory in directories {
        if !is_executable(&directory.join("postgres")) || !is_executable(&directory.join("initdb"))
        {
            continue;
        }
        if let Some(major) = ask_major(&directory.join("postgres")) {
            found.push(PostgresBinaries { directory, major });
        }
    }
    choose(found, pg_bin, cluster_major)
}

/// Picks from what was found, which is in order of preference.
fn choose(
    found: Vec<PostgresBinaries>,
    pg_bin: Option<&Path>,
    cluster_major: Option<(u32, &Path)>,
) -> Result<PostgresBinaries, EmbeddedError> {
    let versions = found
        .iter()
        .map(|binaries| binaries.major.to_string())
        .collect::<Vec<_>>()
        .join(", ");
    let mut usable = found
        .into_iter()
        .filter(|binaries| binaries.major >= MIN_MAJOR);
    if let Some((cluster, data_dir)) = cluster_major {
        return usable
            .find(|binaries| binaries.major == cluster)
            .ok_or_else(|| EmbeddedError::OtherMajor {
                data_dir: data_dir.to_path_buf(),
                cluster,
                found: if versions.is_empty() {
                    "none".to_owned()
                } else {
                    versions
                },
            });
    }
    usable.next().ok_or_else(|| {
        let searched = match pg_bin {
            Some(directory) if versions.is_empty() => {
                format!("no postgres and initdb in {}", directory.display())
            }
            _ if versions.is_empty() => String::new(),
            _ => format!("found only version {versions}"),
        };
        EmbeddedError::NoPostgres { searched }
    })
}

/// Finds `redis-server` or `valkey-server`: `configured` (and then nothing else), `$PATH`, the usual folders,
/// `<data_dir>/redisbin`.
pub(super) fn find_redis(
    configured: Option<&Path>,
    data_dir: &Path,
) -> Result<PathBuf, EmbeddedError> {
    let directories = match configured {
        Some(program) if is_executable(program) => return Ok(program.to_path_buf()),
        Some(_) => return Err(EmbeddedError::NoRedis),
        None => {
            let mut directories = search_path();
            directories.extend(["/usr/bin", "/usr/local/bin", "/usr/sbin"].map(PathBuf::from));
            subdirectories(&data_dir.join("redisbin"), MAX_DEPTH, &mut directories);
            directories
        }
    };
    directories
        .iter()
        .flat_map(|directory| ["redis-server", "valkey-server"].map(|name| directory.join(name)))
        .find(|program| is_executable(program))
        .ok_or(EmbeddedError::NoRedis)
}

fn postgres_directories(data_dir: &Path) -> Vec<PathBuf> {
    let mut packaged: Vec<(u32, PathBuf)> = Vec::new();
    for (parent, prefix) in [("/usr/lib/postgresql", ""), ("/usr", "pgsql-")] {
        for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let version = name
                .to_str()
                .and_then(|name| name.strip_prefix(prefix)?.parse().ok());
            if let Some(version) = version {
                packaged.push((version, entry.path().join("bin")));
            }
        }
    }
    packaged.sort_by(|a, b| b.cmp(a));
    let mut directories: Vec<PathBuf> = packaged.into_iter().map(|(_, path)| path).collect();
    directories.extend(search_path());
    let mut unpacked = Vec::new();
    subdirectories(&data_dir.join("pgbin"), MAX_DEPTH, &mut unpacked);
    directories.extend(unpacked.into_iter().filter(|path| path.ends_with("bin")));
    directories
}

#[expect(
    clippy::disallowed_methods,
    reason = "where programs are is not configuration of ours"
)]
fn search_path() -> Vec<PathBuf> {
    env::var_os("PATH")
        .map(|path| {
            env::split_paths(&path)
                .filter(|directory| directory.is_absolute())
                .collect()
        })
        .unwrap_or_default()
}

fn subdirectories(directory: &Path, depth: usize, into: &mut Vec<PathBuf>) {
    if depth == 0 {
        return;
    }
    let mut children: Vec<PathBuf> = fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect();
    children.sort();
    for child in children {
        into.push(child.clone());
        subdirectories(&child, depth - 1, into);
    }
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

fn ask_major(postgres: &Path) -> Option<u32> {
    let output = Command::new(postgres)
        .arg("--version")
        .env_clear()
        .envs(child::environment())
        .stdin(Stdio::null())
        .output()
        .ok()?;
    parse_major(&String::from_utf8_lossy(&output.stdout))
}

/// The major version in the output of `postgres --version`, such as `postgres (PostgreSQL) 15.18 (Debian 15.18-0)`.
fn parse_major(text: &str) -> Option<u32> {
    let version = text.trim().strip_prefix("postgres (PostgreSQL) ")?;
    version
        .split(|c: char| !c.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binaries(major: u32) -> PostgresBinaries {
        PostgresBinaries {
            directory: PathBuf::from(format!("/pg/{major}")),
            major,
        }
    }

    #[test]
    fn versions_are_parsed() {
        for (text, wanted) in [
            (
                "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n",
                Some(15),
            ),
            ("postgres (PostgreSQL) 18beta1\n", Some(18)),
            ("postgres (PostgreSQL) 9.6.24", Some(9)),
            ("postgres (Something) 15", None),
            ("", None),
        ] {
            assert_eq!(parse_major(text), wanted, "{text}");
        }
    }

    #[test]
    fn the_first_usable_version_is_chosen() {
        let chosen = choose(vec![binaries(13), binaries(17), binaries(16)], None, None);
        assert_eq!(chosen.unwrap(), binaries(17));
    }

    #[test]
    fn an_existing_cluster_needs_its_own_version() {
        let cluster = Some((15, Path::new("/c")));
        let both = vec![binaries(17), binaries(15)];
        assert_eq!(choose(both, None, cluster).unwrap(), binaries(15));
        let error = choose(vec![binaries(17)], None, cluster)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("made by PostgreSQL 15") && error.contains("found: 17"),
            "{error}"
        );
    }

    #[test]
    fn what_was_found_is_said() {
        let text = |found, pg_bin: Option<&str>| {
            choose(found, pg_bin.map(Path::new), None)
                .unwrap_err()
                .to_string()
        };
        assert!(
            text(vec![], None).starts_with("no PostgreSQL server (version 14 or newer) found: run")
        );
        assert!(text(vec![binaries(13)], None).contains("(found only version 13)"));
        assert!(text(vec![], Some("/x")).contains("(no postgres and initdb in /x)"));
    }
}

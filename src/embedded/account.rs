//! Who the servers run as, and the directories they need.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown,
};
use std::path::{Path, PathBuf};

use nix::unistd::{Uid, User, getegid, geteuid};

use super::{EmbeddedError, io_error};

/// `sun_path` holds 108 bytes with the final NUL (unix(7)).
const MAX_SOCKET_PATH_BYTES: usize = 107;
/// The longest name a server appends to the socket directory, with its slash.
const SOCKET_NAME_BYTES: usize = "/.s.PGSQL.5432.lock".len();

/// The user the servers run as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) name: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Whether that is not who we are, so that the shim must switch.
    pub(super) is_other: bool,
}

impl Account {
    /// Chooses the account: ourselves, or as root the owner of `existing`, else `postgres`, else `nobody`.
    pub(super) fn choose(existing: &Path) -> Result<Self, EmbeddedError> {
        let (uid, gid) = (geteuid(), getegid());
        if !uid.is_root() {
            return match User::from_uid(uid) {
                Ok(Some(user)) => Ok(Self {
                    name: user.name,
                    uid: uid.as_raw(),
                    gid: gid.as_raw(),
                    is_other: false,
                }),
                _ => Err(EmbeddedError::NoPasswdEntry { uid: uid.as_raw() }),
            };
        }
        let owner = fs::metadata(existing)
            .ok()
            .filter(|metadata| metadata.uid() != 0)
            .and_then(|metadata| User::from_uid(Uid::from_raw(metadata.uid())).ok().flatten());
        owner
            .or_else(|| User::from_name("postgres").ok().flatten())
            .or_else(|| User::from_name("nobody").ok().flatten())
            .map(|user| Self {
                name: user.name,
                uid: user.uid.as_raw(),
                gid: user.gid.as_raw(),
                is_other: true,
            })
            .ok_or(EmbeddedError::NoAccount)
    }

    /// Creates `path` with mode 0700 for this account, or takes an existing one as it is.
    pub(super) fn create_private_dir(&self, path: &Path) -> Result<(), EmbeddedError> {
        match DirBuilder::new().mode(0o700).create(path) {
            Ok(()) => self.own(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            Err(source) => Err(io_error("create", path)(source)),
        }
    }

    /// Gives `path` to this account; nothing to do when that is who we are.
    pub(super) fn own(&self, path: &Path) -> Result<(), EmbeddedError> {
        if self.is_other {
            chown(path, Some(self.uid), Some(self.gid))
                .map_err(io_error("change the owner of", path))?;
        }
        Ok(())
    }

    /// Checks that this account may enter `path` and all its parents.
    pub(super) fn check_traversable(&self, path: &Path) -> Result<(), EmbeddedError> {
        if !self.is_other {
            return Ok(());
        }
        for directory in path.ancestors() {
            let metadata = fs::metadata(directory).map_err(io_error("inspect", directory))?;
            if !may_enter(metadata.mode(), metadata.uid(), metadata.gid(), self) {
                return Err(EmbeddedError::NotTraversable {
                    directory: directory.to_path_buf(),
                    user: self.name.clone(),
                });
            }
        }
        Ok(())
    }
}

/// The permission check of `path_resolution(7)` for one directory; the first class that matches decides. Supplementary
/// groups do not count: the shim drops them.
fn may_enter(mode: u32, owner: u32, group: u32, account: &Account) -> bool {
    let execute = if owner == account.uid {
        0o100
    } else if group == account.gid {
        0o010
    } else {
        0o001
    };
    mode & execute != 0
}

/// Creates the data directory if needed and returns its canonical path.
pub(super) fn create_data_dir(path: &Path) -> Result<PathBuf, EmbeddedError> {
    if !path.is_dir() {
        // 0755 whatever the umask: as root, another user must get through to the private directories inside.
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(path)
            .map_err(io_error("create", path))?;
        if geteuid().is_root() {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755))
                .map_err(io_error("set the permissions of", path))?;
        }
    }
    fs::canonicalize(path).map_err(io_error("resolve", path))
}

/// Holds a data directory for this process; the kernel gives it back when we die, however we die.
#[derive(Debug)]
pub(super) struct DataDirLock {
    _file: File,
}

impl DataDirLock {
    /// Locks `<data_dir>/<name>.lock` and writes our pid into it.
    pub(super) fn take(data_dir: &Path, name: &str) -> Result<Self, EmbeddedError> {
        let path = data_dir.join(format!("{name}.lock"));
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o644)
            .open(&path)
            .map_err(io_error("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let pid = file
                    .read_to_string(&mut text)
                    .ok()
                    .and_then(|_| text.trim().parse().ok());
                return Err(EmbeddedError::InUse {
                    data_dir: data_dir.to_path_buf(),
                    pid,
                });
            }
            Err(TryLockError::Error(source)) => return Err(io_error("lock", &path)(source)),
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(io_error("write", &path))?;
        Ok(Self { _file: file })
    }
}

/// A name for the servers of `data_dir`, stable over releases: what is left running is recognised by it.
pub(super) fn instance_name(data_dir: &Path) -> String {
    format!("gleaner-{:016x}", fnv1a(data_dir.as_os_str().as_bytes()))
}

/// FNV-1a, 64 bits (RFC 9923). Not for security.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Creates and returns the directory for the sockets: `<data_dir>/run` if a socket's path fits, else one under `/tmp`.
pub(super) fn create_socket_dir(
    data_dir: &Path,
    account: &Account,
) -> Result<PathBuf, EmbeddedError> {
    let beside = data_dir.join("run");
    if is_fit_for_sockets(&beside) {
        account.create_private_dir(&beside)?;
        return Ok(beside);
    }
    let directory = Path::new("/tmp").join(instance_name(data_dir));
    match DirBuilder::new().mode(0o700).create(&directory) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            // Anyone may create names in /tmp: take only a real directory of the right owner, never a link.
            let metadata =
                fs::symlink_metadata(&directory).map_err(io_error("inspect", &directory))?;
            let is_ours = metadata.uid() == account.uid || metadata.uid() == geteuid().as_raw();
            if !metadata.is_dir() || !is_ours || metadata.mode() & 0o077 != 0 {
                return Err(EmbeddedError::ForeignSocketDirectory { directory });
            }
        }
        Err(source) => return Err(io_error("create", &directory)(source)),
    }
    account.own(&directory)?;
    Ok(directory)
}

/// Whether sockets can live in `directory`: short enough, and of characters that need no quoting in a server's
/// configuration or in a URL.
fn is_fit_for_sockets(directory: &Path) -> bool {
    let bytes = directory.as_os_str().as_bytes();
    bytes.len() + SOCKET_NAME_BYTES <= MAX_SOCKET_PATH_BYTES
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(uid: u32, gid: u32) -> Account {
        Account {
            name: "x".to_owned(),
            uid,
            gid,
            is_other: true,
        }
    }

    #[test]
    fn the_first_matching_class_decides_about_entering() {
        for (mode, owner, group, wanted) in [
            (0o755, 0, 0, true),
            (0o750, 0, 0, false),
            (0o700, 10, 0, true),
            (0o677, 10, 20, false),
            (0o710, 0, 20, true),
            (0o701, 0, 20, false),
        ] {
            assert_eq!(
                may_enter(mode, owner, group, &account(10, 20)),
                wanted,
                "{mode:o}"
            );
        }
    }

    #[test]
    fn long_or_odd_socket_directories_are_refused() {
        assert!(is_fit_for_sockets(Path::new("/var/lib/gleaner/run")));
        assert!(!is_fit_for_sockets(Path::new("/home/a b/run")));
        assert!(!is_fit_for_sockets(Path::new("/home/a,b/run")));
        assert!(is_fit_for_sockets(Path::new(&format!(
            "/{}",
            "d".repeat(87)
        ))));
        assert!(!is_fit_for_sockets(Path::new(&format!(
            "/{}",
            "d".repeat(88)
        ))));
    }

    #[test]
    fn instance_names_are_stable() {
        // Published FNV-1a test vectors.
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
        assert_eq!(instance_name(Path::new("/a")).len(), "gleaner-".len() + 16);
    }
}

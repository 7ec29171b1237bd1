//! A private authority and a server's certificate, made by `openssl`.

#![expect(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

use std::process::Command;

use tempfile::TempDir;

use super::tools::skip;

/// `ca.pem`, `server.pem` and `server.key` in a folder of their own.
pub(crate) struct Certificates(TempDir);

impl Certificates {
    /// Makes them for a server of this name (`DNS:…` or `IP:…`); `None`, with a word about it, where there is no `openssl`.
    pub(crate) fn make(name: &str) -> Option<Self> {
        let made = Self(tempfile::tempdir().unwrap());
        std::fs::write(
            made.path("extensions"),
            format!("subjectAltName = {name}\nbasicConstraints = CA:FALSE\n"),
        )
        .unwrap();
        let new_key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        let is_made = made.openssl(&format!(
            "req -x509 {new_key} -days 2 -subj /CN=authority -keyout ca.key -out ca.pem"
        ));
        if !is_made {
            skip("no openssl on this machine");
            return None;
        }
        for step in [
            &format!("req {new_key} -subj /CN=localhost -keyout server.key -out server.csr"),
            "x509 -req -days 2 -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile extensions -out server.pem",
        ] {
            assert!(made.openssl(step), "openssl {step}");
        }
        Some(made)
    }

    /// The path of one of the files.
    pub(crate) fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn openssl(&self, arguments: &str) -> bool {
        Command::new("openssl")
            .args(arguments.split(' '))
            .current_dir(self.0.path())
            .output()
            .is_ok_and(|output| output.status.success())
    }
}

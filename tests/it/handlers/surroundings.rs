//! What a handler has around it: what it was given, and nothing of ours.

use std::time::Duration;

use gleaner::secret::Secret;
use nix::unistd::{User, geteuid};
use serde_json::json;

use super::{pool, rogue_options, run};
use crate::support::skip;

#[tokio::test(flavor = "multi_thread")]
async fn it_has_what_it_was_given_and_nothing_of_ours() {
    let Some(mut options) = rogue_options() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let cwd = folder.path().canonicalize().unwrap();
    options.cwd = Some(cwd.clone());
    options.env = [("API_KEY".to_owned(), Secret::new("given"))].into();
    options.limits.memory_bytes = Some(4 << 30);
    options.limits.open_files = Some(64);
    options.limits.cpu_seconds = Some(600);
    let pool = pool(options);
    let seen = run(&pool, json!({ "do": "surroundings" })).await.unwrap();
    let environment = seen["environment"].as_object().unwrap();
    assert_eq!(environment["API_KEY"], "given");
    assert_eq!(environment["GLEANER_PROTOCOL"], "1");
    assert!(environment.contains_key("PATH"));
    // What the test itself was given by its runner.
    let ours: Vec<&String> = environment
        .keys()
        .filter(|name| {
            name.starts_with("CARGO") || name.starts_with("NEXTEST") || name.starts_with("TEST_")
        })
        .collect();
    assert!(ours.is_empty(), "{ours:?}");
    assert_eq!(seen["descriptors"], json!([0, 1, 2, 3, 4]));
    assert_eq!(seen["no_new_privileges"], "1");
    assert_eq!(seen["blocked"], "0000000000000000");
    assert_eq!(seen["cwd"], cwd.to_str().unwrap());
    assert_eq!(seen["stdin"], "");
    assert_eq!(seen["RLIMIT_AS"], 4_u64 << 30);
    assert_eq!(seen["RLIMIT_NOFILE"], 64);
    assert_eq!(seen["RLIMIT_CPU"], 600);
    assert_eq!(seen["RLIMIT_CORE"], 0);
    pool.close(Duration::from_secs(20)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_runs_as_another_user_where_we_may_say_so() {
    let Some(mut options) = rogue_options() else {
        return;
    };
    if !geteuid().is_root() {
        return skip("only root may become somebody else");
    }
    let nobody = User::from_name("nobody").unwrap().unwrap();
    // Where anybody may read it, with the system's own Python: one in a home of root's is of no use to others.
    let folder = tempfile::Builder::new()
        .prefix("gleaner-rogue-")
        .tempdir_in("/tmp")
        .unwrap();
    let copy = folder.path().join("rogue.py");
    std::fs::copy(&options.command[1], &copy).unwrap();
    let open = |path: &std::path::Path| {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    open(folder.path());
    open(&copy);
    let python = ["/usr/bin/python3", "/usr/local/bin/python3"]
        .into_iter()
        .find(|path| std::path::Path::new(path).is_file());
    let Some(python) = python else {
        return skip("there is no Python that everybody may run");
    };
    options.command = vec![python.to_owned(), copy.display().to_string()];
    options.cwd = Some("/".into());
    options.user = Some("nobody".to_owned());
    let pool = pool(options);
    let seen = run(&pool, json!({ "do": "surroundings" })).await.unwrap();
    assert_eq!(seen["uid"], nobody.uid.as_raw());
    assert_eq!(seen["environment"]["HOME"], nobody.dir.to_str().unwrap());
    // We may end it all the same.
    drop(pool);
}

//! `gleaner bot`: tokens are shown once and stored as hashes.

use crate::cli::gleaner;
use crate::support::TestDatabase;

#[tokio::test]
async fn a_token_is_shown_once_and_stored_nowhere() {
    let database = TestDatabase::new().await;
    let created = gleaner(
        Some(&database),
        &[
            "bot",
            "create",
            "ann",
            "--max-jobs",
            "5",
            "--rate",
            "7",
            "--domain",
            "Shop.Example",
            "--lock-ttl",
            "90",
        ],
    );
    assert_eq!(created.code, 0, "{created:?}");
    let first = created.stdout.trim().to_owned();
    assert_eq!(first.len(), 64, "{created:?}");
    let is_its_hash = |token: &str| format!("SELECT token_hash = sha256('{token}') FROM bot");
    assert!(database.scalar::<bool>(&is_its_hash(&first)).await);
    assert_eq!(
        database
            .rows("SELECT max_jobs_per_pull, rate_limit_per_minute, lock_ttl_seconds, allowed_domains FROM bot")
            .await,
        ["5|7|90|{shop.example}"]
    );
    let rotated = gleaner(Some(&database), &["--json", "bot", "rotate", "ann"]);
    let second = rotated.json()["api_token"]
        .as_str()
        .expect("a token")
        .to_owned();
    assert_ne!(first, second);
    assert!(
        !database.scalar::<bool>(&is_its_hash(&first)).await,
        "the old one is void"
    );
    assert!(database.scalar::<bool>(&is_its_hash(&second)).await);

    let listed = gleaner(Some(&database), &["bot", "list"]);
    assert!(
        listed.stdout.contains("shop.example") && listed.stdout.contains("never"),
        "{listed:?}"
    );
    assert!(!listed.stdout.contains(&second), "{listed:?}");
    assert_eq!(gleaner(Some(&database), &["bot", "disable", "ann"]).code, 0);
    let listed = gleaner(Some(&database), &["bot", "list", "--json"]).json();
    assert_eq!(
        (&listed[0]["bot_id"], &listed[0]["enabled"]),
        (&"ann".into(), &false.into())
    );
    assert_eq!(gleaner(Some(&database), &["bot", "enable", "ann"]).code, 0);

    for (arguments, text) in [
        (&["bot", "create", "ann"][..], "there is a bot \"ann\""),
        (&["bot", "create", " "], "1 to 100 characters"),
        (&["bot", "rotate", "bob"], "there is no bot \"bob\""),
        (&["bot", "disable", "bob"], "there is no bot \"bob\""),
        (&["bot", "create", "x", "--rate", "0"], "0 is not in"),
    ] {
        let ran = gleaner(Some(&database), arguments);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.stderr.contains(text), "{ran:?}");
    }
}

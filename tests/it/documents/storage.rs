//! Which places for files the configuration may name.

use crate::cli::gleaner;

#[test]
fn a_bucket_is_refused_by_a_build_without_s3_and_where_it_is_none() {
    let has_s3 = cfg!(feature = "s3");
    let lacks = "this build has no S3";
    for (storage, problem) in [
        ("/var/lib/gleaner/documents", None),
        ("s3://papers/gleaner", (!has_s3).then_some(lacks)),
        ("s3://papers", (!has_s3).then_some(lacks)),
        (
            "s3://KEY:hush@papers/a",
            Some(if has_s3 {
                "must be s3://BUCKET/PREFIX"
            } else {
                lacks
            }),
        ),
        ("s3:papers", Some("must be a folder, or s3://BUCKET/PREFIX")),
        (
            "gs://papers/a",
            Some("must be a folder, or s3://BUCKET/PREFIX"),
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gleaner.toml");
        std::fs::write(&file, format!("[documents]\nstorage = {storage:?}\n")).unwrap();
        let ran = gleaner(None, &["check-config", "--config", file.to_str().unwrap()]);
        let Some(problem) = problem else {
            assert_eq!(ran.code, 0, "{storage}: {ran:?}");
            continue;
        };
        assert_eq!(ran.code, 2, "{storage}: {ran:?}");
        assert!(ran.stderr.contains("documents.storage"), "{ran:?}");
        assert!(ran.stderr.contains(problem), "{ran:?}");
        assert!(!ran.stderr.contains("hush"), "{ran:?}");
    }
}

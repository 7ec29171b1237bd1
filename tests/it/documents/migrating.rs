//! The guide for teams that come from Flask, Celery and Redis (`docs/migrating/documents.md`): its commands are run as they stand, on the
//! tables and files of such a team.

#![expect(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use gleaner::documents::config::Documents;
use gleaner::documents::processing::DocumentProcessing;
use gleaner::workflow::Workflow as _;
use sha2::{Digest as _, Sha256};

use crate::support::{TestApp, TestDatabase, tools};

const GUIDE: &str = include_str!("../../../docs/migrating/documents.md");

/// The tables of before, as far as anybody has to read them.
const OLD_SCHEMA: &str = "
    CREATE TABLE users (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(), telegram_id bigint UNIQUE NOT NULL, username varchar(255),
        subscription_tier varchar(20) DEFAULT 'free', storage_quota_mb integer DEFAULT 500, storage_used_mb integer DEFAULT 0,
        created_at timestamp DEFAULT now(), last_login timestamp
    );
    CREATE TABLE documents (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
        filename varchar(255) NOT NULL, original_filename varchar(255), mime_type varchar(50), file_size bigint, file_path varchar(500),
        status varchar(20) DEFAULT 'processing', processing_progress integer DEFAULT 0, error_message text, language varchar(10),
        total_chunks integer, total_tokens integer, created_at timestamp DEFAULT now(), updated_at timestamp, doc_metadata json
    )";

/// A document of before: its user, its name then and now, its file, if it is still there, its status, and what becomes of it.
struct Old {
    user: i64,
    uploaded_as: &'static str,
    renamed: &'static str,
    text: Option<&'static str>,
    status: &'static str,
    becomes: &'static str,
}

const fn old(
    user: i64,
    uploaded_as: &'static str,
    renamed: &'static str,
    text: Option<&'static str>,
    status: &'static str,
    becomes: &'static str,
) -> Old {
    Old {
        user,
        uploaded_as,
        renamed,
        text,
        status,
        becomes,
    }
}

const ANN: i64 = 4_711;
const BEN: i64 = 815;

fn documents() -> Vec<Old> {
    vec![
        old(
            ANN,
            "notes.txt",
            "notes.txt",
            Some("Brass kettles boil slowly in the old kitchen."),
            "ready",
            "ready",
        ),
        // The same name at two users, and other bytes.
        old(
            BEN,
            "notes.txt",
            "notes.txt",
            Some("Le bouilloire en cuivre chante dans la cuisine."),
            "ready",
            "ready",
        ),
        // Renamed, to what shells and tables stumble over.
        old(
            ANN,
            "a.md",
            "50% \"off\" it's $HOME\tnow; *.md",
            Some("# Preise\n\nAlle Kessel kosten die Hälfte."),
            "ready",
            "ready",
        ),
        old(
            BEN,
            "-rf.csv",
            "-rf.csv",
            Some("name,price\nkettle,12\n"),
            "processing",
            "ready",
        ),
        old(
            BEN,
            "old.html",
            "old.html",
            Some("<h1>Чайники</h1><p>Медные чайники дешевле.</p>"),
            "failed",
            "ready",
        ),
        // A text before, word by word of what it is packed in.
        old(
            ANN,
            "broken.docx",
            "broken.docx",
            Some("PK\u{3}\u{4} and nothing of an archive behind it"),
            "ready",
            "failed",
        ),
        // Uploaded twice.
        old(
            ANN,
            "again.txt",
            "again.txt",
            Some("Brass kettles boil slowly in the old kitchen."),
            "ready",
            "",
        ),
        old(ANN, "gone.txt", "gone.txt", None, "ready", ""),
    ]
}

/// Makes the old service's rows and files.
async fn plant(old: &TestDatabase, folder: &Path) {
    old.run(OLD_SCHEMA).await;
    let client = old.client().await;
    client
        .execute(
            "INSERT INTO users (telegram_id, storage_quota_mb) VALUES ($1, 500), ($2, 1)",
            &[&ANN, &BEN],
        )
        .await
        .unwrap();
    for (number, document) in documents().iter().enumerate() {
        let path = folder
            .join(document.user.to_string())
            .join(number.to_string())
            .join(document.uploaded_as);
        if let Some(text) = document.text {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
        }
        client
            .execute(
                "INSERT INTO documents (user_id, filename, original_filename, file_size, file_path, status, created_at) \
                 SELECT id, $2, $3, $4, $5, $6, now() - interval '1 day' + $7 * interval '1 second' FROM users WHERE telegram_id = $1",
                &[
                    &document.user,
                    &document.renamed,
                    &document.uploaded_as,
                    &i64::try_from(document.text.unwrap_or_default().len()).unwrap(),
                    &path.to_str().unwrap(),
                    &document.status,
                    &f64::from(u32::try_from(number).unwrap()),
                ],
            )
            .await
            .unwrap();
    }
}

/// The guide's blocks in a language, in their order, without what they are indented by.
fn blocks(language: &str) -> Vec<String> {
    let (mut blocks, mut inside): (Vec<String>, _) = (Vec::new(), false);
    for line in GUIDE
        .lines()
        .map(|line| line.strip_prefix("   ").unwrap_or(line))
    {
        if let Some(begins) = line.strip_prefix("```") {
            inside = begins == language;
            if inside {
                blocks.push(String::new());
            }
        } else if inside {
            let block = blocks.last_mut().unwrap();
            block.push_str(line);
            block.push('\n');
        }
    }
    blocks
}

/// Where the guide's places are in a test.
struct Places<'a> {
    old: &'a TestDatabase,
    /// Where the shell is, and writes.
    folder: &'a Path,
}

impl Places<'_> {
    /// Runs blocks of the guide in one shell, for this database.
    fn run(&self, new: &TestDatabase, blocks: &[String]) {
        let mut script = blocks.concat();
        let storage = new.folder();
        for (written, here) in [
            ("postgres:///gleaner_documents", new.url()),
            ("gleaner_documents", new.name()),
            ("/srv/documents", storage.to_str().unwrap()),
        ] {
            script = script.replace(written, here);
        }
        let program = Path::new(env!("CARGO_BIN_EXE_gleaner")).parent().unwrap();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::iter::once(program.to_owned()).chain(std::env::split_paths(&path));
        let server = url::Url::parse(new.url()).unwrap();
        let ran = Command::new("bash")
            .args(["-u", "-c", &script])
            .current_dir(self.folder)
            .env("PATH", std::env::join_paths(path).unwrap())
            .env("OLD", self.old.url())
            .env("GLEANER_DATABASE__URL", new.url())
            .env("GLEANER_DOCUMENTS__STORAGE", &storage)
            .env("PGHOST", server.host_str().unwrap())
            .env("PGPORT", server.port().unwrap_or(5432).to_string())
            .env("PGUSER", server.username())
            .env("PGPASSWORD", server.password().unwrap_or_default())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ran.stderr);
        assert!(!said.contains("command not found"), "{script}: {said}");
        assert!(!said.contains("unexpected argument"), "{script}: {said}");
    }
}

fn has(program: &str) -> bool {
    let mut asking = Command::new(program);
    let asked = asking.arg("--version").stdout(Stdio::null()).status();
    asked.is_ok_and(|status| status.success())
}

/// Tenant, name, bytes, hash and status of all documents.
const BROUGHT: &str = "SELECT tenant.name, filename, file_size, encode(sha256, 'hex'), status FROM documents JOIN tenant ON tenant.id = tenant_id \
     ORDER BY 1, 2";

#[tokio::test(flavor = "multi_thread")]
async fn a_team_is_taken_over_with_its_users_and_files_by_the_commands_of_the_guide() {
    if let Some(missing) = ["bash", "psql", "createdb"]
        .into_iter()
        .find(|name| !has(name))
    {
        tools::skip(format_args!("{missing} is not installed"));
        return;
    }
    let shell = blocks("sh");
    let [install, tenants, files] = shell.as_slice() else {
        panic!("the guide has other blocks by now: {shell:?}");
    };
    let (old, new) = (TestDatabase::empty().await, TestDatabase::empty().await);
    let folder = tempfile::tempdir().unwrap();
    plant(&old, folder.path()).await;
    let before = old
        .rows("SELECT documents::text FROM documents ORDER BY id")
        .await;
    // It is for the guide to make it.
    let drop_it = format!("DROP DATABASE {}", new.name());
    old.run(&drop_it).await;
    let places = Places {
        old: &old,
        folder: folder.path(),
    };
    places.run(&new, &[install.clone(), tenants.clone()]);
    let keys = fs::read_to_string(folder.path().join("keys.jsonl")).unwrap();
    let named =
        |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["name"].clone();
    let names: BTreeSet<String> = keys
        .lines()
        .map(|line| named(line).as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, BTreeSet::from([of(ANN), of(BEN)]), "{keys}");
    let quotas = "SELECT name, quota_bytes FROM tenant ORDER BY name";
    let expected = [
        format!("{}|524288000", of(ANN)),
        format!("{}|1048576", of(BEN)),
    ];
    assert_eq!(new.rows(quotas).await, expected);

    let app = TestApp::start_on(new, |config| {
        config
            .workflows
            .keep_only(&[DocumentProcessing::NAME.to_owned()]);
        assert!(PathBuf::from(&config.section::<Documents>().storage).is_absolute());
    })
    .await;
    places.run(&app.database, std::slice::from_ref(files));
    app.wait_settled("documents", "process").await;
    let mut expected: Vec<String> = documents()
        .iter()
        .filter(|document| !document.becomes.is_empty())
        .map(|document| {
            let text = document.text.unwrap();
            let hash = Sha256::digest(text)
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>();
            // Names have no control characters.
            let (user, name) = (of(document.user), document.renamed.replace('\t', ""));
            format!("{user}|{name}|{}|{hash}|{}", text.len(), document.becomes)
        })
        .collect();
    expected.sort();
    let mut brought = app.database.rows(BROUGHT).await;
    brought.sort();
    assert_eq!(brought, expected);

    // Twice, and nothing is there twice.
    let state = "SELECT (SELECT count(*) FROM documents), (SELECT count(*) FROM tenant), (SELECT count(*) FROM api_key), \
                 (SELECT sum(used_bytes) FROM tenant), (SELECT sum(reserved_bytes) FROM tenant)";
    let once = app.database.rows(state).await;
    places.run(&app.database, &[tenants.clone(), files.clone()]);
    assert_eq!(app.database.rows(state).await, once);
    let again = fs::read_to_string(folder.path().join("keys.jsonl")).unwrap();
    assert_eq!(again, keys, "a key is shown once");
    // Nothing of the old service was touched.
    let after = old
        .rows("SELECT documents::text FROM documents ORDER BY id")
        .await;
    assert_eq!(after, before);
    app.stop().await;
}

fn of(user: i64) -> String {
    format!("telegram:{user}")
}

/// The guide's statement for what is stuck, on what this program has made.
#[tokio::test(flavor = "multi_thread")]
async fn the_statement_for_stuck_documents_works_as_it_is() {
    let [stuck] = blocks("sql").try_into().unwrap();
    let database = TestDatabase::new().await;
    database
        .run(
            "INSERT INTO tenant (name) VALUES ('a');
             INSERT INTO blob (tenant_id, sha256, bytes, refs) SELECT id, sha256('x'), 1, 2 FROM tenant;
             INSERT INTO documents (tenant_id, filename, original_filename, file_size, sha256, process_status, created_at)
                 SELECT tenant_id, 'x', 'x', 1, sha256, 'Processing', now() - age
                 FROM blob, unnest(ARRAY[interval '2 hours', interval '1 minute']) AS age",
        )
        .await;
    database.run(&stuck).await;
    let rows = "SELECT status, process_status, error_code, retryable FROM documents ORDER BY id";
    assert_eq!(
        database.rows(rows).await,
        ["failed|Error|stopped|t", "processing|Processing||"]
    );
}

/// The table of what was wrong before names a test for each line: one that is there.
#[test]
fn every_defect_is_answered_by_a_test_that_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = GUIDE
        .split("## Where its defects are answered")
        .nth(1)
        .unwrap();
    let mut numbers = Vec::new();
    for line in table.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, number, _, _, named, _] = cells.as_slice() else {
            continue;
        };
        let Ok(number) = number.parse::<usize>() else {
            continue;
        };
        numbers.push(number);
        let tests: Vec<&str> = named.split('`').skip(1).step_by(2).collect();
        assert!(!tests.is_empty(), "no test for defect {number}");
        for test in tests {
            let (file, function) = test
                .split_once("::")
                .unwrap_or_else(|| panic!("{test} names no test"));
            let text = fs::read_to_string(root.join(file)).unwrap_or_else(|_| panic!("no {file}"));
            assert!(
                is_test(&text, function),
                "defect {number}: {test} is no test"
            );
        }
    }
    assert_eq!(numbers, (1..=26).collect::<Vec<_>>());
}

/// Whether a source has a test of this name.
fn is_test(text: &str, name: &str) -> bool {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let is_it = |line: &&str| line.contains(&format!("fn {name}("));
    let at = lines.iter().position(is_it);
    at.is_some_and(|at| {
        let before = lines[..at]
            .iter()
            .rev()
            .take_while(|line| line.starts_with('#') || line.starts_with("//"));
        before
            .into_iter()
            .any(|line| line.starts_with("#[test") || line.starts_with("#[tokio::test"))
    })
}

//! The walks of CONTRIBUTING.md, done: a workflow and a pipeline are added as it says, and are put to what all others fulfil.
//!
//! The code of the walks is compiled into these tests: the files below `walk/` are what it has the reader write, and a test holds
//! the two against each other. Applying the text to a copy of the tree and building that would prove the same, and would cost a
//! minute of processor time at every run, for the program's own crates belong to the path they are built at. What `crate::` leads
//! to here is taken in by `main.rs` and, where a module of these tests has the same name, by that module.
//!
//! So the pipeline of the walk runs in the real program, beside the two that are there: [`App::start_with`] with one area more. What
//! is not run is the compiler on the changed lists. They are compared: the same lines must be there that the walk's files hold, and
//! have the form of those that stand beside them.
//!
//! [`App::start_with`]: gleaner::app::App::start_with

#[expect(
    unreachable_pub,
    dead_code,
    reason = "in the program they are public, and `areas!` runs the commands"
)]
pub(crate) mod links;

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use gleaner::area::Areas;
use gleaner::areas::AREAS;
use gleaner::workflows::find;

use crate::engine::contract::{self, House};

/// What the walks have the reader write as whole files.
const FILES: &[(&str, &str)] = &[
    (
        "src/leads/link_check.rs",
        include_str!("walk/links/link_check.rs"),
    ),
    (
        "migrations/2027-01-04-100000_check_links/up.sql",
        include_str!("walk/up.sql"),
    ),
    (
        "migrations/2027-01-04-100000_check_links/down.sql",
        include_str!("walk/down.sql"),
    ),
    ("src/links.rs", include_str!("walk/links.rs")),
    ("src/links/cli.rs", include_str!("walk/links/cli.rs")),
];

const SECTION: &str = include_str!("walk/gleaner.toml");

/// A block of code of CONTRIBUTING.md that says where it goes: ```` ```rust new src/x.rs ````.
#[derive(Debug)]
struct Block {
    is_new: bool,
    path: String,
    text: String,
}

/// The blocks below a heading, up to the next of its rank.
fn blocks(heading: &str) -> Vec<Block> {
    let document = fs::read_to_string(root().join("CONTRIBUTING.md")).expect("the document");
    let (_, after) = document.split_once(heading).expect("the heading");
    let part = after.split("\n## ").next().unwrap_or(after);
    let part = part.split("\n### ").next().unwrap_or(part);
    let mut blocks = Vec::new();
    let mut lines = part.lines();
    while let Some(line) = lines.next() {
        let Some(kind) = line.strip_prefix("```") else {
            continue;
        };
        let within: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        let words: Vec<&str> = kind.split(' ').collect();
        if let [_, what @ ("new" | "add"), path] = words[..] {
            blocks.push(Block {
                is_new: what == "new",
                path: path.to_owned(),
                text: within.join("\n") + "\n",
            });
        }
    }
    blocks
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Does one walk: how many files are new, and how many have lines added.
fn walk(heading: &str) -> (usize, usize) {
    let blocks = blocks(heading);
    let mut added = Vec::new();
    for Block { is_new, path, text } in &blocks {
        let there = fs::read_to_string(root().join(path)).ok();
        if *is_new {
            assert!(there.is_none(), "{path} is there already");
            let (_, own) = FILES
                .iter()
                .find(|(file, _)| file == path)
                .expect("a file of walk/");
            assert_eq!(
                text, own,
                "{path}: CONTRIBUTING.md and tests/it/walk/ differ"
            );
            continue;
        }
        let there = there.unwrap_or_else(|| panic!("{path} is not there"));
        added.push(path);
        if path == "config/gleaner.toml" {
            assert_eq!(text, SECTION, "CONTRIBUTING.md and tests/it/walk/ differ");
            assert!(there.contains("\n[workflows."), "{path} has other sections");
            continue;
        }
        for line in text.lines() {
            assert!(!there.contains(line), "{path} has {line} already");
            // Beside others of its form: up to the name, and from its end on.
            let start = line.to_lowercase().find("link").expect("its name");
            let end = line.trim_end_matches(|letter: char| !letter.is_alphanumeric());
            let (before, after) = (&line[..start], &line[end.len()..]);
            assert!(
                there
                    .lines()
                    .any(|own| own.starts_with(before) && own.ends_with(after)),
                "{path} has no line like {line:?}"
            );
            let is_of_area = path == "src/leads.rs";
            let bare = line.trim().trim_end_matches(',');
            let (_, area) = FILES[3];
            assert!(
                !is_of_area || area.contains(bare),
                "{bare} is not what is compiled here"
            );
        }
    }
    added.sort();
    added.dedup();
    (
        blocks.iter().filter(|block| block.is_new).count(),
        added.len(),
    )
}

#[test]
fn a_workflow_is_its_file_its_migration_its_section_and_its_line() {
    let (new, added) = walk("### A workflow\n");
    println!("a workflow: {new} new files, lines in {added} others");
    // The workflow; the migration, forth and back. Its area's list (with the mod line beside it), and the configuration.
    assert_eq!((new, added), (3, 2));
}

#[test]
fn a_pipeline_is_its_folder_and_a_line() {
    let (new, added) = walk("### A pipeline\n");
    println!("a pipeline: {new} new files, lines in {added} others");
    // The area and its commands. The list of areas, and the mod line in lib.rs.
    assert_eq!((new, added), (2, 2));
    assert_eq!(links::AREA.name, "links");
}

/// The program with the walk's pipeline beside its own.
fn house() -> House {
    static AREAS_AND_LINKS: LazyLock<Areas> = LazyLock::new(|| {
        let all: Vec<_> = AREAS.iter().copied().chain([&links::AREA]).collect();
        Areas::of(&all)
    });
    let own = (links::AREA.workflows)();
    let all = AREAS_AND_LINKS.workflows();
    let own = own.iter().filter_map(|known| find(all, known.name));
    House {
        areas: &AREAS_AND_LINKS,
        workflows: own.collect(),
        configuration: Some((
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/walk/gleaner.toml"),
            SECTION,
        )),
        migration: include_str!("walk/up.sql"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_walk_adds_lacks_nothing_and_its_migration_can_be_taken_back() {
    let house = house();
    assert_eq!(house.workflows.len(), 1);
    assert_eq!(contract::forgotten(&house).await, Vec::<String>::new());
    let database = house.database().await;
    database.run(include_str!("walk/down.sql")).await;
    database.run(include_str!("walk/up.sql")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_walk_adds_works_its_sample_through() {
    contract::works_its_sample(&house()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_walk_adds_survives_rows_that_hold_anything() {
    contract::survives_anything(&house()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_walk_adds_is_paused_by_rows() {
    contract::is_paused_by_rows(&house()).await;
}

/// What whoever leaves out a step is told.
#[tokio::test(flavor = "multi_thread")]
async fn who_forgets_the_section_is_told() {
    let house = House {
        configuration: None,
        ..house()
    };
    let told = house.load().unwrap_err().to_string();
    assert_eq!(
        told,
        "workflows.link-check: no such section: write [workflows.link-check] with all its keys into config/gleaner.toml"
    );
    assert_eq!(
        contract::forgotten(&house).await,
        [&*told, "config/gleaner.toml has no [workflows.link-check]"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_forgets_the_migration_is_told() {
    let house = House {
        migration: "",
        ..house()
    };
    assert_eq!(
        contract::forgotten(&house).await,
        [
            "link-check has no stage in the database: a migration has to SELECT gleaner_add_stage('page', 'link_check')"
        ]
    );
}

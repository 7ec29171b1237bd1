//! The house's rules that a program can check: who imports whom, what the documents name, what files look like.
//!
//! A **room** is a file or a folder of `src/`, by its module path; the longest that fits has the file. [`ROOMS`] says of each room
//! whom it may name, and is exact: what it allows is made use of. The crates of the workspace stand in it like rooms.
//!
//! **Circles.** What a file names is read by `modules.rs`, which follows paths through re-exports to the file that defines what is
//! meant. Neither rooms nor files may name each other in a circle. Three things close none:
//!
//! - `mod child;`, which only says that it is there;
//! - `pub use child::Item` in a file above the child: it shows what the child defines;
//! - between files, what a file names of those above it (`super::Config`). The file above a folder is both the floor that all in
//!   it stand on and the door by which others come in. Were it counted, nearly every folder would be a circle, and only files
//!   that do one of the two could stand above one. Between rooms it counts, so where the two are to be told apart, the file and
//!   what is below it (`a::*`) are two rooms.
//!
//! So what files beside each other share belongs above them, or in a file that names neither. Methods are called without a path and
//! not seen: who gives a type of one file methods in another keeps what they call in the file of the type, or below it.

mod modules;
mod reading;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

use modules::Tree;

/// Room, and whom it may name. `a` is the file `a.rs` and all below `a/`, `a::*` only what is below; `lib` and `main` are the
/// roots. Where the table is not right, the test prints what is there, to be judged and taken over.
const ROOMS: &[(&str, &str)] = &[
    (
        "app",
        "app::state area areas config db descriptors gleaner_actors http live metrics redis settings store telemetry upkeep web workflow workflows",
    ),
    (
        "app::state",
        "config db gleaner_actors live redis store workflows",
    ),
    (
        "area",
        "app::state config db demo gleaner_actors http settings store workflows",
    ),
    // And every area, by a macro.
    ("areas", "area config console settings store workflows"),
    (
        "bench",
        "app::state areas child config db documents gleaner_actors gleaner_parse http leads live metrics pipeline prices redis secret store telemetry web workflow",
    ),
    ("child", ""),
    (
        "cli",
        "app area areas bench config console custom db demo descriptors documents embedded gleaner_actors gleaner_extract gleaner_parse metrics prices redis secret settings signals store telemetry tls web workflows",
    ),
    ("compute", ""),
    (
        "config",
        "db embedded gleaner_actors gleaner_extract http::config redis secret settings store telemetry web workflow",
    ),
    ("console", "config db settings telemetry"),
    ("db", "gleaner_actors secret telemetry tls"),
    ("demo", ""),
    ("descriptors", ""),
    ("embedded", "child"),
    ("fault", "db"),
    ("health", "app::state db fault gleaner_actors redis store"),
    (
        "http",
        "app::state config db descriptors gleaner_actors health http::config metrics secret store telemetry upkeep workflows",
    ),
    ("http::config", "secret settings"),
    (
        "leads",
        "area compute config console db demo fault gleaner_extract http live secret settings store telemetry web workflow workflows",
    ),
    ("lib", ""),
    ("live", ""),
    ("main", "cli console embedded gleaner_parse signals"),
    ("metrics", "gleaner_actors"),
    (
        "pipeline",
        "db gleaner_actors live store telemetry workflow",
    ),
    (
        "prices",
        "app::state area compute config console db demo gleaner_actors gleaner_extract http http::config live metrics redis secret settings store telemetry upkeep web workflow workflows",
    ),
    ("redis", "metrics secret telemetry tls web"),
    ("secret", ""),
    ("settings", "gleaner_actors"),
    ("signals", ""),
    ("store", "db gleaner_actors"),
    ("telemetry", ""),
    ("tls", ""),
    (
        "upkeep",
        "app::state db gleaner_actors metrics store telemetry",
    ),
    (
        "web",
        "child compute descriptors fault gleaner_extract metrics tls",
    ),
    (
        "workflow",
        "fault gleaner_extract live redis settings store telemetry web",
    ),
    (
        "workflows",
        "config db gleaner_actors live pipeline store workflow",
    ),
];

/// Whom an area may name that has no row above.
const AREA_MAY: &str = "app::state area child compute config console db demo fault gleaner_actors gleaner_extract gleaner_parse http live metrics redis secret settings store telemetry tls upkeep web workflow workflows";

/// Circles from before they were checked, each by one of its edges: crate, who names, whom. Without these edges there is none.
/// The list only gets shorter.
const CIRCLES: &[(&str, &str, &str)] = &[];

/// The crates of the workspace: name, folder, binaries beside the library, and what they may not name. `gleaner` is the program;
/// `x*` is whatever begins so.
const CRATES: &[(&str, &str, &[&str], &[&str])] = &[
    ("gleaner", "src", &["main.rs"], &["ractor"]),
    (
        "gleaner_actors",
        "actors/src",
        &[],
        &[
            "axum",
            "deadpool",
            "diesel*",
            "fred",
            "gleaner",
            "gleaner_extract",
            "gleaner_parse",
            "http",
            "hyper*",
            "reqwest",
            "scraper",
            "tokio_postgres*",
            "tower",
            "url",
        ],
    ),
    (
        "gleaner_extract",
        "extract/src",
        &[],
        &[
            "axum",
            "deadpool",
            "diesel*",
            "fred",
            "futures*",
            "gleaner",
            "gleaner_actors",
            "gleaner_parse",
            "http",
            "hyper*",
            "ractor",
            "reqwest",
            "tokio*",
            "tower",
        ],
    ),
    (
        "gleaner_parse",
        "parse/src",
        &[],
        &[
            "axum",
            "deadpool",
            "diesel*",
            "fred",
            "futures*",
            "gleaner",
            "gleaner_actors",
            "http",
            "hyper*",
            "ractor",
            "reqwest",
            "tokio*",
            "tower",
        ],
    ),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of ours").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// The modules of a crate of ours.
fn read(name: &str) -> Tree {
    let known = CRATES.iter().find(|(known, ..)| *known == name);
    let (_, folder, binaries, _) = known.expect("a crate of ours");
    let folder = root().join(folder);
    let binaries: Vec<PathBuf> = binaries.iter().map(|file| folder.join(file)).collect();
    let text = |file: &Path| fs::read_to_string(file).ok();
    Tree::read(name, &folder.join("lib.rs"), &binaries, &text)
}

/// The room of a module: the longest that fits.
fn room_of<'a>(module: &str, rooms: &[&'a str]) -> Option<&'a str> {
    let fits = |room: &&&str| {
        let below = room.strip_suffix("::*");
        let rest = module.strip_prefix(below.unwrap_or(room));
        rest.is_some_and(|rest| rest.starts_with("::") || (rest.is_empty() && below.is_none()))
    };
    let fitting = rooms.iter().filter(fits);
    fitting.max_by_key(|room| room.len()).copied()
}

type Graph = BTreeMap<String, BTreeSet<String>>;

/// The circles of a graph: for each edge that is part of one, the shortest through it. Each once, short ones first.
fn circles(graph: &Graph) -> Vec<Vec<String>> {
    let mut found = BTreeSet::new();
    for (from, names) in graph {
        for to in names {
            let Some(mut circle) = shortest(graph, to, from) else {
                continue;
            };
            let least = (0..circle.len()).min_by_key(|at| &circle[*at]);
            circle.rotate_left(least.unwrap_or_default());
            found.insert((circle.len(), circle));
        }
    }
    found.into_iter().map(|(_, circle)| circle).collect()
}

/// A shortest way between two nodes, both of them in it.
fn shortest(graph: &Graph, from: &str, to: &str) -> Option<Vec<String>> {
    let mut reached = BTreeMap::from([(from, None)]);
    let mut next = VecDeque::from([from]);
    while let Some(here) = next.pop_front() {
        if here == to {
            let way = std::iter::successors(Some(to), |at| reached.get(at).copied().flatten());
            let mut way: Vec<String> = way.map(str::to_owned).collect();
            way.reverse();
            return Some(way);
        }
        for name in graph.get(here).into_iter().flatten() {
            if !reached.contains_key(name.as_str()) {
                reached.insert(name, Some(here));
                next.push_back(name);
            }
        }
    }
    None
}

/// Who names whom: a path by which it does, with the file that has it.
type Uses = BTreeMap<(String, String), String>;

/// Who names whom among whatever `place` puts the modules into.
fn uses(tree: &Tree, place: impl Fn(&str) -> String) -> Uses {
    let mut uses = Uses::new();
    for ((from, to), edge) in tree.edges() {
        let ends = (place(&from), place(&to));
        if !edge.is_face && ends.0 != ends.1 {
            let told = || format!("{from}: {}", edge.written);
            uses.entry(ends).or_insert_with(told);
        }
    }
    uses
}

/// Its circles, apart from those that these edges close: `a → b → a`, and the path behind each arrow.
fn told_circles(uses: &Uses, without: &[(&str, &str)]) -> Vec<String> {
    let mut graph = Graph::new();
    for (from, to) in uses.keys() {
        if !without.contains(&(from, to)) {
            graph.entry(from.clone()).or_default().insert(to.clone());
        }
    }
    let tell = |circle: Vec<String>| {
        let next = circle.iter().cycle().skip(1);
        let paths = circle.iter().zip(next.clone()).map(|(from, to)| {
            let ends = (from.clone(), to.clone());
            format!("\n    {}", uses[&ends])
        });
        let paths: String = paths.collect();
        let names: Vec<&str> = circle
            .iter()
            .chain(&circle[..1])
            .map(String::as_str)
            .collect();
        names.join(" → ") + &paths
    };
    circles(&graph).into_iter().map(tell).collect()
}

/// The circles of a crate, of its files and of its rooms. Those of a crate without a table are its uppermost modules.
fn circles_of(tree: &Tree, rooms: &[&str], without: &[(&str, &str)]) -> Vec<String> {
    let mut files = uses(tree, str::to_owned);
    files.retain(|(from, to), _| !from.starts_with(&format!("{to}::")));
    let rooms = uses(tree, |module| {
        let uppermost = module.split("::").next().unwrap_or(module);
        room_of(module, rooms).unwrap_or(uppermost).to_owned()
    });
    let files = told_circles(&files, without)
        .into_iter()
        .map(|circle| format!("files: {circle}"));
    let rooms = told_circles(&rooms, without)
        .into_iter()
        .map(|circle| format!("rooms: {circle}"));
    rooms.chain(files).collect()
}

/// The rooms of a crate: the program's have a table.
fn rooms(name: &str) -> Vec<&'static str> {
    if name == "gleaner" {
        ROOMS.iter().map(|(room, _)| *room).collect()
    } else {
        Vec::new()
    }
}

/// Whom each room names, crates of ours included, and by which path.
fn named(tree: &Tree, rooms: &[&str]) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut named: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    let room = |module: &str| room_of(module, rooms).map(str::to_owned);
    let mut add = |from: &str, to: Option<String>, path: String| {
        if let (Some(from), Some(to)) = (room(from), to)
            && from != to
        {
            named.entry(from).or_default().entry(to).or_insert(path);
        }
    };
    for ((from, to), edge) in tree.edges() {
        add(&from, room(&to), format!("{from}: {}", edge.written));
    }
    for (from, name) in tree.foreign() {
        if CRATES.iter().any(|(known, ..)| *known == name) {
            add(&from, Some(name.clone()), format!("{from}: {name}"));
        }
    }
    named
}

/// What is wrong with a table of rooms.
fn wrong_rooms(tree: &Tree, table: &[(&str, &str)]) -> Vec<String> {
    let rooms: Vec<&str> = table.iter().map(|(room, _)| *room).collect();
    let mut wrong = Vec::new();
    let mut used = BTreeSet::new();
    // Of what is in no room, the uppermost module could be one.
    let mut right = BTreeSet::new();
    for module in tree.files() {
        if let Some(room) = room_of(&module, &rooms) {
            used.insert(room);
            right.insert(room.to_owned());
        } else {
            right.extend(module.split("::").next().map(str::to_owned));
            wrong.push(format!("{module} is in no room"));
        }
    }
    let right: Vec<&str> = right.iter().map(String::as_str).collect();
    let named = named(tree, &right);
    let nobody = BTreeMap::new();
    let names = |room: &str| named.get(room).unwrap_or(&nobody);
    for (room, allowed) in table {
        if !used.contains(room) {
            wrong.push(format!("{room} is a room without a file"));
        }
        let allowed: Vec<&str> = allowed.split_whitespace().collect();
        for (name, path) in names(room) {
            if !allowed.contains(&name.as_str()) {
                wrong.push(format!("{room} may not name {name}, but {path}"));
            }
        }
        for name in allowed {
            if !names(room).contains_key(name) {
                wrong.push(format!("{room} may name {name} and does not"));
            }
        }
    }
    let right = right.into_iter().map(|room| {
        let names: Vec<&str> = names(room).keys().map(String::as_str).collect();
        format!("    ({room:?}, {:?}),\n", names.join(" "))
    });
    let right: String = right.collect();
    if !wrong.is_empty() {
        wrong.push(format!("as it is:\n{right}"));
    }
    wrong
}

/// The table, and for each area that has no row of its own a room that may name what areas may.
fn rooms_and_areas(tree: &Tree) -> Vec<(&'static str, String)> {
    let mut table: Vec<(&str, String)> = ROOMS
        .iter()
        .map(|(room, may)| (*room, (*may).to_owned()))
        .collect();
    for area in gleaner::areas::AREAS.iter().map(|area| area.name) {
        if !ROOMS.iter().any(|(room, _)| *room == area) {
            let rooms: Vec<&str> = rooms("gleaner").into_iter().chain([area]).collect();
            let names = named(tree, &rooms).remove(area).unwrap_or_default();
            let allowed = AREA_MAY.split_whitespace();
            let used: Vec<&str> = allowed.filter(|name| names.contains_key(*name)).collect();
            table.push((area, used.join(" ")));
        }
    }
    table
}

#[test]
fn rooms_name_only_whom_they_may() {
    let tree = read("gleaner");
    let table = rooms_and_areas(&tree);
    let table: Vec<(&str, &str)> = table.iter().map(|(room, may)| (*room, &**may)).collect();
    let wrong = wrong_rooms(&tree, &table);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_goes_in_circles() {
    let mut wrong = Vec::new();
    for (name, ..) in CRATES {
        let (tree, rooms) = (read(name), rooms(name));
        let known = CIRCLES.iter().filter(|(of, ..)| of == name);
        let known: Vec<(&str, &str)> = known.map(|(_, from, to)| (*from, *to)).collect();
        let left = circles_of(&tree, &rooms, &known);
        wrong.extend(left.iter().map(|circle| format!("{name}, {circle}")));
        for edge in &known {
            let others = known.iter().copied().filter(|other| other != edge);
            let others: Vec<(&str, &str)> = others.collect();
            if left.is_empty() && circles_of(&tree, &rooms, &others).is_empty() {
                wrong.push(format!(
                    "{name}: {edge:?} closes no circle: take it from CIRCLES"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Also that the checks above see all there is.
#[test]
fn crates_know_only_what_they_may_and_have_no_stray_files() {
    let mut wrong = Vec::new();
    for (name, folder, _, forbidden) in CRATES {
        let tree = read(name);
        for (module, foreign) in tree.foreign() {
            let is_meant = |word: &&&str| match word.strip_suffix('*') {
                Some(start) => foreign.starts_with(start),
                None => foreign == **word,
            };
            if forbidden.iter().any(|word| is_meant(&word)) {
                wrong.push(format!("{name}: {module} names {foreign}"));
            }
        }
        for file in tree.missing() {
            wrong.push(format!("{} is not there", file.display()));
        }
        let declared = tree.all_files();
        for file in rust_files(&root().join(folder)) {
            if !declared.contains(file.as_path()) {
                wrong.push(format!("{} is no module of {name}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_path_the_documents_name_exists() {
    for document in ["ARCHITECTURE.md", "CONTRIBUTING.md", "README.md"] {
        let text = fs::read_to_string(root().join(document)).expect(document);
        for name in text.split('`').skip(1).step_by(2) {
            let is_path = !name.contains([' ', '*', '<', '{', ':', '$', '='])
                && (name.contains('/') || name.ends_with(".md"))
                && [
                    "src/",
                    "actors/",
                    "extract/",
                    "parse/",
                    "config/",
                    "migrations/",
                    "deploy/",
                    "tests/",
                    "bench/",
                    ".ci/",
                    "scripts/",
                ]
                .iter()
                .any(|folder| name.starts_with(folder));
            if is_path {
                assert!(
                    root().join(name).exists(),
                    "{document} names {name}, which is not there"
                );
            }
        }
    }
}

/// Whether a test sleeps anywhere but in a helper that says what it waits for.
fn sleeps(text: &str) -> bool {
    text.contains("time::sleep(") && !text.contains("async fn wait_until")
}

#[test]
fn files_are_in_good_order() {
    let mut wrong = Vec::new();
    for folder in [
        "src",
        "actors/src",
        "actors/tests",
        "extract/src",
        "parse/src",
        "tests",
    ] {
        for file in rust_files(&root().join(folder)) {
            let text = fs::read_to_string(&file).expect("a file of ours");
            let shown = file
                .strip_prefix(root())
                .unwrap_or(&file)
                .display()
                .to_string();
            if file.file_name().is_some_and(|name| name == "mod.rs") {
                wrong.push(format!(
                    "{shown}: modules are foo.rs and foo/, never mod.rs"
                ));
            }
            if !text.starts_with("//!") && !text.starts_with("#!") {
                wrong.push(format!("{shown}: begins without saying what it is"));
            }
            if text
                .lines()
                .any(|line| line.ends_with(' ') || line.ends_with('\t'))
            {
                wrong.push(format!("{shown}: trailing white space"));
            }
            // What is generated has the length it has.
            if text.lines().count() > 900 {
                wrong.push(format!("{shown}: {} lines; split it", text.lines().count()));
            }
            // The helpers that wait for a condition are the one place that may.
            let is_test = folder.ends_with("tests") && !shown.contains("support");
            if is_test && shown != "tests/it/tidy.rs" && sleeps(&text) {
                wrong.push(format!(
                    "{shown}: sleeps; wait for a condition with a deadline"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

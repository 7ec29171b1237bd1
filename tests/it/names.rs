//! What is written is listed, and a name is written once: read from the sources.
//!
//! A workflow that is in no area's list, and an area that is in no list of areas, compile and never run. And whoever renames a
//! workflow changes its `NAME` and its section in the configuration: a name that stands anywhere else as a value would be the
//! old one, and nothing would tell.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use gleaner::area::Area;
use gleaner::areas::{self, AREAS};
use syn::buffer::{Cursor, TokenBuffer};
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, ImplItem, Item, Lit, Meta, Type};

/// The files below `src/`, by their paths from there.
fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder of the source") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let own = path.strip_prefix(&root).expect("below it").to_owned();
            // What is no text names nothing.
            if let Ok(text) = fs::read_to_string(&path) {
                found.push((own, text));
            }
        }
    }
    found.sort();
    found
}

/// What a file of Rust says of workflows and areas.
#[derive(Debug, Default)]
struct Found {
    /// The types that implement `Configured`.
    configured: BTreeSet<String>,
    /// The types that implement `Workflow`, and their names.
    names: Vec<(String, String)>,
    /// Whether it has a `static AREA`.
    has_area: bool,
    /// Every text in it that is no `NAME`, no attribute and not for tests.
    texts: Vec<String>,
}

impl Found {
    fn read(rust: &str) -> Self {
        let file = syn::parse_file(rust).expect("a file of Rust");
        let mut found = Self::default();
        found.visit_file(&file);
        found
    }

    fn tokens(&mut self, mut cursor: Cursor<'_>) {
        while !cursor.eof() {
            if let Some((literal, after)) = cursor.literal() {
                if let Ok(Lit::Str(text)) = syn::parse_str::<Lit>(&literal.to_string()) {
                    self.texts.push(text.value());
                }
                cursor = after;
            } else if let Some((_, after)) =
                cursor.punct().filter(|(mark, _)| mark.as_char() == '#')
            {
                // An attribute, or a comment, which is one.
                cursor = after.any_group().map_or(after, |(_, _, _, behind)| behind);
            } else if let Some((within, _, _, after)) = cursor.any_group() {
                self.tokens(within);
                cursor = after;
            } else if let Some((_, after)) = cursor.token_tree() {
                cursor = after;
            } else {
                break;
            }
        }
    }
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) => {
            list.path.is_ident("cfg") && list.tokens.to_string().starts_with("test")
        }
        meta => meta.path().is_ident("test"),
    })
}

fn text_of(value: &Expr) -> Option<String> {
    match value {
        Expr::Lit(literal) => match &literal.lit {
            Lit::Str(text) => Some(text.value()),
            _ => None,
        },
        _ => None,
    }
}

impl<'ast> Visit<'ast> for Found {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes = match item {
            Item::Mod(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            Item::Const(item) => &item.attrs,
            _ => return visit::visit_item(self, item),
        };
        if !is_for_tests(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_static(&mut self, item: &'ast syn::ItemStatic) {
        self.has_area |= item.ident == "AREA";
        visit::visit_item_static(self, item);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        let last = |path: &syn::Path| path.segments.last().map(|part| part.ident.to_string());
        let of = match &*item.self_ty {
            Type::Path(path) => last(&path.path),
            _ => None,
        };
        let of = of.unwrap_or_default();
        let implements = item.trait_.as_ref().and_then(|(_, path, _)| last(path));
        for inner in &item.items {
            match inner {
                ImplItem::Const(constant)
                    if constant.ident == "NAME" && implements.as_deref() == Some("Workflow") =>
                {
                    let name = text_of(&constant.expr).expect("a NAME that is a text");
                    self.names.push((of.clone(), name));
                }
                inner => visit::visit_impl_item(self, inner),
            }
        }
        if implements.as_deref() == Some("Configured") {
            self.configured.insert(of);
        }
    }

    fn visit_lit_str(&mut self, text: &'ast syn::LitStr) {
        self.texts.push(text.value());
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.tokens(TokenBuffer::new2(call.tokens.clone()).begin());
    }

    /// What clap and serde are told stands in the documents, too; and comments are attributes.
    fn visit_attribute(&mut self, _attribute: &'ast Attribute) {}
}

/// The workflows in these files that no area lists.
fn unlisted(files: &[(PathBuf, String)], listed: &[&str]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (path, text) in files.iter().filter(|(path, _)| is_rust(path)) {
        let found = Found::read(text);
        for (of, name) in &found.names {
            if found.configured.contains(of) && !listed.contains(&&**name) {
                wrong.push(format!(
                    "{}: no AREA lists {name}, it will never run: Known::of::<{of}>() belongs into its area's workflows",
                    path.display()
                ));
            }
        }
    }
    wrong
}

/// The areas in these files that `areas!` does not list, or that are called otherwise than their folder.
fn unlisted_areas(files: &[(PathBuf, String)], listed: &[&Area]) -> Vec<String> {
    let with_area = files
        .iter()
        .filter(|(path, text)| is_rust(path) && Found::read(text).has_area);
    with_area
        .filter(|(path, _)| {
            let module = path.with_extension("");
            !listed
                .iter()
                .any(|area| Path::new(area.name) == module.as_path())
        })
        .map(|(path, _)| {
            format!(
                "{}: its AREA is not among areas! in src/areas.rs under the name of this file",
                path.display()
            )
        })
        .collect()
}

fn is_rust(path: &Path) -> bool {
    path.extension().is_some_and(|kind| kind == "rs")
}

/// A workflow's name, or its stage's, as a text of code would have it, rather than a sentence for people: alone, in quotes, or as
/// part of a key.
fn is_value(text: &str, name: &str) -> bool {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || ['-', '_'].contains(&letter);
    text.match_indices(name).any(|(start, _)| {
        let before = text[..start].chars().next_back();
        let after = text[start + name.len()..].chars().next();
        if before.is_some_and(is_part) || after.is_some_and(is_part) {
            return false;
        }
        let is_alone = before.is_none() && after.is_none();
        is_alone
            || name.contains('/')
            || [before, after].iter().any(|sign| {
                sign.is_some_and(|sign| ['\'', '"', '`', '[', ']', '='].contains(&sign))
            })
            || before == Some('.')
            || text[start + name.len()..]
                .strip_prefix('.')
                .is_some_and(|rest| rest.starts_with(char::is_alphabetic))
    })
}

/// The names that stand where they may not.
fn repeated(files: &[(PathBuf, String)], names: &[String]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (path, text) in files {
        // A file of tests, which the module above it takes in as such.
        if path.file_name().is_some_and(|name| name == "tests.rs")
            || path
                .components()
                .any(|part| part.as_os_str() == "snapshots")
        {
            continue;
        }
        let texts = if is_rust(path) {
            Found::read(text).texts
        } else {
            let lines = text
                .lines()
                .map(|line| line.split("--").next().unwrap_or(line));
            lines.map(str::to_owned).collect()
        };
        for name in names {
            let in_variables = name.to_uppercase().replace('-', "_");
            let is_there = |text: &String| {
                is_value(text, name) || (name.contains('-') && text.contains(&in_variables))
            };
            for text in texts.iter().filter(|text| is_there(text)) {
                wrong.push(format!("{}: {name} in {text:?}", path.display()));
            }
        }
    }
    wrong
}

/// What every workflow is called, and its stage.
fn names() -> Vec<String> {
    let known = areas::workflows().iter();
    known
        .flat_map(|known| [known.name.to_owned(), known.stage.name()])
        .collect()
}

#[test]
fn every_workflow_is_in_its_area_s_list() {
    let listed: Vec<&str> = areas::workflows().iter().map(|known| known.name).collect();
    let sources = sources();
    assert_eq!(unlisted(&sources, &listed), Vec::<String>::new());
    // And all of them are seen.
    let seen = unlisted(&sources, &[]);
    assert_eq!(seen.len(), listed.len(), "{seen:?}");
}

#[test]
fn every_area_is_in_the_list_of_areas_under_the_name_of_its_folder() {
    let sources = sources();
    assert_eq!(unlisted_areas(&sources, AREAS), Vec::<String>::new());
    assert_eq!(unlisted_areas(&sources, &[]).len(), AREAS.len());
}

/// As the walk through CONTRIBUTING.md would be told that leaves the lists out.
#[test]
fn a_workflow_and_an_area_that_are_in_no_list_are_found() {
    let files = [
        ("links.rs", include_str!("walk/links.rs")),
        ("links/cli.rs", include_str!("walk/links/cli.rs")),
        (
            "links/link_check.rs",
            include_str!("walk/links/link_check.rs"),
        ),
    ];
    let files = files.map(|(path, text)| (PathBuf::from(path), text.to_owned()));
    assert_eq!(
        unlisted(&files, &["deep-scan"]),
        [
            "links/link_check.rs: no AREA lists link-check, it will never run: Known::of::<LinkCheck>() belongs into its area's workflows"
        ]
    );
    assert_eq!(unlisted(&files, &["link-check"]), Vec::<String>::new());
    assert_eq!(
        unlisted_areas(&files, AREAS),
        ["links.rs: its AREA is not among areas! in src/areas.rs under the name of this file"]
    );
    let listed = [&crate::walk::links::AREA];
    assert_eq!(unlisted_areas(&files, &listed), Vec::<String>::new());
}

#[test]
fn a_workflow_s_name_stands_in_its_own_file_and_the_configuration_alone() {
    let wrong = repeated(&sources(), &names());
    assert!(
        wrong.is_empty(),
        "take it from the workflow's NAME, or from stage().name():\n{}",
        wrong.join("\n")
    );
}

#[test]
fn names_that_stand_elsewhere_are_found() {
    let names = ["deep-scan".to_owned(), "place/deep_scan".to_owned()];
    let told = |path: &str, text: &str| {
        let files = [(PathBuf::from(path), text.to_owned())];
        repeated(&files, &names).len()
    };
    for rust in [
        r#"fn f() { g("deep-scan") }"#,
        r#"fn f() { format!("VALUES ('deep-scan', {x})") }"#,
        r#"const KEY: &str = "workflows.deep-scan.options.api_key";"#,
        r#"const KEY: &str = "[workflows.deep-scan]";"#,
        r#"const KEY: &str = "GLEANER_WORKFLOWS__DEEP_SCAN__ENABLED";"#,
        r#"static STAGE: &str = "place/deep_scan";"#,
        r#"impl Section for X { const NAME: &str = "deep-scan"; }"#,
    ] {
        assert_eq!(told("a.rs", rust), 1, "{rust}");
    }
    for rust in [
        r#"impl Workflow for X { const NAME: &'static str = "deep-scan"; }"#,
        r#"fn f() { g("what deep-scan finds. deep-scan rests then") }"#,
        r#"fn f() { g("SELECT deep_scan_status FROM place") }"#,
        r#"#[cfg(test)] mod tests { const A: &str = "deep-scan"; }"#,
        r#"#[command(about = "workflows.deep-scan.enabled")] struct X;"#,
        "/// \"deep-scan\"\nfn f() {} // \"deep-scan\"",
    ] {
        assert_eq!(told("a.rs", rust), 0, "{rust}");
    }
    assert_eq!(told("a.sql", "SELECT 'deep-scan' -- it"), 1);
    assert_eq!(told("a.sql", "SELECT 1 -- 'deep-scan'"), 0);
    assert_eq!(told("a.sql", "WHERE stage = 'place/deep_scan'"), 1);
}

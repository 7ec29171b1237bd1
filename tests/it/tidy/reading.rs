//! That the rules about modules are checked on what stands there: small crates, and what is read from them.

use std::path::Path;

use super::modules::Tree;
use super::{Graph, circles, circles_of, room_of, wrong_rooms};

/// A crate `house` of these files.
fn house(files: &[(&str, &str)]) -> Tree {
    let text = |file: &Path| {
        let found = files.iter().find(|(name, _)| Path::new(name) == file);
        found.map(|(_, text)| (*text).to_owned())
    };
    Tree::read("house", Path::new("lib.rs"), &[], &text)
}

/// Its edges, as `a b`; `a b (face)` where one only shows the other.
fn edges(tree: &Tree) -> Vec<String> {
    let edges = tree.edges().into_iter();
    let told = edges.map(|((from, to), edge)| {
        let face = if edge.is_face { " (face)" } else { "" };
        format!("{from} {to}{face}")
    });
    told.collect()
}

/// `b.rs` shows what `b/inner.rs` defines; `b/inner/deep.rs` is there too, and `c.rs`.
fn house_with(text: &str) -> Tree {
    house(&[
        ("lib.rs", "mod a; mod b; mod c;"),
        ("a.rs", text),
        (
            "a/child.rs",
            "use super::super::c::Other; pub fn go() { super::own() }",
        ),
        (
            "b.rs",
            "pub mod inner; pub mod both; pub use inner::{Thing, make as made}; pub use std::fmt; pub fn both() {} made_by_macro!{}",
        ),
        (
            "b/inner.rs",
            "pub mod deep; pub struct Thing; pub fn make() {}",
        ),
        ("b/inner/deep.rs", "pub fn dig() {}"),
        ("b/both.rs", "pub fn more() {}"),
        ("c.rs", "pub struct Other; pub mod within { pub fn f() {} }"),
    ])
}

/// What `a.rs` names when this is its text.
fn named_by(text: &str) -> Vec<String> {
    let edges = edges(&house_with(text)).into_iter();
    let of_a = edges.filter_map(|edge| edge.strip_prefix("a ").map(str::to_owned));
    of_a.collect()
}

#[test]
fn paths_are_read_wherever_they_stand() {
    for (text, named) in [
        ("", &[][..]),
        // Imports: plain, grouped, renamed, of everything.
        ("use crate::c;", &["c"]),
        ("use crate::c::Other;", &["c"]),
        (
            "use crate::{b::inner::{self, deep::dig as d}, c};",
            &["b::inner", "b::inner::deep", "c"],
        ),
        (
            "use crate::b as other; fn f() { other::inner::deep::dig() }",
            &["b", "b::inner::deep"],
        ),
        ("fn f() { use crate::c::within; within::f() }", &["c"]),
        ("use crate::b::inner::*;", &["b::inner"]),
        ("use house::c::Other;", &["c"]),
        // Up and down.
        ("use super::c;", &["c"]),
        ("use self::child::go; mod child;", &["a::child"]),
        (
            "mod within { mod more { use super::super::super::c::Other; } }",
            &["c"],
        ),
        ("mod child; fn f() { child::go() }", &["a::child"]),
        // In types, expressions, patterns, bounds, and as another's type.
        ("struct S { field: Vec<crate::c::Other> }", &["c"]),
        ("fn f() -> impl Into<crate::c::Other> { todo() }", &["c"]),
        (
            "fn f(x: u8) { match x { crate::c::MOST => {} _ => {} } }",
            &["c"],
        ),
        ("impl From<crate::c::Other> for u8 {}", &["c"]),
        ("fn f() { <u8 as crate::c::Trait>::go() }", &["c"]),
        // In macros and attributes.
        (
            r#"fn f() { println!("{}", [crate::c::within::f()]) }"#,
            &["c"],
        ),
        ("fn f() { vec![x.y, Self { ..crate::c::new() }] }", &["c"]),
        (
            "macro_rules! m { ($x:ident) => { $crate::c::f::<$x>() }; }",
            &["c"],
        ),
        ("mod child; table! { child: Go }", &["a::child"]),
        (r#"#[serde(with = "crate::c::within")] struct S;"#, &["c"]),
        ("#[derive(Debug, crate::c::Derived)] struct S;", &["c"]),
        // Through what is shown elsewhere, to where it is.
        ("use crate::b::Thing;", &["b::inner"]),
        ("fn f() { crate::b::made() }", &["b::inner"]),
        (
            "use crate::b; fn f() -> b::Thing { b::made() }",
            &["b", "b::inner"],
        ),
        (
            "use crate::b::*; fn f() -> Thing { made() }",
            &["b", "b::inner"],
        ),
        ("use crate::b::fmt;", &["b"]),
        ("use crate::b::OfAMacro;", &["b"]),
        ("pub use crate::c::Other;", &["c"]),
        // A function that is called like a module.
        ("fn f() { crate::b::both() }", &["b"]),
        ("fn f() { crate::b::both::more() }", &["b::both"]),
    ] {
        assert_eq!(named_by(text), named, "{text}");
    }
}

#[test]
fn what_names_nothing_is_not_read() {
    for text in [
        "mod child;",
        "pub(super) fn f() {}",
        "fn f() { let c = 1; g(c, x.c, C::c) }",
        r#"fn f() { println!("{c}", c = self.c) }"#,
        "/// See [`crate::c::Other`].\nfn f() {}",
        "macro_rules! m { ($c:ident) => { $c::f() }; }",
        // Of another crate, which is called like a module of ours.
        "use ::c::Other;",
        // For tests only.
        "#[cfg(test)] use crate::c;",
        "#[cfg(test)] mod tests { use crate::c; mod more { use crate::b; } }",
        "#[cfg(all(test, unix))] fn f() { crate::c::within::f() }",
        "#[test] fn f() { crate::c::within::f() }",
        "impl S { #[cfg(test)] fn f() { crate::c::within::f() } }",
        "struct S { #[cfg(test)] field: crate::c::Other }",
        "fn f() { #[cfg(test)] let x = crate::c::within::f(); }",
        "#![cfg(test)]\nuse crate::c;",
    ] {
        assert_eq!(named_by(text), [""; 0], "{text}");
    }
    for text in [
        "#[cfg(not(test))] use crate::c;",
        r#"#[cfg(any(test, feature = "x"))] use crate::c;"#,
        r#"#[cfg(feature = "test")] use crate::c;"#,
    ] {
        assert_eq!(named_by(text), ["c"], "{text}");
    }
}

#[test]
fn what_only_shows_a_child_is_told_from_use() {
    let tree = house_with("mod child; pub use child::go; pub fn own() {}");
    let wanted = [
        "a a::child (face)",
        "a::child a",
        "a::child c",
        "b b::inner (face)",
    ];
    assert_eq!(edges(&tree), wanted);
    let tree = house_with("mod child; pub use child::go; pub fn own() { go() }");
    assert!(edges(&tree).contains(&"a a::child".to_owned()));
}

#[test]
fn other_crates_are_told_from_modules() {
    let tree = house_with(
        "use c::x; use serde::de; use crate::b::fmt; fn f() { de::g(); tokio::spawn(1) }",
    );
    let foreign: Vec<String> = tree.foreign().into_iter().map(|(_, name)| name).collect();
    // The first is what `a` would have to declare.
    assert_eq!(foreign, ["c", "serde", "tokio", "std"]);
}

#[test]
fn files_that_are_not_there_are_told() {
    let tree = house(&[
        ("lib.rs", "mod gone; #[cfg(test)] mod tests;"),
        ("tests.rs", "mod more;"),
    ]);
    assert_eq!(
        tree.missing(),
        [Path::new("gone.rs"), Path::new("tests/more.rs")]
    );
    assert!(tree.all_files().contains(Path::new("tests.rs")));
    assert_eq!(tree.files().collect::<Vec<_>>(), ["lib", "gone"]);
}

#[test]
fn a_module_is_in_the_longest_room_that_fits() {
    let rooms = ["app", "app::state", "web::*", "we"];
    for (module, room) in [
        ("app", Some("app")),
        ("app::state", Some("app::state")),
        ("app::state::more", Some("app::state")),
        ("app::statement", Some("app")),
        ("application", None),
        ("web", None),
        ("web::page", Some("web::*")),
    ] {
        assert_eq!(room_of(module, &rooms), room, "{module}");
    }
}

#[test]
fn rooms_are_held_to_their_table() {
    let tree = house_with("use crate::{b, c};");
    let table = &[("lib", ""), ("a", "b c"), ("b", ""), ("c", "")];
    assert_eq!(wrong_rooms(&tree, table), [""; 0]);
    let table = &[("a", "b"), ("b", "c"), ("c", ""), ("d", "")];
    let wrong = wrong_rooms(&tree, table).join("\n");
    for told in [
        "lib is in no room",
        "a may not name c, but a: crate::c",
        "b may name c and does not",
        "d is a room without a file",
        r#"("a", "b c"),"#,
        r#"("lib", ""),"#,
    ] {
        assert!(wrong.contains(told), "{told}: {wrong}");
    }
}

#[test]
fn circles_are_found_by_their_shortest_way() {
    let graph = |edges: &str| {
        let mut graph = Graph::new();
        for edge in edges.split(' ') {
            let (from, to) = edge.split_at(1);
            graph
                .entry(from.to_owned())
                .or_default()
                .insert(to.to_owned());
        }
        graph
    };
    for (edges, found) in [
        ("ab bc", &[][..]),
        ("ab ac bc cd ad", &[]),
        ("ab ba", &["ab"]),
        ("bc cd db ab", &["bcd"]),
        // The long one too, for the short ones do not go over all its edges.
        ("ab bc ca ba", &["ab", "abc"]),
        ("ab ba cd dc bc", &["ab", "cd"]),
    ] {
        let circles: Vec<String> = circles(&graph(edges))
            .iter()
            .map(|circle| circle.concat())
            .collect();
        assert_eq!(circles, found, "{edges}");
    }
}

#[test]
fn circles_are_told_with_their_paths() {
    let files = |c: &'static str| {
        [
            ("lib.rs", "mod a; mod b; mod c;"),
            (
                "a.rs",
                "mod child; mod other; pub struct Config; fn f() { child::run() }",
            ),
            // What a file names of the one above it closes no circle.
            ("a/child.rs", "use super::Config; use super::other::Shared;"),
            ("a/other.rs", "pub struct Shared;"),
            ("b.rs", "use crate::c::Thing;"),
            ("c.rs", c),
        ]
    };
    let found = |c, without: &[(&str, &str)]| circles_of(&house(&files(c)), &[], without);
    assert_eq!(found("pub struct Thing;", &[]), [""; 0]);
    let wanted = "b → c → b\n    b: crate::c::Thing\n    c: crate::b::more";
    let circular = "fn f() { crate::b::more() }";
    assert_eq!(
        found(circular, &[]),
        [format!("rooms: {wanted}"), format!("files: {wanted}")]
    );
    assert_eq!(found(circular, &[("c", "b")]), [""; 0]);
    // Between rooms it counts.
    let rooms = circles_of(&house(&files("")), &["a", "a::*"], &[]);
    let [circle] = rooms.as_slice() else {
        panic!("{rooms:?}");
    };
    assert!(circle.starts_with("rooms: a → a::* → a"), "{circle}");
}

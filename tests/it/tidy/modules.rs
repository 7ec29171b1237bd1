//! The modules of a crate and what they name of each other, as a parser reads them.
//!
//! [`Tree::read`] follows the `mod` items from the crate's roots, and takes from each file its `use` items, the paths in
//! expressions, types, patterns and attributes, and every `a::b` in the tokens of macros. A path is followed through imports and
//! re-exports to the deepest module that it leads to, so that it counts for the file that defines what is meant. What stands
//! under `#[cfg(test)]` is left out. Not seen are methods, which are called without a path, and what a macro puts together
//! (`$a::$b`); the words given to a macro that stands for items count where they are names of child modules.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use syn::buffer::{Cursor, TokenBuffer};
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, ImplItem, Item, Lit, Meta, Stmt, UseTree};

/// Longer chains of imports than any there are; ends those that bite their own tail.
const MOST_STEPS: u8 = 24;

/// How a path is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Import,
    Reexport,
    /// Given to a macro that stands where items stand.
    ItemMacro,
    Elsewhere,
}

#[derive(Clone, Debug)]
struct Mention {
    segments: Vec<String>,
    /// Begins with `::`.
    is_global: bool,
    manner: Manner,
}

#[derive(Debug)]
struct Module {
    /// Empty for the library's root.
    path: Vec<String>,
    file: PathBuf,
    /// Where the files of its children are.
    folder: PathBuf,
    is_inline: bool,
    is_test: bool,
    parent: Option<usize>,
    children: BTreeMap<String, usize>,
    items: BTreeSet<String>,
    imports: BTreeMap<String, Mention>,
    globs: Vec<Mention>,
    mentions: Vec<Mention>,
}

/// Where a path leads.
#[derive(Clone, Debug)]
enum Found {
    Module(usize),
    /// Something in this module.
    Item(usize),
    /// Another crate, or nothing that is known.
    Foreign(String),
}

/// That one file names another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Edge {
    /// One of the paths, as it is written.
    pub(super) written: String,
    /// It only shows (`pub use`) what a module below it defines, and does not use it.
    pub(super) is_face: bool,
}

/// All modules of a crate.
#[derive(Debug)]
pub(super) struct Tree {
    name: String,
    modules: Vec<Module>,
    missing: Vec<PathBuf>,
}

/// Gives the text of a file, if there is one.
type Read<'a> = &'a dyn Fn(&Path) -> Option<String>;

impl Tree {
    /// Reads the crate `name` from its library's root, and from the roots of binaries that stand beside it: they are called by
    /// the names of their files.
    pub(super) fn read(name: &str, library: &Path, binaries: &[PathBuf], read: Read<'_>) -> Self {
        let mut tree = Self {
            name: name.to_owned(),
            modules: Vec::new(),
            missing: Vec::new(),
        };
        let roots = [(library, None)].into_iter();
        for (file, binary) in roots.chain(
            binaries
                .iter()
                .map(|file| (file.as_path(), file.file_stem())),
        ) {
            let path = binary.map(|stem| stem.to_string_lossy().into_owned());
            tree.modules.push(Module {
                path: path.into_iter().collect(),
                file: file.to_owned(),
                folder: folder_of(file),
                is_inline: false,
                is_test: false,
                parent: None,
                children: BTreeMap::new(),
                items: BTreeSet::new(),
                imports: BTreeMap::new(),
                globs: Vec::new(),
                mentions: Vec::new(),
            });
            tree.read_file(tree.modules.len() - 1, read);
        }
        tree
    }

    /// The module paths of its files (`db::stage`; `lib` for the root), without those that only tests have.
    pub(super) fn files(&self) -> impl Iterator<Item = String> {
        let modules = self.modules.iter();
        modules
            .filter(|module| !module.is_inline && !module.is_test)
            .map(|module| shown(&module.path))
    }

    /// All files that are part of the crate, also those of tests.
    pub(super) fn all_files(&self) -> BTreeSet<&Path> {
        let files = self.modules.iter();
        files.map(|module| module.file.as_path()).collect()
    }

    /// Files that a `mod` item asks for and that are not there.
    pub(super) fn missing(&self) -> &[PathBuf] {
        &self.missing
    }

    /// Which file names which, by module path.
    pub(super) fn edges(&self) -> BTreeMap<(String, String), Edge> {
        let mut edges: BTreeMap<(String, String), Edge> = BTreeMap::new();
        for (id, mention, found) in self.found() {
            let (Found::Module(to) | Found::Item(to)) = found else {
                continue;
            };
            if self.modules[to].is_test || self.modules[to].file == self.modules[id].file {
                continue;
            }
            let is_below = self.modules[to].path.starts_with(&self.modules[id].path);
            let edge = Edge {
                written: mention.segments.join("::"),
                is_face: mention.manner == Manner::Reexport && is_below,
            };
            let ends = (self.file_module(id), self.file_module(to));
            let known = edges.entry(ends).or_insert_with(|| edge.clone());
            if known.is_face && !edge.is_face {
                *known = edge;
            }
        }
        edges
    }

    /// The first names of paths that lead out of the crate, by module path. Among them are names of types and the like, which
    /// are no crates.
    pub(super) fn foreign(&self) -> BTreeSet<(String, String)> {
        let mut foreign = BTreeSet::new();
        for (id, _, found) in self.found() {
            if let Found::Foreign(name) = found {
                foreign.insert((self.file_module(id), name));
            }
        }
        foreign
    }

    fn found(&self) -> impl Iterator<Item = (usize, &Mention, Found)> {
        let modules = self.modules.iter().enumerate();
        let mentions = modules
            .filter(|(_, module)| !module.is_test)
            .flat_map(|(id, module)| module.mentions.iter().map(move |mention| (id, mention)));
        mentions.filter_map(|(id, mention)| {
            let found = self.follow(id, mention, false, MOST_STEPS)?;
            // A single word is a variable as soon as a module, and nothing says that it is a crate.
            let counts = mention.segments.len() > 1
                || match mention.manner {
                    Manner::Import | Manner::Reexport => true,
                    Manner::ItemMacro => !matches!(found, Found::Foreign(_)),
                    Manner::Elsewhere => matches!(found, Found::Item(_)),
                };
            counts.then_some((id, mention, found))
        })
    }

    /// The path of the module whose file this one stands in.
    fn file_module(&self, mut id: usize) -> String {
        while let (true, Some(parent)) = (self.modules[id].is_inline, self.modules[id].parent) {
            id = parent;
        }
        shown(&self.modules[id].path)
    }

    fn read_file(&mut self, id: usize, read: Read<'_>) {
        let file = self.modules[id].file.clone();
        let Some(text) = read(&file) else {
            self.missing.push(file);
            return;
        };
        let syntax = syn::parse_file(&text)
            .unwrap_or_else(|error| panic!("{} cannot be parsed: {error}", file.display()));
        self.modules[id].is_test |= is_for_tests(&syntax.attrs);
        Reader {
            tree: self,
            read,
            current: id,
        }
        .visit_file(&syntax);
    }

    /// Where a path leads that is written in this module. `wants_module`: more will be asked for below it.
    fn follow(
        &self,
        from: usize,
        mention: &Mention,
        wants_module: bool,
        steps: u8,
    ) -> Option<Found> {
        let steps = steps.checked_sub(1)?;
        let mut rest = mention.segments.as_slice();
        let (first, after) = rest.split_first()?;
        rest = after;
        if mention.is_global {
            return Some(Found::Foreign(first.clone()));
        }
        let mut place = match first.as_str() {
            "crate" => Found::Module(self.root(from)),
            "self" => Found::Module(from),
            "super" => Found::Module(self.modules[from].parent?),
            // A type of which nothing is known here, and what a macro is given.
            "Self" | "$" => return None,
            name => {
                let has_more = wants_module || !rest.is_empty();
                match self.member(from, name, has_more, steps) {
                    Some(found) => found,
                    None if name == self.name => Found::Module(0),
                    None => Found::Foreign(name.to_owned()),
                }
            }
        };
        while let Some((name, after)) = rest.split_first() {
            rest = after;
            let Found::Module(id) = place else {
                return Some(place);
            };
            place = if name == "super" {
                Found::Module(self.modules[id].parent?)
            } else {
                let has_more = wants_module || !rest.is_empty();
                // What a macro has made is not known by name, but it stands there. So does what is passed on from another crate.
                match self.member(id, name, has_more, steps) {
                    Some(found @ (Found::Module(_) | Found::Item(_))) => found,
                    Some(Found::Foreign(_)) | None => Found::Item(id),
                }
            };
        }
        Some(place)
    }

    /// What this name is in a module.
    fn member(&self, id: usize, name: &str, has_more: bool, steps: u8) -> Option<Found> {
        let steps = steps.checked_sub(1)?;
        let module = &self.modules[id];
        let child = module.children.get(name).map(|child| Found::Module(*child));
        // A module and a function may have the same name.
        if has_more && child.is_some() {
            return child;
        }
        if module.items.contains(name) {
            return Some(Found::Item(id));
        }
        if let Some(import) = module.imports.get(name) {
            return self.follow(id, import, has_more, steps);
        }
        child.or_else(|| {
            module
                .globs
                .iter()
                .find_map(|glob| match self.follow(id, glob, true, steps)? {
                    Found::Module(of) if of != id => self.member(of, name, has_more, steps),
                    _ => None,
                })
        })
    }

    fn root(&self, mut id: usize) -> usize {
        while let Some(parent) = self.modules[id].parent {
            id = parent;
        }
        id
    }
}

/// `lib` for the root of the library.
fn shown(path: &[String]) -> String {
    if path.is_empty() {
        "lib".to_owned()
    } else {
        path.join("::")
    }
}

fn folder_of(file: &Path) -> PathBuf {
    file.parent().unwrap_or_else(|| Path::new("")).to_owned()
}

/// Whether something is compiled for tests only.
fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) if list.path.is_ident("cfg") => list
            .parse_args::<Meta>()
            .is_ok_and(|condition| asks_for_test(&condition)),
        meta => meta.path().is_ident("test"),
    })
}

fn asks_for_test(condition: &Meta) -> bool {
    let Meta::List(list) = condition else {
        return condition.path().is_ident("test");
    };
    let parts =
        list.parse_args_with(syn::punctuated::Punctuated::<Meta, syn::Token![,]>::parse_terminated);
    parts.is_ok_and(|parts| {
        if list.path.is_ident("all") {
            parts.iter().any(asks_for_test)
        } else {
            list.path.is_ident("any") && parts.iter().all(asks_for_test)
        }
    })
}

fn attributes_of(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::TraitAlias(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn name_of(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::TraitAlias(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(name.to_string())
}

/// Walks through one file.
struct Reader<'a> {
    tree: &'a mut Tree,
    read: Read<'a>,
    current: usize,
}

impl Reader<'_> {
    fn module(&mut self) -> &mut Module {
        &mut self.tree.modules[self.current]
    }

    fn mention(&mut self, segments: Vec<String>, is_global: bool, manner: Manner) {
        self.module().mentions.push(Mention {
            segments,
            is_global,
            manner,
        });
    }

    fn import(&mut self, tree: &UseTree, before: &[String], is_global: bool, manner: Manner) {
        let mut segments = before.to_vec();
        let name = match tree {
            UseTree::Path(path) => {
                segments.push(path.ident.to_string());
                return self.import(&path.tree, &segments, is_global, manner);
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.import(tree, before, is_global, manner);
                }
                return;
            }
            UseTree::Glob(_) => None,
            UseTree::Name(name) => {
                // `use a::b::{self}`
                if name.ident != "self" || segments.is_empty() {
                    segments.push(name.ident.to_string());
                }
                segments.last().cloned()
            }
            UseTree::Rename(rename) => {
                if rename.ident != "self" || segments.is_empty() {
                    segments.push(rename.ident.to_string());
                }
                Some(rename.rename.to_string())
            }
        };
        let mention = Mention {
            segments,
            is_global,
            manner,
        };
        let module = self.module();
        module.mentions.push(mention.clone());
        match name {
            Some(name) => {
                module.imports.entry(name).or_insert(mention);
            }
            None => module.globs.push(mention),
        }
    }

    /// The paths in the tokens of a macro, or of an attribute.
    fn tokens(&mut self, mut cursor: Cursor<'_>, manner: Manner) {
        let mut path = Vec::new();
        let mut is_global = false;
        // What stood before: `::`, or something after which a word belongs to what is before it.
        let (mut joins, mut is_field, mut is_given) = (false, false, false);
        while !cursor.eof() {
            if let Some((word, after)) = cursor.ident() {
                if !joins {
                    self.flush(&mut path, &mut is_global, manner);
                }
                let word = word.to_string();
                if is_given && word != "crate" {
                    path.push("$".to_owned());
                } else if !is_field {
                    path.push(word);
                }
                (joins, is_field, is_given) = (false, false, false);
                cursor = after;
            } else if let Some((mark, after)) = cursor.punct() {
                let second = after.punct().filter(|(second, _)| second.as_char() == ':');
                if let (':', Some((_, after))) = (mark.as_char(), second) {
                    is_global |= path.is_empty();
                    joins = true;
                    cursor = after;
                    continue;
                }
                self.flush(&mut path, &mut is_global, manner);
                // `..Default::default()` is no field.
                is_field = mark.as_char() == '.' && !is_field;
                is_given = mark.as_char() == '$';
                joins = false;
                cursor = after;
            } else if let Some((within, _, _, after)) = cursor.any_group() {
                self.flush(&mut path, &mut is_global, manner);
                self.tokens(within, manner);
                (joins, is_field, is_given) = (false, false, false);
                cursor = after;
            } else {
                self.flush(&mut path, &mut is_global, manner);
                (joins, is_field, is_given) = (false, false, false);
                let Some((_, after)) = cursor.token_tree() else {
                    break;
                };
                cursor = after;
            }
        }
        self.flush(&mut path, &mut is_global, manner);
    }

    fn flush(&mut self, path: &mut Vec<String>, is_global: &mut bool, manner: Manner) {
        let segments = std::mem::take(path);
        let is_global = std::mem::take(is_global);
        if !segments.is_empty() {
            self.mention(segments, is_global, manner);
        }
    }

    /// Some attributes name functions in texts: `#[serde(with = "crate::x")]`.
    fn texts(&mut self, mut cursor: Cursor<'_>) {
        while !cursor.eof() {
            if let Some((literal, after)) = cursor.literal() {
                if let Ok(Lit::Str(text)) = syn::parse_str::<Lit>(&literal.to_string()) {
                    self.text(&text.value());
                }
                cursor = after;
            } else if let Some((within, _, _, after)) = cursor.any_group() {
                self.texts(within);
                cursor = after;
            } else if let Some((_, after)) = cursor.token_tree() {
                cursor = after;
            } else {
                break;
            }
        }
    }

    fn text(&mut self, text: &str) {
        if text.contains("::")
            && let Ok(path) = syn::parse_str::<syn::Path>(text)
        {
            self.visit_path(&path);
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if is_for_tests(attributes_of(item)) && !matches!(item, Item::Mod(_)) {
            return;
        }
        if let Some(name) = name_of(item) {
            self.module().items.insert(name);
        }
        if let Item::Macro(item) = item {
            let is_definition = item.ident.is_some();
            let buffer = TokenBuffer::new2(item.mac.tokens.clone());
            let manner = if is_definition {
                Manner::Elsewhere
            } else {
                Manner::ItemMacro
            };
            self.visit_path(&item.mac.path);
            return self.tokens(buffer.begin(), manner);
        }
        visit::visit_item(self, item);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        let (name, parent) = (item.ident.to_string(), self.current);
        let above = self.module();
        let path: Vec<String> = above.path.iter().cloned().chain([name.clone()]).collect();
        let given = item.attrs.iter().find_map(|attribute| {
            let value = &attribute.meta.require_name_value().ok()?;
            match &value.value {
                Expr::Lit(literal) if value.path.is_ident("path") => match &literal.lit {
                    Lit::Str(text) => Some(folder_of(&above.file).join(text.value())),
                    _ => None,
                },
                _ => None,
            }
        });
        let file = if item.content.is_some() {
            above.file.clone()
        } else {
            given.unwrap_or_else(|| above.folder.join(format!("{name}.rs")))
        };
        let module = Module {
            path,
            file,
            folder: above.folder.join(&name),
            is_inline: item.content.is_some(),
            is_test: above.is_test || is_for_tests(&item.attrs),
            parent: Some(parent),
            children: BTreeMap::new(),
            items: BTreeSet::new(),
            imports: BTreeMap::new(),
            globs: Vec::new(),
            mentions: Vec::new(),
        };
        let id = self.tree.modules.len();
        self.tree.modules.push(module);
        self.module().children.insert(name, id);
        if let Some((_, items)) = &item.content {
            self.current = id;
            for item in items {
                self.visit_item(item);
            }
            self.current = parent;
        } else {
            self.tree.read_file(id, self.read);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let is_shown = !matches!(item.vis, syn::Visibility::Inherited);
        let manner = if is_shown {
            Manner::Reexport
        } else {
            Manner::Import
        };
        self.import(&item.tree, &[], item.leading_colon.is_some(), manner);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names = path.segments.iter().map(|part| part.ident.to_string());
        let is_global = path.leading_colon.is_some();
        self.mention(names.collect(), is_global, Manner::Elsewhere);
        visit::visit_path(self, path);
    }

    /// `pub(super)` names nothing.
    fn visit_visibility(&mut self, _visibility: &'ast syn::Visibility) {}

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.visit_path(&call.path);
        let buffer = TokenBuffer::new2(call.tokens.clone());
        self.tokens(buffer.begin(), Manner::Elsewhere);
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        match &attribute.meta {
            Meta::Path(path) => self.visit_path(path),
            Meta::List(list) => {
                self.visit_path(&list.path);
                let buffer = TokenBuffer::new2(list.tokens.clone());
                self.tokens(buffer.begin(), Manner::Elsewhere);
                self.texts(buffer.begin());
            }
            Meta::NameValue(_) => {}
        }
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        let attributes = match item {
            ImplItem::Const(item) => item.attrs.as_slice(),
            ImplItem::Fn(item) => &item.attrs,
            ImplItem::Type(item) => &item.attrs,
            ImplItem::Macro(item) => &item.attrs,
            _ => &[],
        };
        if !is_for_tests(attributes) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_field(&mut self, field: &'ast syn::Field) {
        if !is_for_tests(&field.attrs) {
            visit::visit_field(self, field);
        }
    }

    fn visit_stmt(&mut self, statement: &'ast Stmt) {
        let is_left_out = matches!(statement, Stmt::Local(local) if is_for_tests(&local.attrs));
        if !is_left_out {
            visit::visit_stmt(self, statement);
        }
    }
}

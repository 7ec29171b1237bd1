//! What Office Open XML files and their like have in common: parts, and which of them mean which.

use std::collections::HashMap;
use std::io::{Read, Seek};

use percent_encoding::percent_decode_str;

use crate::archive::Archive;
use crate::failure::Failure;
use crate::xml::{Node, Xml};

/// The longest title, in bytes.
const MAX_TITLE_BYTES: usize = 2_000;
/// The most that a part may name others.
const MAX_RELATIONSHIPS: usize = 50_000;

/// What a part means by a relationship.
pub(super) struct Relationship {
    pub(super) id: String,
    /// The last part of its type.
    pub(super) kind: String,
    /// The part meant, by its name in the archive.
    pub(super) target: String,
}

/// The relationships of a part; of the package itself, if the name is empty.
pub(super) fn relationships<R: Read + Seek>(
    archive: &mut Archive<R>,
    part: &str,
) -> Result<Vec<Relationship>, Failure> {
    let (folder, file) = part.rsplit_once('/').unwrap_or(("", part));
    let slash = if folder.is_empty() { "" } else { "/" };
    let name = format!("{folder}{slash}_rels/{file}.rels");
    let mut found = Vec::new();
    let Some(entry) = archive.entry(&name)? else {
        return Ok(found);
    };
    let mut xml = Xml::new(entry.buffered());
    loop {
        match xml.next()? {
            Node::Start(tag) if tag.is("Relationship") => {
                if tag.attribute("TargetMode").as_deref() == Some("External") {
                    continue;
                }
                if let (Some(id), Some(kind), Some(target)) = (
                    tag.attribute("Id"),
                    tag.attribute("Type"),
                    tag.attribute("Target"),
                ) {
                    let kind = kind.rsplit('/').next().unwrap_or_default().to_owned();
                    let target = resolved(folder, &target);
                    found.push(Relationship { id, kind, target });
                }
                if found.len() > MAX_RELATIONSHIPS {
                    return Err(Failure::limit("a part of it names too many others"));
                }
            }
            Node::Eof => return Ok(found),
            _ => {}
        }
    }
}

/// The main part of a package, by what it says and else by its usual name.
pub(super) fn main_part<R: Read + Seek>(
    archive: &mut Archive<R>,
    usual: &str,
) -> Result<String, Failure> {
    let part = relationships(archive, "")?
        .into_iter()
        .find(|relationship| relationship.kind == "officeDocument")
        .map(|relationship| relationship.target)
        .filter(|part| archive.has(part));
    match part {
        Some(part) => Ok(part),
        None if archive.has(usual) => Ok(usual.to_owned()),
        None => Err(Failure::corrupt(format_args!("{usual} is not in it"))),
    }
}

/// A name in an archive, as a file in this folder of it writes it.
pub(super) fn resolved(folder: &str, target: &str) -> String {
    let target = percent_decode_str(target).decode_utf8_lossy();
    let mut parts: Vec<&str> = Vec::new();
    let folder = if target.starts_with('/') { "" } else { folder };
    for part in folder.split('/').chain(target.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The text of the first element of this name in a part; nothing where the part is missing or unreadable, since nothing depends
/// on it.
pub(super) fn title<R: Read + Seek>(
    archive: &mut Archive<R>,
    part: &str,
) -> Result<Option<String>, Failure> {
    let Some(entry) = archive.entry(part)? else {
        return Ok(None);
    };
    let mut xml = Xml::new(entry.buffered());
    let mut found = || loop {
        match xml.next()? {
            Node::Start(tag) if tag.is("title") => return xml.text(MAX_TITLE_BYTES),
            Node::Eof => return Ok::<_, Failure>(String::new()),
            _ => {}
        }
    };
    match found() {
        Ok(title) => Ok(Some(title.trim().to_owned()).filter(|title| !title.is_empty())),
        Err(failure) if failure.code == crate::protocol::Code::Corrupt => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Whether there are macros in it.
pub(super) fn has_macros<R: Read + Seek>(archive: &Archive<R>) -> bool {
    archive
        .names()
        .any(|name| name.ends_with("vbaProject.bin") || name.starts_with("Basic/"))
}

/// Relationships by their id.
pub(super) fn by_id(relationships: Vec<Relationship>) -> HashMap<String, String> {
    relationships
        .into_iter()
        .map(|relationship| (relationship.id, relationship.target))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::resolved;

    #[test]
    fn names_are_resolved() {
        for (folder, target, expected) in [
            ("ppt", "slides/slide1.xml", "ppt/slides/slide1.xml"),
            (
                "ppt/slides",
                "../notesSlides/n.xml",
                "ppt/notesSlides/n.xml",
            ),
            ("ppt", "/word/a.xml", "word/a.xml"),
            ("", "../../../etc/passwd", "etc/passwd"),
            ("OEBPS", "a%20b.xhtml", "OEBPS/a b.xhtml"),
        ] {
            assert_eq!(resolved(folder, target), expected);
        }
    }
}

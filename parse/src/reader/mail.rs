//! Mail: who wrote to whom, about what and when, and the best of its texts; what is attached is handed on.

use std::io::Read;

use mail_parser::{Address, Message, MessageParser, MessagePart, MimeHeaders, PartType};

use super::flow::Flow;
use super::{Sink, html, open, opened};
use crate::failure::Failure;
use crate::normal;
use crate::protocol::Code;
use crate::sniff::Kind;

/// The longest message, in bytes. It is held as a whole, and so is what is attached.
const MAX_BYTES: u64 = 128 << 20;
/// The most that may be attached.
const MAX_ATTACHMENTS: usize = 200;
/// The most addresses that are told of one field.
const MAX_ADDRESSES: usize = 200;

pub(super) fn read(file: &mut impl Read, sink: &mut dyn Sink) -> Result<(), Failure> {
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_BYTES {
        return Err(Failure::new(
            Code::TooLarge,
            "It is longer than the 128 MiB that are taken of a message.",
        ));
    }
    let Some(message) = MessageParser::default().parse(&bytes) else {
        return Err(Failure::corrupt("it is no message"));
    };
    let mut told = opened(Kind::Eml);
    told.parser = "mail-parser 0.11".to_owned();
    told.title = message.subject().map(str::to_owned);
    open(sink, told)?;
    let mut flow = Flow::new(sink);
    head(&message, &mut flow)?;
    for id in &message.text_body {
        match message.part(*id).map(|part| &part.body) {
            Some(PartType::Text(text)) => {
                flow.line()?;
                flow.push(text)?;
            }
            Some(PartType::Html(text)) => {
                flow.line()?;
                html::text(text, &mut flow)?;
            }
            _ => {}
        }
    }
    flow.finish()?;
    attachments(&message, sink)
}

fn head(message: &Message<'_>, flow: &mut Flow<'_>) -> Result<(), Failure> {
    for (field, addresses) in [
        ("From", message.from()),
        ("To", message.to()),
        ("Cc", message.cc()),
    ] {
        let addresses = addresses.map(told).unwrap_or_default();
        if !addresses.is_empty() {
            flow.paragraph(&format!("{field}: {addresses}"), false)?;
        }
    }
    if let Some(subject) = message.subject() {
        flow.paragraph(&format!("Subject: {subject}"), false)?;
    }
    if let Some(date) = message.date() {
        flow.paragraph(&format!("Date: {}", date.to_rfc3339()), false)?;
    }
    flow.blank_line()
}

fn told(addresses: &Address<'_>) -> String {
    let told: Vec<String> = addresses
        .iter()
        .take(MAX_ADDRESSES)
        .filter_map(|address| match (address.name(), address.address()) {
            (Some(name), Some(address)) => Some(format!("{name} <{address}>")),
            (Some(one), None) | (None, Some(one)) => Some(one.to_owned()),
            (None, None) => None,
        })
        .collect();
    told.join(", ")
}

fn attachments(message: &Message<'_>, sink: &mut dyn Sink) -> Result<(), Failure> {
    let attached: Vec<&MessagePart<'_>> = message
        .attachments()
        .filter(|part| !is_of_the_text(part))
        .collect();
    if attached.len() > MAX_ATTACHMENTS {
        return Err(Failure::limit(format_args!(
            "more than {MAX_ATTACHMENTS} files are attached"
        )));
    }
    for (number, part) in (1..).zip(attached) {
        let name = name(part).unwrap_or_else(|| format!("attachment {number}"));
        sink.attachment(&name, part.contents())?;
    }
    Ok(())
}

/// A picture that the text shows: the mark of a firm below each of its letters.
fn is_of_the_text(part: &MessagePart<'_>) -> bool {
    let is_inline = part
        .content_disposition()
        .is_none_or(|disposition| disposition.is_inline());
    let is_picture = part
        .content_type()
        .is_some_and(|kind| kind.ctype().eq_ignore_ascii_case("image"));
    is_inline && is_picture && part.content_id().is_some()
}

fn name(part: &MessagePart<'_>) -> Option<String> {
    if let Some(name) = part.attachment_name().and_then(normal::name) {
        return Some(name);
    }
    let subject = part.message()?.subject().and_then(normal::name);
    Some(format!("{}.eml", subject.as_deref().unwrap_or("message")))
}

//! Notifications by mail: one message each, in plain text, through the operator's own server.
//!
//! `Message-ID` is made of the notification's number, the same at every repeat, by which mailboxes know a copy.

use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};

use super::{Notice, Options};
use crate::workflow::WorkflowError;

/// Why mail cannot be sent, whoever it is for.
#[derive(Debug, thiserror::Error)]
pub(super) enum MailError {
    /// The server's URL is none.
    /// The library's reason repeats parts of it, so it is not told.
    #[error("the mail server's address is no smtp:// or smtps:// URL")]
    Server,
    /// The sender is no address.
    #[error("the sender of mail must be an address, or Name <address>")]
    Sender(#[source] lettre::address::AddressError),
}

impl MailError {
    /// The option at fault.
    pub(super) const fn key(&self) -> &'static str {
        match self {
            Self::Server => "smtp_url",
            Self::Sender(_) => "mail_from",
        }
    }
}

type Transport = AsyncSmtpTransport<Tokio1Executor>;

fn configured(options: &Options) -> Result<(Transport, Mailbox), MailError> {
    let transport = Transport::from_url(options.smtp_url.expose())
        .map_err(|_error| MailError::Server)?
        .timeout(Some(options.answer_timeout))
        .build();
    let sender = options.mail_from.parse().map_err(MailError::Sender)?;
    Ok((transport, sender))
}

/// Whether what is configured can work, without asking the server.
///
/// # Errors
/// Which key to change.
pub(super) fn check(options: &Options) -> Result<(), MailError> {
    if options.smtp_url.is_empty() {
        return Ok(());
    }
    configured(options).map(drop)
}

/// Sends a notification, and waits until the server has taken it.
///
/// # Errors
/// The decision whether to try again.
pub(super) async fn send(
    options: &Options,
    address: &str,
    notice: &Notice,
) -> Result<(), WorkflowError> {
    let (transport, sender) =
        configured(options).map_err(|error| WorkflowError::retry("config", error))?;
    let message = message(sender, address, notice)?;
    match transport.send(message).await {
        Ok(_accepted) => Ok(()),
        Err(error) if error.is_permanent() => Err(WorkflowError::permanent("smtp", error)),
        Err(error) => Err(WorkflowError::retry("smtp", error)),
    }
}

fn message(sender: Mailbox, address: &str, notice: &Notice) -> Result<Message, WorkflowError> {
    let receiver: Mailbox = address
        .parse()
        .map_err(|error: lettre::address::AddressError| {
            WorkflowError::permanent("bad_address", error)
        })?;
    let number = format!("<gleaner-{}@{}>", notice.id, sender.email.domain());
    Message::builder()
        .message_id(Some(number))
        .from(sender)
        .to(receiver)
        .subject(subject(notice))
        .header(ContentType::TEXT_PLAIN)
        .body(format!("{}\n\n{}\n", notice.message, notice.url))
        .map_err(|error| WorkflowError::permanent("bad_message", error))
}

fn subject(notice: &Notice) -> String {
    let what = match notice.kind.as_str() {
        "price_drop" => "Price drop",
        "target_reached" => "Target price reached",
        "restock" => "Back in stock",
        _ => "News",
    };
    let thing = notice.product.as_ref().or(notice.title.as_ref());
    match thing {
        // One line, whatever a page calls itself.
        Some(thing) => format!(
            "{what}: {}",
            thing.split_whitespace().collect::<Vec<_>>().join(" ")
        ),
        None => what.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(title: &str) -> Notice {
        Notice {
            title: Some(title.to_owned()),
            ..Notice::for_tests()
        }
    }

    fn written(address: &str, title: &str) -> Result<String, WorkflowError> {
        let sender = "Gleaner <prices@example.org>".parse().unwrap();
        let message = message(sender, address, &notice(title))?;
        Ok(String::from_utf8(message.formatted()).unwrap())
    }

    #[test]
    fn a_message_says_what_happened_where() {
        let text = written("Kari <kari@example.net>", "Kettle").unwrap();
        for line in [
            "Message-ID: <gleaner-7@example.org>",
            "Subject: Price drop: Kettle",
            "899.00 NOK, was 1299.00 NOK",
            "https://shop.example/kettle",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
    }

    /// Titles come from pages of strangers.
    #[test]
    fn a_title_cannot_write_headers() {
        let text = written("kari@example.net", "Kettle\r\nBcc: eve@example.net").unwrap();
        assert!(!text.contains("\r\nBcc:"), "{text}");
    }

    #[test]
    fn what_is_no_address_is_given_up() {
        assert!(matches!(
            written("kari at example", "x"),
            Err(WorkflowError::Permanent {
                class: "bad_address",
                ..
            })
        ));
    }

    #[test]
    fn a_configuration_that_cannot_work_is_named() {
        let options = |smtp_url: &str, mail_from: &str| Options {
            webhook_secret: crate::secret::Secret::new(""),
            smtp_url: crate::secret::Secret::new(smtp_url),
            mail_from: mail_from.to_owned(),
            answer_timeout: std::time::Duration::from_secs(1),
        };
        for (url, from, expected) in [
            ("", "", None),
            ("smtp://localhost:25", "a@b.example", None),
            ("http://localhost", "a@b.example", Some("smtp_url")),
            ("smtps://u:p@mail.example", "nobody", Some("mail_from")),
        ] {
            let key = check(&options(url, from)).err().map(|error| error.key());
            assert_eq!(key, expected, "{url} {from}");
        }
    }
}

//! What only looks like an e-mail address, since it is a part of something else: a web address, a handle, the target of a command.

use crate::domain::{below_suffix, suffix};
use crate::html::INLINE_BOUNDARY;

use super::label;

/// How far back a web address is looked for, in bytes.
const MAX_URL_BYTES: usize = 300;

/// How far back a command is looked for, in bytes.
const MAX_COMMAND_BYTES: usize = 80;

/// Most words between a command and its target.
const MAX_OPTIONS: usize = 5;

/// Commands that take `user@host`.
const COMMANDS: &[&str] = &[
    "ssh",
    "scp",
    "sftp",
    "rsync",
    "mosh",
    "sshfs",
    "ssh-copy-id",
    "autossh",
    "ftp",
    "telnet",
];

/// Accounts that only programs use, to fetch source code.
const MACHINES: &[&str] = &["git", "hg", "svn"];

/// What an address of another kind is called, right before it.
const OTHER_NETWORKS: &[&str] = &[
    "acct",
    "fediverse",
    "friendica",
    "jabber",
    "jid",
    "mastodon",
    "matrix",
    "misskey",
    "peertube",
    "pixelfed",
    "sip",
    "voip",
    "xmpp",
];

/// Whether `local@domain` between `before` and `after` is a part of something else. `domain` is all that may belong to one.
pub(super) fn is_part(before: &str, local: &str, domain: &str, after: &str) -> bool {
    let before = before.trim_end_matches(INLINE_BOUNDARY);
    MACHINES.contains(&local)
        || before.ends_with(['@', '＠'])
        || is_in_url(before)
        || is_on_other_network(before)
        || is_cut(domain, after)
        || is_machine(before, after.trim_start_matches(INLINE_BOUNDARY))
}

/// `https://acme.com/book/jo@acme.com`, `www.acme.com/team/jo@…`, `ftp://user:secret@…`
fn is_in_url(before: &str) -> bool {
    let start = before.floor_char_boundary(before.len().saturating_sub(MAX_URL_BYTES));
    let near = before.get(start..).unwrap_or_default();
    let is_edge = |c: char| {
        c.is_whitespace()
            || matches!(
                c,
                INLINE_BOUNDARY | '"' | '\'' | '<' | '>' | '(' | ')' | ',' | ';' | '|'
            )
    };
    let word = near.rsplit(is_edge).next().unwrap_or_default();
    if !word.contains('/') {
        return false;
    }
    let scheme = word.split_once("//").map(|(scheme, _)| scheme);
    let (host, path) = word.split_once('/').unwrap_or((word, ""));
    match scheme {
        Some(scheme) => !scheme.to_ascii_lowercase().ends_with("mailto:"),
        // `www.acme.com/jo@acme.com` names two things.
        None => !path.is_empty() && !host.contains('@') && is_host(&host.to_ascii_lowercase()),
    }
}

fn is_host(name: &str) -> bool {
    below_suffix(name).is_some() && suffix(name).is_some_and(|suffix| suffix.is_known())
}

/// `Mastodon: jo@social.example`, `xmpp:jo@…`
fn is_on_other_network(before: &str) -> bool {
    let before = before.trim_end_matches([' ', ':', INLINE_BOUNDARY]);
    let word = before
        .rsplit(|c: char| !c.is_ascii_alphanumeric())
        .next()
        .unwrap_or_default();
    let front = before.strip_suffix(word).unwrap_or(before);
    // `E-Mail/Jabber:` names both.
    !front.ends_with(['/', '-'])
        && OTHER_NETWORKS
            .iter()
            .any(|network| network.eq_ignore_ascii_case(word))
}

/// `info@acm…`, `info@acme.co...`: the page does not show all of it.
fn is_cut(domain: &str, after: &str) -> bool {
    after.starts_with('…') || domain.ends_with("...")
}

/// `deploy@host:/srv`, `root@host:~#`, `ssh -p 2222 root@host`
fn is_machine(before: &str, after: &str) -> bool {
    let path = after
        .strip_prefix(':')
        .and_then(|rest| rest.split(' ').next())
        .unwrap_or_default();
    let is_path = path.starts_with(['/', '~'])
        || path.starts_with(|c: char| c.is_ascii_lowercase())
            && (path.contains('/') || path.ends_with(".git"))
            && !label::starts_with_phone_word(path);
    let is_prompt = after.starts_with(" ~]");
    is_path || is_prompt || follows_command(before)
}

fn follows_command(before: &str) -> bool {
    let start = before.floor_char_boundary(before.len().saturating_sub(MAX_COMMAND_BYTES));
    let near = before.get(start..).unwrap_or_default();
    let is_option = |word: &&str| word.contains(|c: char| !c.is_alphabetic());
    let mut words = near
        .rsplit([' ', INLINE_BOUNDARY])
        .filter(|word| !word.is_empty());
    let mut options = words.by_ref().take(MAX_OPTIONS).skip_while(is_option);
    options.next().is_some_and(|word| COMMANDS.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::super::mailbox::find;

    #[test]
    fn parts_of_something_else_are_no_addresses() {
        for text in [
            "Follow us: @jo@social.firm.com",
            "@\u{2060}jo@social.firm.com",
            "Mastodon: jo@social.firm.com",
            "XMPP:jo@firm.com",
            "git@firm.com:acme/x.git",
            "git@firm.com",
            "deploy@web1.firm.com:/srv/www",
            "build@firm.com:releases/latest",
            "root@web1.firm.com:~#",
            "[root@web1.firm.com ~]#",
            "ssh jo@firm.com",
            "ssh -p 2222 -i key.pem jo@firm.com",
            "scp dump.sql jo@firm.com:",
            "https://book.firm.com/with/jo@firm.com/",
            "www.firm.com/?to=jo@firm.com",
            "firm.com/team/jo@firm.com",
            "https://firm.com/?to=jo@firm.com",
            "ftp://jo:secret@firm.com/x",
            "ssh://git@firm.com/x",
            "postgres://jo@firm.com/db",
            "Jane […] .doe@firm.com",
            "jane…doe@firm.com",
            "ja***e@firm.com",
            "jo@firm.co…",
            "jo@firm.co...",
        ] {
            assert_eq!(find(text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn an_address_beside_such_things_stays_one() {
        for text in [
            "@ jo@firm.com",
            "see https://firm.com/contact or jo@firm.com",
            "https://firm.com/,jo@firm.com",
            "(https://firm.com/)jo@firm.com",
            "mailto://jo@firm.com",
            "and/or jo@firm.com",
            "www.firm.com/jo@firm.com",
            "Tel/Fax/Mail: jo@firm.com",
            "jo@firm.com: answers within a day",
            "jo@firm.com:Tel./Fax",
            "we use ssh and mail: jo@firm.com",
            "Jabber/E-Mail: jo@firm.com",
            "E-Mail .......... jo@firm.com",
            "E-Mail *jo@firm.com",
            "jo@firm.com …",
        ] {
            assert_eq!(find(text), ["jo@firm.com"], "{text}");
        }
    }
}

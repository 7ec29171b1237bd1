//! A mail server on loopback that keeps what it is given.

#![expect(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

#[derive(Default)]
struct Content {
    mails: Vec<String>,
    /// What the next receivers are refused with.
    refusals: Vec<String>,
}

/// The server; stops when dropped.
pub(crate) struct MailServer {
    pub(crate) address: SocketAddr,
    content: Arc<Mutex<Content>>,
    serving: JoinHandle<()>,
}

impl Drop for MailServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl MailServer {
    /// Starts it.
    #[expect(
        clippy::disallowed_methods,
        reason = "the server's own task, ended with it"
    )]
    pub(crate) async fn start() -> Self {
        let content = Arc::new(Mutex::new(Content::default()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::clone(&content);
        let serving = tokio::spawn(async move {
            let mut sessions = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                sessions.spawn(session(stream, Arc::clone(&shared)));
            }
        });
        Self {
            address,
            content,
            serving,
        }
    }

    /// Refuses the next receiver with this answer.
    pub(crate) fn refuse(&self, answer: &str) {
        self.content
            .lock()
            .unwrap()
            .refusals
            .push(answer.to_owned());
    }

    /// The messages so far, headers and text.
    pub(crate) fn mails(&self) -> Vec<String> {
        self.content.lock().unwrap().mails.clone()
    }
}

/// One client, as much of RFC 5321 as it needs. A client may hang up at any point.
async fn session(stream: TcpStream, content: Arc<Mutex<Content>>) -> Option<()> {
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();
    writer.write_all(b"220 sink ESMTP\r\n").await.ok()?;
    while let Some(line) = lines.next_line().await.ok()? {
        let command = line.get(..4).unwrap_or_default().to_ascii_uppercase();
        let answer = match command.as_str() {
            "EHLO" => "250 sink".to_owned(),
            "RCPT" => {
                let refusal = content.lock().unwrap().refusals.pop();
                refusal.unwrap_or_else(|| "250 ok".to_owned())
            }
            "DATA" => {
                writer.write_all(b"354 go on\r\n").await.ok()?;
                let mut mail = String::new();
                while let Some(line) = lines.next_line().await.ok()? {
                    if line == "." {
                        break;
                    }
                    mail.push_str(&line);
                    mail.push('\n');
                }
                content.lock().unwrap().mails.push(mail);
                "250 taken".to_owned()
            }
            "QUIT" => "221 bye".to_owned(),
            _ => "250 ok".to_owned(),
        };
        writer
            .write_all(format!("{answer}\r\n").as_bytes())
            .await
            .ok()?;
    }
    Some(())
}

//! `gleaner documents list`, `show` and `search`: the same that the tenant sees over HTTP.

use anyhow::Context;
use clap::Args;
use diesel_async::AsyncPgConnection;
use serde_json::json;

use crate::console::table::{Table, cut, plain};
use crate::console::{Global, Misuse, OK, connect, print};
use crate::documents::document::{NoUid, Uid};
use crate::documents::read::{self, Document, LONGEST_LIST, STATUSES};
use crate::documents::scope::TenantId;
use crate::documents::search::{self, Filter, Query};
use crate::documents::tenant;

#[derive(Debug, Args)]
pub(super) struct List {
    /// Whose, by name or id.
    #[arg(long, value_name = "TENANT")]
    tenant: String,
    /// Only these.
    #[arg(long, value_name = "STATUS", value_parser = STATUSES)]
    status: Option<String>,
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    limit: u32,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// Whose, by name or id.
    #[arg(long, value_name = "TENANT")]
    tenant: String,
    /// The text of this page, instead of what is known of the document.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    page: Option<i32>,
    /// The document's id.
    #[arg(value_name = "DOCUMENT")]
    document: String,
}

#[derive(Debug, Args)]
pub(super) struct Search {
    /// Whose, by name or id.
    #[arg(long, value_name = "TENANT")]
    tenant: String,
    /// Only in this document.
    #[arg(long, value_name = "DOCUMENT")]
    document: Option<String>,
    /// At most so many hits.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=50))]
    limit: u32,
    /// What to look for: words, "phrases", and -words that are not to be there.
    #[arg(value_name = "QUERY", required = true, allow_hyphen_values = true)]
    query: Vec<String>,
}

/// The key of a tenant.
async fn of(conn: &mut AsyncPgConnection, name: &str) -> anyhow::Result<TenantId> {
    let found = tenant::find(conn, name).await?;
    let found = found.ok_or_else(|| Misuse(format!("there is no tenant \"{}\"", plain(name))))?;
    Ok(found.id)
}

fn named(document: &str) -> Result<Uid, Misuse> {
    document
        .parse()
        .map_err(|NoUid| Misuse(format!("\"{}\" is no document's id", plain(document))))
}

/// No document of this tenant's has this id.
fn nobodys(uid: &Uid) -> Misuse {
    Misuse(format!("the tenant has no document {uid}"))
}

pub(super) async fn list(global: &Global, asked: &List) -> anyhow::Result<u8> {
    let config = global.load()?;
    let mut conn = connect(&config).await?;
    let tenant = of(&mut conn, &asked.tenant).await?;
    let mut left = i64::from(asked.limit);
    let mut documents: Vec<Document> = Vec::new();
    let mut cursor = None;
    loop {
        let status = asked.status.as_deref();
        let limit = left.min(LONGEST_LIST);
        let (some, next) = read::list(&mut conn, tenant, status, cursor.as_ref(), limit).await?;
        left -= i64::try_from(some.len())?;
        documents.extend(some);
        cursor = next;
        if cursor.is_none() || left <= 0 {
            break;
        }
    }
    if global.json {
        print(&serde_json::to_string_pretty(&documents)?);
        return Ok(OK);
    }
    if documents.is_empty() {
        print("no documents");
        return Ok(OK);
    }
    let mut table = Table::new(&[
        "DOCUMENT", "STATUS", ">%", ">PAGES", ">BYTES", "NAME", "WHY",
    ]);
    for one in &documents {
        table.push(vec![
            one.document_id.clone(),
            one.status.clone(),
            one.processing_progress.to_string(),
            one.page_count
                .map(|pages| pages.to_string())
                .unwrap_or_default(),
            one.file_size.to_string(),
            cut(&one.filename, 60),
            one.error_code.clone().unwrap_or_default(),
        ]);
    }
    table.lines().iter().for_each(|line| print(line));
    Ok(OK)
}

pub(super) async fn show(global: &Global, asked: &Show) -> anyhow::Result<u8> {
    let uid = named(&asked.document)?;
    let config = global.load()?;
    let mut conn = connect(&config).await?;
    let tenant = of(&mut conn, &asked.tenant).await?;
    let document = read::document(&mut conn, tenant, &uid).await?;
    let document = document.ok_or_else(|| nobodys(&uid))?;
    if let Some(number) = asked.page {
        let page = read::page(&mut conn, tenant, &uid, number).await?;
        let page = page.ok_or_else(|| Misuse(format!("the document has no page {number}")))?;
        if global.json {
            print(&serde_json::to_string_pretty(&page)?);
        } else {
            page.text.lines().for_each(|line| print(&plain(line)));
        }
        return Ok(OK);
    }
    let status = read::status(&mut conn, tenant, &uid).await?;
    let status = status.ok_or_else(|| nobodys(&uid))?;
    let mut all = serde_json::to_value(&document)?;
    let fields = all.as_object_mut().context("a document is an object")?;
    fields.insert("message".to_owned(), json!(status.message));
    fields.insert("queue_position".to_owned(), json!(status.queue_position));
    fields.insert("eta_seconds".to_owned(), json!(status.eta_seconds));
    if global.json {
        print(&serde_json::to_string_pretty(&all)?);
        return Ok(OK);
    }
    for (name, value) in fields {
        let shown = match value {
            serde_json::Value::Null => continue,
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        print(&format!("{name:<24} {}", plain(&shown)));
    }
    Ok(OK)
}

pub(super) async fn search(global: &Global, asked: &Search) -> anyhow::Result<u8> {
    let query = Query::parse(&asked.query.join(" ")).map_err(|error| Misuse(error.to_string()))?;
    let filter = Filter {
        document: asked.document.as_deref().map(named).transpose()?,
        ..Filter::default()
    };
    let config = global.load()?;
    let mut conn = connect(&config).await?;
    let tenant = of(&mut conn, &asked.tenant).await?;
    let limit = i64::from(asked.limit);
    let found = search::search(&mut conn, tenant, &query, &filter, None, limit).await?;
    let hits = match (found, &filter.document) {
        (Some(found), _) => found.hits,
        (None, Some(uid)) => return Err(nobodys(uid).into()),
        (None, None) => Vec::new(),
    };
    if global.json {
        print(&serde_json::to_string_pretty(&hits)?);
        return Ok(OK);
    }
    if hits.is_empty() {
        print("nothing is found");
    }
    for hit in &hits {
        let pages = if hit.page_to > hit.page {
            format!("pages {}-{}", hit.page, hit.page_to)
        } else {
            format!("page {}", hit.page)
        };
        print(&format!(
            "{} {pages}  {}  {:.3}",
            hit.document_id,
            plain(&hit.filename),
            hit.score
        ));
        print(&format!("    {}", plain(&in_text(&hit.snippet))));
    }
    Ok(OK)
}

/// A snippet for people at a terminal: marked words in stars.
fn in_text(snippet: &str) -> String {
    let one_line: Vec<&str> = snippet.split_whitespace().collect();
    one_line
        .join(" ")
        .replace("<mark>", "*")
        .replace("</mark>", "*")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&amp;", "&")
}

//! Stores what was read of a document. The same result twice leaves the same rows.

use diesel::sql_types::{Array, BigInt, Bool, Integer, Jsonb, Nullable, Text};
use diesel::{OptionalExtension as _, QueryResult, QueryableByName};
use diesel_async::AsyncPgConnection;
use gleaner_parse::protocol::Page;

use super::text::{Piece, chars, words};
use super::{Failure, Output};
use crate::db::statement::statement;
use crate::documents::embedding;
use crate::workflow::ItemId;

/// Rows of one statement, and bytes of text in them.
const ROWS: usize = 1_000;
const BYTES: usize = 4 << 20;

const FAILED: &str = "
    UPDATE documents AS item
    SET error_code = $2, error_message = $3, retryable = $4, error_pages = $5, pages_without_text = '{}',
        total_chunks = 0, total_chars = 0, total_tokens = 0, language = NULL,
        mime_type = coalesce($6, item.mime_type), title = $7, has_macros = coalesce($8, item.has_macros), parser = $9
    WHERE item.id = $1 AND item.status = 'failed'
    RETURNING item.id";

const READY: &str = "
    UPDATE documents AS item
    SET error_code = NULL, error_message = NULL, retryable = NULL, error_pages = $2, pages_without_text = $3,
        total_chunks = $4, total_chars = $5, total_tokens = $6, language = $7, page_count = $8, pages_done = $8,
        mime_type = coalesce($9, item.mime_type), title = $10, has_macros = coalesce($11, item.has_macros), parser = $12,
        doc_metadata = item.doc_metadata - 'skipped_attachments' || $13
    WHERE item.id = $1
    RETURNING item.id";

const PAGES: &str = "
    INSERT INTO document_page (document_id, number, tenant_id, start_char, chars, locator, text, source)
    SELECT documents.id, page.number, documents.tenant_id, page.start_char, page.chars, page.locator, page.text, page.source
    FROM documents, unnest($2::int[], $3::bigint[], $4::int[], $5::text[], $6::text[], $7::text[])
        AS page(number, start_char, chars, locator, text, source)
    WHERE documents.id = $1
    ON CONFLICT (document_id, number) DO UPDATE
    SET start_char = excluded.start_char, chars = excluded.chars, source = excluded.source, locator = excluded.locator, text = excluded.text";

/// What is no configuration of this server's is taken word by word.
const CHUNKS: &str = "
    INSERT INTO chunk (tenant_id, document_id, seq, page_from, page_to, start_char, end_char, locator, config, words, tsv)
    SELECT documents.tenant_id, documents.id, piece.seq, piece.page_from, piece.page_to, piece.start_char, piece.end_char,
        piece.locator, language.config, counted.words, taken.tsv
    FROM documents,
        (SELECT coalesce((SELECT cfgname::text FROM pg_ts_config
            WHERE cfgname = $9 AND cfgnamespace = 'pg_catalog'::regnamespace), 'simple') AS config) AS language,
        unnest($2::int[], $3::int[], $4::int[], $5::bigint[], $6::bigint[], $7::text[], $8::text[])
            AS piece(seq, page_from, page_to, start_char, end_char, locator, body),
        LATERAL (SELECT to_tsvector(language.config::regconfig, translate(piece.body, '<>', '  ')) AS tsv OFFSET 0) AS taken,
        LATERAL (SELECT coalesce(sum(cardinality(positions)), 0)::integer AS words FROM unnest(taken.tsv)) AS counted
    WHERE documents.id = $1
    ON CONFLICT (document_id, seq) DO UPDATE
    SET page_from = excluded.page_from, page_to = excluded.page_to, start_char = excluded.start_char, end_char = excluded.end_char,
        locator = excluded.locator, config = excluded.config, words = excluded.words, tsv = excluded.tsv";

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = BigInt)]
    #[expect(dead_code, reason = "that there is one is all that matters")]
    id: i64,
}

/// Stores one; whether it is to have vectors when it is ready.
pub(super) async fn one(
    conn: &mut AsyncPgConnection,
    id: ItemId,
    output: &Output,
    embed: bool,
) -> QueryResult<()> {
    if let Some(failure) = &output.failure {
        // Of one that is tried again, what there was before stands until then.
        if failed(conn, id, output, failure).await? {
            trim(conn, id, 0, 0).await?;
        }
        return Ok(());
    }
    trim(conn, id, output.pieces.len(), output.pages.len()).await?;
    for pages in batches(&output.pages, |page| page.text.len()) {
        store_pages(conn, id, pages).await?;
    }
    for pieces in batches(&output.pieces, |piece| piece.text.len()) {
        store_pieces(conn, id, pieces, &output.done.config).await?;
    }
    let metadata = output.attachments.store(conn, id).await?;
    ready(conn, id, output, &metadata).await?;
    if embed {
        embedding::queue(conn, id).await?;
    }
    Ok(())
}

/// Takes away what an earlier attempt has stored beyond so many pieces and pages; what it has of these is written over. Vectors are of
/// what the pieces said then.
async fn trim(
    conn: &mut AsyncPgConnection,
    id: ItemId,
    pieces: usize,
    pages: usize,
) -> QueryResult<()> {
    embedding::forget(conn, id).await?;
    for (sql, kept) in [
        (
            "DELETE FROM chunk WHERE document_id = $1 AND seq >= $2",
            pieces,
        ),
        (
            "DELETE FROM document_page WHERE document_id = $1 AND number > $2",
            pages,
        ),
    ] {
        statement(sql)
            .bind::<BigInt, _>(id)
            .bind::<Integer, _>(integer(kept))
            .execute(conn)
            .await?;
    }
    Ok(())
}

async fn failed(
    conn: &mut AsyncPgConnection,
    id: ItemId,
    output: &Output,
    failure: &Failure,
) -> QueryResult<bool> {
    let opened = output.opened.as_ref();
    let found: Option<Found> = statement(FAILED)
        .bind::<BigInt, _>(id)
        .bind::<Text, _>(failure.code.as_str())
        .bind::<Text, _>(words(&failure.message))
        .bind::<Bool, _>(failure.code.is_retryable())
        .bind::<Array<Integer>, _>(numbers(&failure.pages))
        .bind::<Nullable<Text>, _>(opened.map(|opened| opened.mime.as_str()))
        .bind::<Nullable<Text>, _>(opened.and_then(|opened| opened.title.as_deref()))
        .bind::<Nullable<Bool>, _>(opened.map(|opened| opened.has_macros))
        .bind::<Nullable<Text>, _>(opened.map(|opened| opened.parser.as_str()))
        .get_result(conn)
        .await
        .optional()?;
    Ok(found.is_some())
}

async fn ready(
    conn: &mut AsyncPgConnection,
    id: ItemId,
    output: &Output,
    metadata: &serde_json::Value,
) -> QueryResult<()> {
    let (opened, done) = (output.opened.as_ref(), &output.done);
    let total_chars = output
        .pages
        .last()
        .map_or(0, |last| last.start + chars(&last.text));
    let language = done.language.as_deref().map(words);
    statement(READY)
        .bind::<BigInt, _>(id)
        .bind::<Array<Integer>, _>(numbers(&done.pages_failed))
        .bind::<Array<Integer>, _>(numbers(&done.pages_without_text))
        .bind::<Integer, _>(integer(output.pieces.len()))
        .bind::<BigInt, _>(bigint(total_chars))
        .bind::<Integer, _>(integer(done.tokens))
        .bind::<Nullable<Text>, _>(language)
        .bind::<Integer, _>(integer(output.pages.len()))
        .bind::<Nullable<Text>, _>(opened.map(|opened| opened.mime.as_str()))
        .bind::<Nullable<Text>, _>(opened.and_then(|opened| opened.title.as_deref()))
        .bind::<Nullable<Bool>, _>(opened.map(|opened| opened.has_macros))
        .bind::<Nullable<Text>, _>(opened.map(|opened| opened.parser.as_str()))
        .bind::<Jsonb, _>(metadata)
        .get_result::<Found>(conn)
        .await
        .optional()?;
    Ok(())
}

async fn store_pages(conn: &mut AsyncPgConnection, id: ItemId, pages: &[Page]) -> QueryResult<()> {
    let each = |own: fn(&Page) -> i32| pages.iter().map(own).collect::<Vec<_>>();
    statement(PAGES)
        .bind::<BigInt, _>(id)
        .bind::<Array<Integer>, _>(each(|page| integer(page.number)))
        .bind::<Array<BigInt>, _>(
            pages
                .iter()
                .map(|page| bigint(page.start))
                .collect::<Vec<_>>(),
        )
        .bind::<Array<Integer>, _>(each(|page| integer(chars(&page.text))))
        .bind::<Array<Nullable<Text>>, _>(
            pages
                .iter()
                .map(|page| page.locator.as_deref().map(words))
                .collect::<Vec<_>>(),
        )
        .bind::<Array<Text>, _>(
            pages
                .iter()
                .map(|page| page.text.as_str())
                .collect::<Vec<_>>(),
        )
        .bind::<Array<Text>, _>(
            pages
                .iter()
                .map(|page| page.source.as_str())
                .collect::<Vec<_>>(),
        )
        .execute(conn)
        .await?;
    Ok(())
}

async fn store_pieces(
    conn: &mut AsyncPgConnection,
    id: ItemId,
    pieces: &[Piece],
    config: &str,
) -> QueryResult<()> {
    let each = |own: fn(&Piece) -> i32| pieces.iter().map(own).collect::<Vec<_>>();
    let places = |own: fn(&Piece) -> u64| {
        let places = pieces.iter().map(|piece| bigint(own(piece)));
        places.collect::<Vec<_>>()
    };
    statement(CHUNKS)
        .bind::<BigInt, _>(id)
        .bind::<Array<Integer>, _>(each(|piece| integer(piece.chunk.seq)))
        .bind::<Array<Integer>, _>(each(|piece| integer(piece.chunk.page_from)))
        .bind::<Array<Integer>, _>(each(|piece| integer(piece.chunk.page_to)))
        .bind::<Array<BigInt>, _>(places(|piece| piece.chunk.start))
        .bind::<Array<BigInt>, _>(places(|piece| piece.chunk.end))
        .bind::<Array<Nullable<Text>>, _>(
            pieces
                .iter()
                .map(|piece| piece.chunk.locator.as_deref().map(words))
                .collect::<Vec<_>>(),
        )
        .bind::<Array<Text>, _>(
            pieces
                .iter()
                .map(|piece| piece.text.as_str())
                .collect::<Vec<_>>(),
        )
        .bind::<Text, _>(words(config))
        .execute(conn)
        .await?;
    Ok(())
}

/// In parts of so many rows, and bytes, at most; one row may have more.
fn batches<T>(all: &[T], bytes: impl Fn(&T) -> usize) -> Vec<&[T]> {
    let mut parts = Vec::new();
    let mut rest = all;
    while !rest.is_empty() {
        let mut sum = 0;
        let fitting = rest.iter().take(ROWS).take_while(|one| {
            sum += bytes(one);
            sum <= BYTES
        });
        let (part, after) = rest.split_at(fitting.count().max(1));
        parts.push(part);
        rest = after;
    }
    parts
}

fn integer(number: impl TryInto<i32>) -> i32 {
    number.try_into().unwrap_or(i32::MAX)
}

fn bigint(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn numbers(pages: &[u32]) -> Vec<i32> {
    pages.iter().map(|page| integer(*page)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_bounded_by_rows_and_bytes() {
        let sizes = |all: &[usize]| {
            let parts = batches(all, |bytes| *bytes);
            parts.iter().map(|part| part.len()).collect::<Vec<_>>()
        };
        assert_eq!(sizes(&[]), [0_usize; 0]);
        assert_eq!(sizes(&[1; 2_500]), [1_000, 1_000, 500]);
        assert_eq!(sizes(&[BYTES, 1, 2 * BYTES, 1, 1]), [1, 1, 1, 2]);
    }
}

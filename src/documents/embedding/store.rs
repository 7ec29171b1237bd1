//! Pieces without vectors, and vectors, in the database.

use std::collections::BTreeMap;

use diesel::sql_types::{Array, BigInt, Float, Integer, Nullable, Text};
use diesel::{QueryResult, QueryableByName};
use diesel_async::AsyncPgConnection;

use super::{Input, Output, Piece};
use crate::db::statement::statement;
use crate::store::stage::{Group, Request};
use crate::workflow::ItemId;

/// Pieces of a document that are worked at a time. A document with more is asked for again.
const MOST_PIECES: i64 = 2_000;

/// Vectors of one statement.
const ROWS: usize = 200;

const EMBED: Group = Group::new("documents", "embed");

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Nullable<Text>)]
    reading: Option<String>,
    #[diesel(sql_type = Nullable<Integer>)]
    seq: Option<i32>,
    #[diesel(sql_type = Nullable<Text>)]
    text: Option<String>,
}

/// What these documents are worked from.
///
/// # Errors
/// Whatever the database answers.
pub(super) async fn load(
    conn: &mut AsyncPgConnection,
    ids: &[ItemId],
    model: &str,
) -> QueryResult<Vec<(ItemId, Input)>> {
    let rows: Vec<Row> = statement(include_str!("pieces.sql"))
        .bind::<Array<BigInt>, _>(ids)
        .bind::<Text, _>(model)
        .bind::<BigInt, _>(MOST_PIECES + 1)
        .load(conn)
        .await?;
    let mut inputs: BTreeMap<ItemId, Input> = BTreeMap::new();
    for row in rows {
        let input = inputs.entry(row.id).or_insert_with(|| Input {
            reading: row.reading,
            pieces: Vec::new(),
            goes_on: false,
        });
        if let (Some(seq), Some(text)) = (row.seq, row.text) {
            input.pieces.push(Piece { seq, text });
        }
    }
    let most = usize::try_from(MOST_PIECES).unwrap_or(usize::MAX);
    for input in inputs.values_mut() {
        input.goes_on = input.pieces.len() > most;
        input.pieces.truncate(most);
    }
    Ok(inputs.into_iter().collect())
}

/// Stores the vectors of one document, unless it has been read anew, and asks for it again if pieces are left over.
///
/// # Errors
/// Whatever the database answers.
pub(super) async fn one(
    conn: &mut AsyncPgConnection,
    id: ItemId,
    output: &Output,
) -> QueryResult<()> {
    for vectors in output.vectors.chunks(ROWS) {
        let seqs: Vec<i32> = vectors.iter().map(|(seq, _)| *seq).collect();
        let numbers: Vec<f32> = vectors
            .iter()
            .flat_map(|(_, vector)| vector)
            .copied()
            .collect();
        // PostgreSQL's arrays of arrays are one array with two dimensions: the numbers of all go as one, and are parted there.
        let each = numbers.len() / vectors.len().max(1);
        statement(
            "INSERT INTO embedding (document_id, seq, tenant_id, model, vector) \
             SELECT chunk.document_id, chunk.seq, chunk.tenant_id, $4, ($5::real[])[(at.place - 1) * $6 + 1 : at.place * $6] \
             FROM documents, unnest($2::int[]) WITH ORDINALITY AS at(seq, place), chunk \
             WHERE documents.id = $1 AND documents.process_status = 'Completed' AND documents.deleted_at IS NULL \
                 AND coalesce(documents.processing_completed_at::text, '') = $3 \
                 AND chunk.document_id = documents.id AND chunk.seq = at.seq \
             ON CONFLICT (document_id, seq) DO UPDATE SET model = excluded.model, vector = excluded.vector, created_at = now()",
        )
        .bind::<BigInt, _>(id)
        .bind::<Array<Integer>, _>(seqs)
        .bind::<Text, _>(&output.reading)
        .bind::<Text, _>(&output.model)
        .bind::<Array<Float>, _>(numbers)
        .bind::<Integer, _>(i32::try_from(each).unwrap_or(i32::MAX))
        .execute(conn)
        .await?;
    }
    if output.goes_on {
        queue(conn, id).await?;
    }
    Ok(())
}

/// Asks for the vectors of a document.
///
/// # Errors
/// Whatever the database answers.
pub(in crate::documents) async fn queue(
    conn: &mut AsyncPgConnection,
    id: ItemId,
) -> QueryResult<()> {
    let ask = EMBED.ask(
        "UPDATE {table} AS item SET {set} WHERE item.id = $1",
        &[Request::Queue],
    );
    statement(&ask).bind::<BigInt, _>(id).execute(conn).await?;
    Ok(())
}

/// Takes away the vectors of a document, whose pieces are others now.
///
/// # Errors
/// Whatever the database answers.
pub(in crate::documents) async fn forget(
    conn: &mut AsyncPgConnection,
    id: ItemId,
) -> QueryResult<()> {
    statement("DELETE FROM embedding WHERE document_id = $1")
        .bind::<BigInt, _>(id)
        .execute(conn)
        .await?;
    Ok(())
}

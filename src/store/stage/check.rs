//! Whether a stage of the database is whole, and what to do if it is not.

use diesel::sql_types::{Array, BigInt, Bool, Text};
use diesel::{QueryResult, QueryableByName};
use diesel_async::AsyncPgConnection;

use super::catalogue::{self, Listed};
use super::steps;
use crate::db::sqlstate;
use crate::db::statement::sql_query;

/// Something that is wrong with a stage.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName, serde::Serialize)]
pub struct Finding {
    /// Whether rows are not worked, or not rightly; otherwise it is slow, or will be.
    #[diesel(sql_type = Bool)]
    pub is_failure: bool,
    #[diesel(sql_type = Text)]
    pub found: String,
    /// What to do.
    #[diesel(sql_type = Text)]
    pub advice: String,
}

/// What is wrong with a stage; nothing if it is whole.
///
/// # Errors
/// Whatever the database answers.
pub async fn findings(conn: &mut AsyncPgConnection, listed: &Listed) -> QueryResult<Vec<Finding>> {
    let mut findings = Vec::new();
    let failure = |found: String, advice: String| Finding {
        is_failure: true,
        found,
        advice,
    };
    let table = match catalogue::table(conn, &listed.table_label).await {
        Ok(table) => table,
        Err(catalogue::CatalogueError::Query(error)) => return Err(error),
        Err(error) => {
            let advice = "see that the schema is there, and that this user may use it".to_owned();
            return Ok(vec![failure(error.to_string(), advice)]);
        }
    };
    let again = format!(
        "gleaner stage add '{}' {}",
        listed.table_label, listed.stage
    );
    match steps::lacking(conn, &table, &listed.stage, &[], true).await {
        Ok(steps) => {
            let mut lacking: Vec<String> = steps.into_iter().map(|step| step.what).collect();
            lacking.dedup();
            if !lacking.is_empty() {
                findings.push(failure(
                    format!("it lacks: {}", lacking.join(", ")),
                    format!("run `{again}`, with --concurrently on a large table"),
                ));
            }
        }
        // The schema's own words for what stands in the way.
        Err(error) if sqlstate::code(&error) == Some(sqlstate::RAISED) => {
            findings.push(failure(error.to_string(), format!("then run `{again}`")));
        }
        Err(error) => return Err(error),
    }
    let more: Vec<Finding> = sql_query(include_str!("check/findings.sql"))
        .bind::<BigInt, _>(table.oid)
        .bind::<Text, _>(&listed.stage)
        .bind::<Array<Text>, _>(&listed.key_columns)
        .bind::<Bool, _>(listed.has_handle)
        .load(conn)
        .await?;
    let may_read = !more.iter().any(|own| own.found.contains(" may not "));
    findings.extend(more);
    if may_read
        && !findings
            .iter()
            .any(|own| own.found.starts_with("it lacks: columns"))
    {
        let stage = listed.stage();
        let rows = steps::never_due(conn, &stage).await?;
        if rows > 0 {
            findings.push(failure(
                format!(
                    "{}{rows} rows say Queued, and nothing has made them due: they are from before the stage, or came past its triggers",
                    if rows >= 1000 { "at least " } else { "" }
                ),
                make_due(&stage),
            ));
        }
    }
    Ok(findings)
}

/// The statement by which anybody asks for rows.
#[must_use]
pub fn ask_for(stage: &super::Stage) -> String {
    stage
        .names
        .fill("UPDATE {table} SET {stage}_status = 'Queued' WHERE …")
}

/// The statement that has rows worked which say `Queued` from before the stage.
#[must_use]
pub fn make_due(stage: &super::Stage) -> String {
    let lacks_key = if stage.key().has_handle() {
        " OR {key} IS NULL"
    } else {
        ""
    };
    stage.names.fill(&format!(
        "UPDATE {{table}} SET {{stage}}_due_at = now() WHERE {{stage}}_status = 'Queued' AND ({{stage}}_due_at IS NULL{lacks_key})"
    ))
}

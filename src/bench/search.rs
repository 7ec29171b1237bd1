//! How good the search in documents is, on sets of questions with judged answers, and how fast it is among very many pieces.
//!
//! A set is a file `NAME.json.gz`: `{"docs": [[id, title, text]…], "q": {id: question}, "rel": {id: {document: grade}}}`. Each of its
//! documents is one piece of one tenant's.

use std::collections::{BTreeMap, HashMap};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use diesel::QueryableByName;
use diesel::sql_types::{Array, BigInt, Text};
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection as _};
use flate2::read::GzDecoder;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::language::random_words;
use super::scratch::{Scratch, ServerSettings};
use super::{BenchError, number, percentile, rounded};
use crate::db::statement::sql_query;
use crate::documents::search::{self, Cursor, Filter, Query};

/// Largest file of a set, inflated, in bytes.
const LARGEST_SET: u64 = 256 << 20;
/// Rows of one insert.
const BATCH: usize = 500;
/// Hits that recall is taken over.
const RECALL_AT: usize = 100;
/// Hits that the gain is taken over.
const GAIN_AT: usize = 10;
/// Words of a made piece.
const WORDS_OF_PIECE: usize = 140;
/// Questions asked of made pieces.
const QUESTIONS: usize = 300;
/// Longest question that is asked, in code points.
const LONGEST_QUESTION: usize = 400;

/// What is measured.
#[derive(Clone, Debug)]
pub struct Searches {
    /// The folder of the sets; none to measure time alone.
    pub folder: Option<PathBuf>,
    /// Pieces of a tenant that are made to be searched.
    pub pieces: u32,
    /// Pieces that another has at the same time: so many times as many, each of so many words.
    pub others: u32,
    pub other_words: usize,
}

/// What came out of a set.
#[derive(Clone, Debug, Serialize)]
pub struct Judged {
    pub documents: usize,
    pub questions: usize,
    pub ndcg_at_10: f64,
    pub recall_at_100: f64,
    pub p50_ms: f64,
    pub p95_ms: f64,
}

/// What came out.
#[derive(Clone, Debug, Serialize)]
pub struct Searched {
    pub sets: BTreeMap<String, Judged>,
    /// Pieces of the tenant who searched for speed.
    pub pieces: u32,
    /// Median time of a search among them, and the time that 95 of 100 keep, in milliseconds.
    pub p50_ms: f64,
    pub p95_ms: f64,
    /// The slowest.
    pub slowest_ms: f64,
    /// Pieces of another tenant that were added then, the words of each, and how long that took.
    pub others: u64,
    pub other_words: usize,
    pub others_seconds: f64,
    /// What the pieces of both then take on the disk, with their indexes.
    pub pieces_bytes: u64,
    /// The same searches again, the first time after that: much of what they read has to come from the disk.
    pub with_others_cold_p50_ms: f64,
    pub with_others_cold_p95_ms: f64,
    /// And once more, with as much in memory as before.
    pub with_others_p50_ms: f64,
    pub with_others_p95_ms: f64,
    #[serde(flatten)]
    pub server: ServerSettings,
}

#[derive(Deserialize)]
struct Set {
    docs: Vec<(String, String, String)>,
    q: BTreeMap<String, String>,
    rel: HashMap<String, HashMap<String, f64>>,
}

/// Measures.
///
/// # Errors
/// Whatever the database answers; a set that cannot be read.
pub async fn search(scratch: &mut Scratch, what: &Searches) -> Result<Searched, BenchError> {
    let mut sets = BTreeMap::new();
    for (name, path) in what
        .folder
        .as_deref()
        .map(files)
        .transpose()?
        .unwrap_or_default()
    {
        let set = read(&path)?;
        sets.insert(name.clone(), judge(scratch, &name, &set).await?);
    }
    let questions = made_questions();
    let (mut alone, mut cold, mut among) = (Vec::new(), Vec::new(), Vec::new());
    let (mut others, mut others_seconds) = (0, 0.0);
    if what.pieces > 0 {
        let tenant = make(scratch, what.pieces).await?;
        alone = times(scratch.admin(), tenant, &questions).await?;
        if what.others > 0 {
            others = u64::from(what.pieces) * u64::from(what.others);
            let start = Instant::now();
            copy(scratch.admin(), tenant, what.others, what.other_words).await?;
            others_seconds = rounded(start.elapsed().as_secs_f64());
            cold = times(scratch.admin(), tenant, &questions).await?;
            among = times(scratch.admin(), tenant, &questions).await?;
        }
    }
    Ok(Searched {
        sets,
        pieces: what.pieces,
        p50_ms: rounded(percentile(&alone, 50)),
        p95_ms: rounded(percentile(&alone, 95)),
        slowest_ms: rounded(percentile(&alone, 100)),
        others,
        other_words: what.other_words.min(WORDS_OF_PIECE),
        others_seconds,
        pieces_bytes: size(scratch.admin()).await?,
        with_others_cold_p50_ms: rounded(percentile(&cold, 50)),
        with_others_cold_p95_ms: rounded(percentile(&cold, 95)),
        with_others_p50_ms: rounded(percentile(&among, 50)),
        with_others_p95_ms: rounded(percentile(&among, 95)),
        server: scratch.server_settings().await?,
    })
}

/// The sets in a folder.
fn files(folder: &Path) -> Result<Vec<(String, PathBuf)>, BenchError> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if let Some(name) = name.and_then(|name| name.strip_suffix(".json.gz")) {
            found.push((name.to_owned(), path.clone()));
        }
    }
    found.sort();
    Ok(found)
}

fn read(path: &Path) -> Result<Set, BenchError> {
    let file = std::fs::File::open(path)?;
    let bounded = GzDecoder::new(file).take(LARGEST_SET);
    Ok(serde_json::from_reader(std::io::BufReader::new(bounded)).map_err(std::io::Error::from)?)
}

async fn judge(scratch: &mut Scratch, name: &str, set: &Set) -> Result<Judged, BenchError> {
    let conn = scratch.admin();
    let tenant = tenant(conn, name).await?;
    for docs in set.docs.chunks(BATCH) {
        let names: Vec<&str> = docs.iter().map(|(id, ..)| id.as_str()).collect();
        let texts: Vec<String> = docs
            .iter()
            .map(|(_, title, text)| {
                // Some repeat their title.
                if text.starts_with(title.as_str()) {
                    text.replace('\0', " ")
                } else {
                    format!("{title}\n\n{text}").replace('\0', " ")
                }
            })
            .collect();
        insert(conn, tenant, "english", &names, &texts).await?;
    }
    conn.batch_execute("ANALYZE chunk, documents, document_page")
        .await?;
    let (mut gains, mut recalls, mut millis) = (0.0, 0.0, Vec::new());
    for (id, question) in &set.q {
        let Some(grades) = set.rel.get(id) else {
            continue;
        };
        let Some(query) = asked(question) else {
            continue;
        };
        let start = Instant::now();
        search::search(conn, tenant, &query, &Filter::default(), None, 10).await?;
        millis.push(start.elapsed().as_secs_f64() * 1_000.0);
        let ranked = ranked(conn, tenant, &query).await?;
        gains += gain(&ranked, grades);
        recalls += recall(&ranked, grades);
    }
    millis.sort_by(f64::total_cmp);
    let questions = number(u64::try_from(millis.len().max(1)).unwrap_or(1));
    Ok(Judged {
        documents: set.docs.len(),
        questions: millis.len(),
        ndcg_at_10: rounded(gains / questions),
        recall_at_100: rounded(recalls / questions),
        p50_ms: rounded(percentile(&millis, 50)),
        p95_ms: rounded(percentile(&millis, 95)),
    })
}

/// A question as somebody would ask it here, where quotation marks and a minus before a word mean something.
fn asked(question: &str) -> Option<Query> {
    let plain = question.replace('"', " ").replace(" -", " ");
    let short: String = plain.chars().take(LONGEST_QUESTION).collect();
    Query::parse(short.trim_start_matches('-')).ok()
}

/// The names of the best documents, best first.
async fn ranked(
    conn: &mut AsyncPgConnection,
    tenant: i64,
    query: &Query,
) -> Result<Vec<String>, BenchError> {
    let mut names = Vec::new();
    let mut cursor: Option<Cursor> = None;
    while names.len() < RECALL_AT {
        let filter = Filter::default();
        let found =
            search::search(conn, tenant, query, &filter, cursor.as_ref(), search::MOST).await?;
        let found = found.unwrap_or_default();
        names.extend(found.hits.into_iter().map(|hit| hit.filename));
        cursor = found.next;
        if cursor.is_none() {
            break;
        }
    }
    names.truncate(RECALL_AT);
    Ok(names)
}

/// nDCG: what the first ones gain, of what they could.
fn gain(ranked: &[String], grades: &HashMap<String, f64>) -> f64 {
    let at = |rank: usize| (number(u64::try_from(rank).unwrap_or(0)) + 2.0).log2();
    let sum = |grades: &mut dyn Iterator<Item = f64>| -> f64 {
        let first = grades.take(GAIN_AT).enumerate();
        first.map(|(rank, grade)| grade / at(rank)).sum()
    };
    let mut best: Vec<f64> = grades.values().copied().collect();
    best.sort_by(|one, other| other.total_cmp(one));
    let ideal = sum(&mut best.into_iter());
    let grade = |name: &String| grades.get(name).copied().unwrap_or(0.0);
    let gained = sum(&mut ranked.iter().map(grade));
    if ideal > 0.0 { gained / ideal } else { 0.0 }
}

fn recall(ranked: &[String], grades: &HashMap<String, f64>) -> f64 {
    let wanted = grades.values().filter(|grade| **grade > 0.0).count();
    let is_wanted = |name: &&String| grades.get(*name).is_some_and(|grade| *grade > 0.0);
    let found = ranked.iter().filter(is_wanted).count();
    let count = |some: usize| number(u64::try_from(some).unwrap_or(0));
    if wanted == 0 {
        0.0
    } else {
        count(found) / count(wanted)
    }
}

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

async fn tenant(conn: &mut AsyncPgConnection, name: &str) -> Result<i64, BenchError> {
    let made: Id = sql_query(
        "WITH made AS (INSERT INTO tenant (name) VALUES ($1) RETURNING id) \
         INSERT INTO blob (tenant_id, sha256, bytes, refs) SELECT id, sha256('bench'), 1, 1 FROM made RETURNING tenant_id AS id",
    )
    .bind::<Text, _>(name)
    .get_result(conn)
    .await?;
    Ok(made.id)
}

/// Documents of one page and one piece each.
async fn insert(
    conn: &mut AsyncPgConnection,
    tenant: i64,
    config: &str,
    names: &[&str],
    texts: &[String],
) -> Result<(), BenchError> {
    sql_query(
        "WITH given AS (SELECT * FROM unnest($3, $4) AS given(name, text)), \
         document AS ( \
             INSERT INTO documents (tenant_id, filename, original_filename, file_size, sha256, process_status, page_count, total_chunks) \
             SELECT $1, name, name, 1, sha256('bench'), 'Completed', 1, 1 FROM given RETURNING id, filename \
         ), page AS ( \
             INSERT INTO document_page (document_id, number, tenant_id, start_char, chars, text) \
             SELECT document.id, 1, $1, 0, length(text), text FROM document JOIN given ON name = filename \
         ) \
         INSERT INTO chunk (tenant_id, document_id, seq, page_from, page_to, start_char, end_char, config, words, tsv) \
         SELECT $1, document.id, 0, 1, 1, 0, length(text), $2::regconfig, \
             (SELECT coalesce(sum(cardinality(positions)), 0) FROM unnest(tsv)), tsv \
         FROM document JOIN given ON name = filename, LATERAL (SELECT to_tsvector($2::regconfig, text) AS tsv) AS read \
         WHERE text <> ''",
    )
    .bind::<BigInt, _>(tenant)
    .bind::<Text, _>(config)
    .bind::<Array<Text>, _>(names)
    .bind::<Array<Text>, _>(texts)
    .execute(conn)
    .await?;
    Ok(())
}

/// Questions of two to eight words, by which common and rare ones are asked for alike.
fn made_questions() -> Vec<String> {
    let mut random = StdRng::seed_from_u64(2);
    let question = |_| {
        let words = random.random_range(2..=8);
        random_words(&mut random, words)
    };
    (0..QUESTIONS).map(question).collect()
}

/// How the table is filled is not measured here: it needs no log, what it refers to is there, and the index of the words is dropped. What
/// builds that anew.
async fn without_index(conn: &mut AsyncPgConnection) -> Result<String, BenchError> {
    #[derive(QueryableByName)]
    struct Definition {
        #[diesel(sql_type = Text)]
        definition: String,
    }
    let index: Definition = sql_query(
        "SELECT pg_get_indexdef('chunk_keys_idx'::regclass) \
         || '; ALTER INDEX chunk_keys_idx ALTER COLUMN 1 SET STATISTICS 0' AS definition",
    )
    .get_result(conn)
    .await?;
    conn.batch_execute(
        "DROP INDEX chunk_keys_idx; ALTER TABLE chunk DROP CONSTRAINT IF EXISTS chunk_document_id_fk; \
         ALTER TABLE chunk SET UNLOGGED; SET maintenance_work_mem = '1GB'",
    )
    .await?;
    Ok(index.definition)
}

/// A tenant with so many pieces.
async fn make(scratch: &mut Scratch, pieces: u32) -> Result<i64, BenchError> {
    let conn = scratch.admin();
    let tenant = tenant(conn, "made").await?;
    let index = without_index(conn).await?;
    let mut random = StdRng::seed_from_u64(1);
    let all: Vec<u32> = (0..pieces).collect();
    for some in all.chunks(BATCH) {
        let names: Vec<String> = some.iter().map(|at| format!("made-{at}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let texts: Vec<String> = some
            .iter()
            .map(|_| random_words(&mut random, WORDS_OF_PIECE))
            .collect();
        insert(conn, tenant, "simple", &names, &texts).await?;
    }
    conn.batch_execute(&index).await?;
    conn.batch_execute("VACUUM ANALYZE chunk, documents, document_page")
        .await?;
    Ok(tenant)
}

/// Another tenant who has the same pieces so many times, or of each so many words.
async fn copy(
    conn: &mut AsyncPgConnection,
    of: i64,
    times: u32,
    words: usize,
) -> Result<(), BenchError> {
    let other = tenant(conn, "another").await?;
    let index = without_index(conn).await?;
    let (tsv, count) = if words < WORDS_OF_PIECE {
        let some = format!("array_to_tsvector((tsvector_to_array(tsv))[1:{words}])");
        (some, words.to_string())
    } else {
        ("tsv".to_owned(), "words".to_owned())
    };
    conn.batch_execute(&format!(
        "CREATE TEMPORARY TABLE copied AS SELECT config, {count} AS words, {tsv} AS tsv FROM chunk WHERE tenant_id = {of}"
    ))
    .await?;
    for round in 0..times {
        sql_query(
            "WITH document AS ( \
                 INSERT INTO documents (tenant_id, filename, original_filename, file_size, sha256, process_status) \
                 VALUES ($1, $2, $2, 1, sha256('bench'), 'Completed') RETURNING id \
             ) INSERT INTO chunk (tenant_id, document_id, seq, page_from, page_to, start_char, end_char, config, words, tsv) \
             SELECT $1, document.id, row_number() OVER (), 1, 1, 0, 1, config, words, tsv FROM copied, document",
        )
        .bind::<BigInt, _>(other)
        .bind::<Text, _>(format!("copy-{round}"))
        .execute(conn)
        .await?;
    }
    conn.batch_execute(&index).await?;
    conn.batch_execute("DROP TABLE copied").await?;
    conn.batch_execute("VACUUM ANALYZE chunk").await?;
    Ok(())
}

/// Bytes that all pieces take, with their indexes.
async fn size(conn: &mut AsyncPgConnection) -> Result<u64, BenchError> {
    #[derive(QueryableByName)]
    struct Size {
        #[diesel(sql_type = BigInt)]
        bytes: i64,
    }
    let size: Size = sql_query("SELECT pg_total_relation_size('chunk') AS bytes")
        .get_result(conn)
        .await?;
    Ok(size.bytes.unsigned_abs())
}

/// What each search took, in milliseconds, sorted.
async fn times(
    conn: &mut AsyncPgConnection,
    tenant: i64,
    questions: &[String],
) -> Result<Vec<f64>, BenchError> {
    let mut millis = Vec::new();
    for question in questions {
        let Some(query) = asked(question) else {
            continue;
        };
        let start = Instant::now();
        search::search(conn, tenant, &query, &Filter::default(), None, 10).await?;
        millis.push(start.elapsed().as_secs_f64() * 1_000.0);
    }
    millis.sort_by(f64::total_cmp);
    Ok(millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gain_is_that_of_the_best_order_or_less() {
        let grades = HashMap::from([("a".to_owned(), 2.0), ("b".to_owned(), 1.0)]);
        let names = |names: &[&str]| {
            names
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>()
        };
        let close = |one: f64, other: f64| (one - other).abs() < 1e-9;
        assert!(close(gain(&names(&["a", "b"]), &grades), 1.0));
        let worse = (1.0 + 2.0 / 3.0_f64.log2()) / (2.0 + 1.0 / 3.0_f64.log2());
        assert!(close(gain(&names(&["b", "a"]), &grades), worse));
        assert!(close(gain(&names(&["c"]), &grades), 0.0));
        assert!(close(recall(&names(&["c", "b"]), &grades), 0.5));
    }
}

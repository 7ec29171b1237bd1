//! document-embedding: vectors of pieces, by a server over HTTP and by a command.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use gleaner::config::Config;
use gleaner::documents::embedding::{DocumentEmbedding, Embedding};
use gleaner::documents::processing::DocumentProcessing;
use gleaner::secret::Secret;
use serde_json::{Value, json};

use super::desk::Desk;
use crate::support::documents::{Ready, Service, Tenant};
use crate::support::{TestDatabase, wait_until};

const ASK: &str = "UPDATE documents SET embed_status = 'Queued'";
const VECTORS: &str = "SELECT document_id, seq, model, vector::real[] FROM embedding ORDER BY 1, 2";

/// What a server says to a batch.
type Says = fn(&[Value], usize) -> Response;

/// The token that came with a question, and the question.
type Asked = (Option<String>, Value);

/// A server of a model.
#[derive(Clone)]
struct Model {
    says: Says,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Model {
    async fn start(says: Says) -> (Self, SocketAddr) {
        let model = Self {
            says,
            asked: Arc::default(),
        };
        let answer = |State(model): State<Self>, headers: HeaderMap, body: String| async move {
            model.answer(&headers, &body)
        };
        let app = Router::new()
            .route("/v1/embeddings", post(answer))
            .with_state(model.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, app).await });
        (model, address)
    }

    fn answer(&self, headers: &HeaderMap, body: &str) -> Response {
        let question: Value = serde_json::from_str(body).expect("JSON");
        let token = headers
            .get("authorization")
            .map(|value| value.to_str().expect("text").to_owned());
        let texts = question["input"].as_array().expect("texts").clone();
        let before = {
            let mut asked = self.asked.lock().expect("nobody panicked");
            asked.push((token, question));
            asked.len() - 1
        };
        (self.says)(&texts, before)
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("nobody panicked").clone()
    }
}

/// Of each text its length, and how many times it says "kettle"; from the last to the first.
fn vectors(texts: &[Value], _before: usize) -> Response {
    let of = |text: &Value| {
        let text = text.as_str().expect("a text");
        json!([text.chars().count(), text.matches("kettle").count()])
    };
    let data = texts
        .iter()
        .enumerate()
        .rev()
        .map(|(index, text)| json!({ "index": index, "embedding": of(text) }));
    let answer = json!({ "object": "list", "data": data.collect::<Vec<_>>() });
    answer.to_string().into_response()
}

/// The program with nothing but this workflow, which asks a server.
async fn asking(
    database: TestDatabase,
    address: SocketAddr,
    change: impl FnOnce(&mut Embedding),
) -> Service {
    Service::start(database, |config: &mut Config| {
        config.workflows.of_mut::<DocumentEmbedding>().enabled = true;
        let options = config.workflows.options_mut::<DocumentEmbedding>();
        options.command = Vec::new();
        options.endpoint = format!("http://{address}/v1/embeddings");
        options.token = Secret::new("sesame");
        options.model = "toy".to_owned();
        options.dimensions = 2;
        options.batch_texts = 2;
        options.allow_networks = vec!["127.0.0.0/8".parse().expect("a network")];
        change(options);
    })
    .await
}

async fn settled(database: &TestDatabase) {
    wait_until("no document waits for its vectors", async || {
        let left = "SELECT count(*) FROM documents WHERE embed_status IN ('Queued', 'Processing') OR embed_lease IS NOT NULL";
        database.count(left).await == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_makes_the_vectors_of_every_tenant_s_pieces() {
    let database = TestDatabase::new().await;
    let (one, other) = (
        Tenant::create(&database, "a").await,
        Tenant::create(&database, "b").await,
    );
    let pages = [
        "A kettle añ😀.",
        "",
        "No pot is a kettle, no kettle a pot.",
        "Tea",
    ];
    Ready::new("a.txt", &pages).insert(&database, &one).await;
    Ready::new("b.txt", &["Their kettle"])
        .insert(&database, &other)
        .await;
    // First it is busy, and says for how long.
    let (model, address) = Model::start(|texts, before| match before {
        0 => (
            StatusCode::TOO_MANY_REQUESTS,
            [("retry-after", "1")],
            "later",
        )
            .into_response(),
        _ => vectors(texts, before),
    })
    .await;
    let service = asking(database, address, |_| {}).await;
    let database = service.database();
    database.run(ASK).await;
    settled(database).await;
    assert_eq!(
        database.rows(VECTORS).await,
        [
            "1|0|toy|{13,1}",
            "1|1|toy|{36,2}",
            "1|2|toy|{3,0}",
            "2|0|toy|{12,1}"
        ]
    );
    let asked = model.asked();
    assert_eq!(asked.len(), 4, "{asked:?}");
    for (token, question) in &asked {
        assert_eq!(token.as_deref(), Some("Bearer sesame"));
        assert_eq!(question["model"], "toy");
        assert!(
            question["input"]
                .as_array()
                .is_some_and(|all| all.len() <= 2)
        );
    }
    let ends = "SELECT embed_status, status FROM documents";
    assert_eq!(database.rows(ends).await, ["Completed|ready"; 2]);

    // Whoever serves a tenant sees that tenant's alone.
    let client = database.client().await;
    let seen = format!(
        "BEGIN; SET LOCAL ROLE gleaner_tenant; SET LOCAL gleaner.tenant = '{}'",
        other.id
    );
    client
        .batch_execute(&seen)
        .await
        .expect("a tenant's rights");
    let row = client
        .query_one("SELECT count(*) FROM embedding", &[])
        .await;
    assert_eq!(row.expect("a count").get::<_, i64>(0), 1);
    let written = client.execute("DELETE FROM embedding", &[]).await;
    assert!(written.is_err());

    // What has its vector is not asked for again.
    database.run(ASK).await;
    settled(database).await;
    assert_eq!(model.asked().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_does_not_fit_is_no_vector_and_the_document_stays_ready() {
    for (says, class) in [
        (
            (|_, _| r#"{"data": [{"embedding": [1, 2, 3]}]}"#.into_response()) as Says,
            "model_answer",
        ),
        (|_, _| "<html>".into_response(), "model_answer"),
        (
            |_, _| (StatusCode::UNPROCESSABLE_ENTITY, "too long").into_response(),
            "model_refused",
        ),
        (
            |_, _| StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            "model_broken",
        ),
    ] {
        let database = TestDatabase::new().await;
        let tenant = Tenant::create(&database, "a").await;
        Ready::new("a.txt", &["A kettle."])
            .insert(&database, &tenant)
            .await;
        let (_model, address) = Model::start(says).await;
        let service = asking(database, address, |_| {}).await;
        let database = service.database();
        database.run(ASK).await;
        settled(database).await;
        let ends = database
            .rows("SELECT embed_status, status, embed_error FROM documents")
            .await
            .concat();
        assert!(ends.starts_with(&format!("Error|ready|{class}")), "{ends}");
        assert_eq!(database.count("SELECT count(*) FROM embedding").await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_address_is_asked_only_where_that_is_said_and_nobody_is_charged() {
    let database = TestDatabase::new().await;
    let tenant = Tenant::create(&database, "a").await;
    Ready::new("a.txt", &["A kettle."])
        .insert(&database, &tenant)
        .await;
    let (model, address) = Model::start(vectors).await;
    let service = asking(database, address, |options| options.allow_networks.clear()).await;
    let database = service.database();
    database.run(ASK).await;
    wait_until("it was put off", async || {
        let told = "SELECT count(*) FROM attempt WHERE outcome = 'snoozed'";
        database.count(told).await > 0
    })
    .await;
    let ends = "SELECT embed_status, embed_attempts FROM documents";
    assert_eq!(database.rows(ends).await, ["Queued|0"]);
    assert_eq!(model.asked().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_had_before_a_failure_is_kept_and_the_rest_asked_for_again() {
    let database = TestDatabase::new().await;
    let tenant = Tenant::create(&database, "a").await;
    let pages = ["One", "Two", "Three", "Four", "Five"];
    Ready::new("a.txt", &pages).insert(&database, &tenant).await;
    let (model, address) = Model::start(|texts, before| match before {
        1 => StatusCode::BAD_GATEWAY.into_response(),
        _ => vectors(texts, before),
    })
    .await;
    let service = asking(database, address, |_| {}).await;
    let database = service.database();
    database.run(ASK).await;
    settled(database).await;
    assert_eq!(database.count("SELECT count(*) FROM embedding").await, 5);
    // Two, the two that failed, these again, and one.
    assert_eq!(model.asked().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_with_many_pieces_is_worked_in_turns() {
    let database = TestDatabase::new().await;
    let tenant = Tenant::create(&database, "a").await;
    Ready::new("a.txt", &["A kettle."])
        .insert(&database, &tenant)
        .await;
    database
        .run(
            "INSERT INTO chunk (tenant_id, document_id, seq, page_from, page_to, start_char, end_char, config, words, tsv) \
             SELECT tenant_id, document_id, n, 1, 1, 0, 8, config, words, tsv FROM chunk, generate_series(1, 4100) AS n",
        )
        .await;
    let (_model, address) = Model::start(vectors).await;
    let service = asking(database, address, |options| options.batch_texts = 500).await;
    let database = service.database();
    database.run(ASK).await;
    settled(database).await;
    assert_eq!(
        database.count("SELECT count(*) FROM embedding").await,
        4_101
    );
    let turns = "SELECT count(*) FROM attempt WHERE outcome = 'completed'";
    assert_eq!(database.count(turns).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_makes_the_vectors_of_what_was_read_and_a_new_reading_takes_them_away() {
    let desk = Desk::start(|config| {
        config.workflows.of_mut::<DocumentProcessing>().enabled = true;
        config.workflows.of_mut::<DocumentEmbedding>().enabled = true;
        config.workflows.options_mut::<DocumentProcessing>().embed = true;
        let options = config.workflows.options_mut::<DocumentEmbedding>();
        // The length of the line that it is told.
        let model = r#"while read -r line; do printf '{"data": [{"embedding": [%d, 0.5]}]}\n' ${#line}; done"#;
        options.command = ["/bin/sh", "-c", model].map(str::to_owned).to_vec();
        options.model = "lengths".to_owned();
    })
    .await;
    let tenant = desk.tenant("a", 1_000_000).await;
    let sent = desk
        .upload(&tenant, "kettle.txt", b"The kettle is made of brass.")
        .await;
    assert_eq!(sent.status, 201, "{sent:?}");
    let database = desk.database();
    let made = "SELECT count(*) FROM embedding";
    wait_until("it has vectors", async || database.count(made).await == 1).await;
    let line = json!({ "model": "lengths", "input": ["The kettle is made of brass."] });
    assert_eq!(
        database.rows(VECTORS).await,
        [format!("1|0|lengths|{{{},0.5}}", line.to_string().len())]
    );
    let first: String = database
        .scalar("SELECT created_at::text FROM embedding")
        .await;
    database.run("UPDATE documents SET status = 'queued'").await;
    wait_until("it was read and has vectors again", async || {
        let later = format!("SELECT count(*) FROM embedding WHERE created_at > '{first}'");
        database.count(&later).await == 1
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_not_there_or_says_nothing_charges_or_fails_as_it_should() {
    for (command, expected) in [
        (vec!["/nowhere/embed"], "Queued|0|"),
        (vec!["/bin/true"], "Error|5|model_broken"),
        (
            vec!["/bin/sh", "-c", "cat >/dev/null"],
            "Error|5|model_broken",
        ),
        (
            vec!["/bin/sh", "-c", "yes | tr -d '\\n'"],
            "Error|5|model_broken",
        ),
    ] {
        let database = TestDatabase::new().await;
        let tenant = Tenant::create(&database, "a").await;
        Ready::new("a.txt", &["A kettle."])
            .insert(&database, &tenant)
            .await;
        let service = Service::start(database, |config: &mut Config| {
            config.workflows.of_mut::<DocumentEmbedding>().enabled = true;
            let options = config.workflows.options_mut::<DocumentEmbedding>();
            options.command = command.iter().map(|word| (*word).to_owned()).collect();
            options.answer_timeout = Duration::from_secs(1);
        })
        .await;
        let database = service.database();
        database.run(ASK).await;
        wait_until("it came to an end, or was put off", async || {
            let told = "SELECT count(*) FROM attempt WHERE outcome IN ('snoozed', 'failed')";
            database.count(told).await > 0
        })
        .await;
        let ends = database
            .rows("SELECT embed_status, embed_attempts, embed_error FROM documents")
            .await
            .concat();
        assert!(ends.starts_with(expected), "{command:?}: {ends}");
    }
}

/// Where the server has no pgvector.
#[tokio::test(flavor = "multi_thread")]
async fn without_pgvector_vectors_are_arrays() {
    let database = TestDatabase::new().await;
    database
        .run("ALTER TABLE embedding ALTER COLUMN vector TYPE real[] USING vector::real[]")
        .await;
    let tenant = Tenant::create(&database, "a").await;
    Ready::new("a.txt", &["A kettle."])
        .insert(&database, &tenant)
        .await;
    let (_model, address) = Model::start(vectors).await;
    let service = asking(database, address, |_| {}).await;
    let database = service.database();
    database.run(ASK).await;
    settled(database).await;
    assert_eq!(database.rows(VECTORS).await, ["1|0|toy|{9,1}"]);
}

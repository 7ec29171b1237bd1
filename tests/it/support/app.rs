//! The whole program in this process, on a test's database, with a web on loopback.

#![expect(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

use std::time::Duration;

use gleaner::app::App;
use gleaner::area::Areas;
use gleaner::areas;
use gleaner::config;
use gleaner::config::Config;
use gleaner::documents::config::Documents;
use gleaner::documents::embedding::DocumentEmbedding;
use gleaner::documents::processing::DocumentProcessing;
use gleaner::documents::processing::options::Recognition;
use gleaner::leads::deep_scan::DeepScan;
use gleaner::secret::Secret;
use gleaner::settings::Backoff;
use gleaner::web::fetch;
use gleaner_actors::{DrainReport, TreeStatus};

use super::database::TestDatabase;
use super::wait::wait_until_by;

/// Everything of a pipeline in a test takes less.
const IDLE_PATIENCE: Duration = Duration::from_secs(60);

/// A running program and its database.
pub(crate) struct TestApp {
    app: App,
    pub(crate) database: TestDatabase,
}

impl TestApp {
    /// Starts it on this database, with the tests' configuration changed by `change`.
    pub(crate) async fn start_on(database: TestDatabase, change: impl FnOnce(&mut Config)) -> Self {
        // A configuration is large, and held by every future on the way.
        Box::pin(async move {
            let mut config = test_config(&database);
            change(&mut config);
            Self::start_with(areas::all(), config, database).await
        })
        .await
    }

    /// Starts it with these areas.
    pub(crate) async fn start_with(
        areas: &'static Areas,
        config: Config,
        database: TestDatabase,
    ) -> Self {
        config.validate().unwrap();
        let app = Box::pin(App::start_with(areas, config, None))
            .await
            .unwrap();
        Self { app, database }
    }

    /// The program.
    pub(crate) fn app(&self) -> &App {
        &self.app
    }

    /// The state of its actors.
    pub(crate) async fn status(&self) -> TreeStatus {
        self.app.tree().status().await.unwrap()
    }

    /// The address of its HTTP server.
    pub(crate) fn http(&self, path: &str) -> String {
        format!("http://{}{path}", self.app.http_address().unwrap())
    }

    /// Waits until this stage (`table`, `stage`) has no row left to work, due or not.
    pub(crate) async fn wait_settled(&self, table: &str, stage: &str) {
        let client = self.database.client().await;
        let sql = format!(
            "SELECT count(*) FROM {table} WHERE {stage}_status IN ('Queued', 'Processing')"
        );
        wait_until_by(
            &format!("{table}/{stage} is settled"),
            IDLE_PATIENCE,
            async || {
                let left: i64 = client.query_one(&sql, &[]).await.unwrap().get(0);
                left == 0
            },
        )
        .await;
    }

    /// Stops it in good order, and keeps the database.
    pub(crate) async fn stop(self) -> (DrainReport, TestDatabase) {
        let report = self.app.drain(Duration::from_secs(5)).await;
        (report, self.database)
    }
}

/// The program's configuration, set for tests.
pub(crate) fn test_config(database: &TestDatabase) -> Config {
    let mut config = areas::load(&config::Sources::default()).unwrap();
    set_for_tests(&mut config, database);
    config
}

/// Short intervals, no politeness, tiny backoffs, a key for the deep scan, HTTP on any port.
pub(crate) fn set_for_tests(config: &mut Config, database: &TestDatabase) {
    config.database = database.config();
    config.database.pool_size = 4;
    config.http.listen = "127.0.0.1:0".to_owned();
    config.http.admin_token = Secret::new("");
    config.section_mut::<Documents>().storage = database.folder().display().to_string();
    config.fetch = fetch::Config {
        robots: true,
        allow_networks: Vec::new(),
        max_body_bytes: 8 * 1024 * 1024,
        ..fetch::Config::for_tests()
    };
    config.engine.settle_age = Duration::from_millis(10);
    config.engine.gauges_interval = Duration::from_millis(200);
    config.engine.rescue_interval = Duration::from_millis(500);
    config.workflows.set_interval(Duration::from_secs(1));
    config.workflows.set_backoff(Backoff {
        base: Duration::from_millis(10),
        max: Duration::from_millis(50),
    });
    config.workflows.options_mut::<DeepScan>().api_key = Secret::new("test-key");
    config.workflows.options_mut::<DeepScan>().base_url = "http://places.example.com".to_owned();
    // This program is not gleaner, and cannot be its own reader of documents.
    let processing = config.workflows.options_mut::<DocumentProcessing>();
    env!("CARGO_BIN_EXE_gleaner").clone_into(&mut processing.reader);
    processing.ocr = Recognition::Off;
    // A model that answers each line with the same vector.
    config.workflows.of_mut::<DocumentEmbedding>().enabled = true;
    let embedding = config.workflows.options_mut::<DocumentEmbedding>();
    let model = r#"while read -r line; do echo '{"data": [{"embedding": [1, 0]}]}'; done"#;
    embedding.command = ["/bin/sh", "-c", model].map(str::to_owned).to_vec();
    embedding.dimensions = 2;
    embedding.batch_texts = 1;
}

/// A database in which these statements have been run, and the program on it with nothing but these workflows.
pub(crate) async fn start(
    site: &super::site::Site,
    names: &[&str],
    sql: &str,
    change: impl FnOnce(&mut Config),
) -> TestApp {
    let database = TestDatabase::new().await;
    if !sql.is_empty() {
        database.run(sql).await;
    }
    let web = site.address;
    TestApp::start_on(database, |config| {
        config.fetch.proxy_hosts_to = Some(web);
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        config.workflows.keep_only(&names);
        change(config);
    })
    .await
}

//! Statements of the operator's: what is loaded by one, stored by one, worked by one, and how long one may take.

use super::{Stand, completed, key};

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_stores_the_answers_of_a_batch() {
    let stand = Stand::new(12).await;
    let section = r#"
        columns = ["id"]
        run = { pull = true }
        store = """
            INSERT INTO charge (invoice, total)
            SELECT id, total FROM jsonb_to_recordset($1) AS answer(id bigint, total numeric) WHERE total IS NOT NULL
            ON CONFLICT (invoice) DO UPDATE SET total = excluded.total -- twice is as once"""
        then = ['"Billing"."In""voice"/ship']"#;
    stand
        .work(section, |item| match key(&item) {
            3 => completed(&[("total", "1000")]),
            4 => completed(&[]),
            5 => completed(&[("id", "1")]),
            key => completed(&[("total", &key.to_string()), ("whatever", "[1, {}]")]),
        })
        .await;
    assert_eq!(
        stand
            .database
            .rows("SELECT string_agg(invoice || ':' || total, ' ' ORDER BY invoice) FROM charge")
            .await,
        ["1:1 2:2 6:6 7:7 8:8 9:9 10:10 11:11 12:12"]
    );
    let rows = stand.rows("id, ocr_status, ship_status, ocr_error").await;
    assert!(
        rows[2].starts_with("3|Error||store: new row for relation \"charge\" violates check constraint \"charge_total_check\""),
        "{}",
        rows[2]
    );
    assert_eq!(rows[3], "4|Completed|Queued|");
    assert_eq!(
        rows[4],
        "5|Error||answer: the answer sets \"id\", which is the key of the row"
    );
    assert_eq!(
        rows.iter()
            .filter(|row| row.ends_with("|Completed|Queued|"))
            .count(),
        10
    );
}

/// The limit is on the statement alone: what comes after it in the same transaction has the one of the session.
#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_takes_too_long_is_charged_to_the_row_that_it_takes_long_for() {
    let stand = Stand::new(8).await;
    stand
        .database
        .run(
            "CREATE TABLE noted (what text, timeout text);
             CREATE FUNCTION note_ship() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 INSERT INTO noted VALUES ('then', current_setting('statement_timeout'));
                 RETURN NEW;
             END $$;
             CREATE TRIGGER note_ship AFTER UPDATE ON \"Billing\".\"In\"\"voice\" FOR EACH ROW
                 WHEN (OLD.ship_status IS DISTINCT FROM NEW.ship_status) EXECUTE FUNCTION note_ship();",
        )
        .await;
    let section = r#"
        columns = ["id"]
        run = { pull = true }
        statement_timeout = "300ms"
        store = """
            INSERT INTO noted SELECT 'store', current_setting('statement_timeout')
            FROM jsonb_to_recordset($1) AS answer(id bigint)
            WHERE id <> 5 OR pg_sleep(30) IS NOT NULL"""
        then = ['"Billing"."In""voice"/ship']"#;
    stand.work(section, |_item| completed(&[])).await;
    let rows = stand.rows("id, ocr_status, ocr_attempts, ocr_error").await;
    assert_eq!(
        rows[4],
        "5|Error|2|store: the statement in store took longer than its statement_timeout of 300ms and was cancelled"
    );
    assert_eq!(
        rows.iter()
            .filter(|row| row.contains("|Completed|1|"))
            .count(),
        7
    );
    assert_eq!(
        stand
            .database
            .rows("SELECT what, timeout, count(*) FROM noted GROUP BY 1, 2 ORDER BY 1")
            .await,
        ["store|300ms|7", "then|30s|7"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_loads_what_handlers_are_given() {
    let stand = Stand::new(6).await;
    stand
        .database
        .run("INSERT INTO charge VALUES (1, 10), (2, 20), (3, 30), (5, 50), (6, 60)")
        .await;
    let section = r#"
        load = """
            SELECT i.id, c.total AS charged, repeat('x', CASE i.id WHEN 5 THEN 5000 ELSE 1 END) AS text
            FROM "Billing"."In""voice" i JOIN charge c ON c.invoice = i.id
            CROSS JOIN generate_series(1, CASE i.id WHEN 3 THEN 2 ELSE 1 END)
            WHERE i.id = ANY($1) AND (i.id <> 6 OR pg_sleep(30) IS NOT NULL) -- not the one that takes long"""
        max_row_bytes = 1000
        statement_timeout = "300ms"
        run = { pull = true }
        store = ["exact", "note"]"#;
    stand
        .work(section, |item| {
            let row: serde_json::Value = serde_json::from_str(item.columns.get()).unwrap();
            assert_eq!(row["id"], key(&item));
            completed(&[
                ("exact", &row["charged"].to_string()),
                ("note", &row["text"].to_string()),
            ])
        })
        .await;
    assert_eq!(
        stand
            .rows("id, ocr_status, ocr_attempts, exact, note, ocr_error")
            .await,
        [
            "1|Completed|1|10|x|",
            "2|Completed|1|20|x|",
            "3|Error|1|||row: the statement in load yields several rows for it: let it yield one, with jsonb_agg for what is several",
            "4|Error|1|||row: the statement in load yields no row for it",
            "5|Error|1|||row: what is given of the row has 5031 bytes, and max_row_bytes is 1000",
            "6|Error|2|||load: the statement in load took longer than its statement_timeout of 300ms and was cancelled",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_may_not_write() {
    let stand = Stand::new(1).await;
    stand
        .database
        .run(
            "CREATE FUNCTION charged(bigint) RETURNS numeric LANGUAGE sql AS \
             'INSERT INTO charge VALUES ($1, 1) RETURNING total'",
        )
        .await;
    let section = r#"
        load = 'SELECT id, charged(id) AS total FROM "Billing"."In""voice" WHERE id = ANY($1)'
        run = { pull = true }"#;
    stand.work(section, |_item| completed(&[])).await;
    assert_eq!(
        stand.rows("ocr_status, ocr_error").await,
        ["Error|load: the statement in load writes, and may only read"]
    );
    assert_eq!(stand.database.count("SELECT count(*) FROM charge").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_works_rows_by_itself() {
    // Without a word on which rows are done, all are.
    let stand = Stand::new(20).await;
    let section = r#"
        run = { sql = 'UPDATE "Billing"."In""voice" SET total = id * 2 WHERE id = ANY($1)' }
        then = ['"Billing"."In""voice"/ship']"#;
    stand.work(section, |_item| panic!("nobody is asked")).await;
    let done = "SELECT count(*) FROM \"Billing\".\"In\"\"voice\" \
        WHERE ocr_status = 'Completed' AND total = id * 2 AND ship_status = 'Queued'";
    assert_eq!(stand.database.count(done).await, 20);

    // With one, those alone that it names, and the one that it breaks down over is alone with that.
    let stand = Stand::new(20).await;
    let section = r#"
        run = { sql = '''
            UPDATE "Billing"."In""voice" SET exact = 1 / (id - 13) WHERE id = ANY($1) AND id <> 7
            RETURNING id::integer AS done''' }"#;
    stand.work(section, |_item| panic!("nobody is asked")).await;
    let rows = stand.rows("id, ocr_status, ocr_error, exact IS NULL").await;
    assert_eq!(
        rows[6],
        "7|Error|store: the statement in run.sql does not say that it has done this row: it yields other keys, and not its|t"
    );
    assert_eq!(rows[12], "13|Error|store: division by zero|t");
    assert_eq!(
        rows.iter()
            .filter(|row| row.ends_with("|Completed||f"))
            .count(),
        18
    );
}

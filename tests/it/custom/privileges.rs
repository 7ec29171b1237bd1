//! What the role of the database may not do is told before anything runs, with the GRANT that it takes.

use gleaner::custom::check::examine_with;

use super::{HEAD, Stand, customs};

/// A role of the test's own, which belongs to all databases of the server.
struct Role<'a>(&'a Stand, String);

impl Role<'_> {
    async fn told(&self, section: &str) -> Vec<String> {
        let mut client = self.0.database.client().await;
        let role = &self.1;
        client
            .batch_execute(&format!("SET ROLE {role}"))
            .await
            .expect("the role");
        let customs = customs(&format!("[a]\n{HEAD}\n{section}"));
        let examined = examine_with(&mut client, &customs).await;
        let mistakes = examined.expect("an answer").mistakes;
        let told = mistakes.iter().map(ToString::to_string);
        told.map(|line| line.replace(role.as_str(), "ROLE"))
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_role_may_not_do_is_told() {
    let stand = Stand::new(0).await;
    let name = format!("{}_worker", stand.database.name());
    stand
        .database
        .run(&format!(
            "CREATE ROLE {name}; GRANT USAGE ON SCHEMA \"Billing\" TO {name};
             GRANT SELECT (id, amount, ocr_attempts, total), UPDATE (currency) ON \"Billing\".\"In\"\"voice\" TO {name};
             GRANT SELECT ON charge TO {name};"
        ))
        .await;
    let role = Role(&stand, name.clone());
    let by_columns = role
        .told("columns = ['id', 'due']\nstore = ['total', 'currency']\nrun = { pull = true }")
        .await;
    let by_statements = role
        .told(
            "load = 'SELECT invoice AS id FROM charge WHERE invoice = ANY($1)'\n\
             store = 'INSERT INTO charge SELECT 1, 2 FROM jsonb_array_elements($1)'\nrun = { pull = true }",
        )
        .await;
    let then = role
        .told(
            "columns = ['id']\nrun = { pull = true }\nthen = ['\"Billing\".\"In\"\"voice\"/ship']",
        )
        .await;
    let right = role
        .told("columns = ['id', 'amount']\nrun = { pull = true }")
        .await;
    // Before anything is asserted, or it would stay.
    stand
        .database
        .run(&format!("DROP OWNED BY {name}; DROP ROLE {name}"))
        .await;
    assert_eq!(
        by_columns,
        [
            "custom.a.columns: ROLE may not SELECT the column due: GRANT SELECT (\"due\") ON \"Billing\".\"In\"\"voice\" TO ROLE",
            "custom.a.store: ROLE may not UPDATE the column total: GRANT UPDATE (\"total\") ON \"Billing\".\"In\"\"voice\" TO ROLE",
        ]
    );
    assert_eq!(
        by_statements,
        ["custom.a.store: may not be run: permission denied for table charge; GRANT what it takes"]
    );
    assert_eq!(
        then,
        [
            "custom.a.then: permission denied for table In\"voice: GRANT SELECT, UPDATE ON \"Billing\".\"In\"\"voice\" TO ROLE"
        ]
    );
    assert_eq!(right, Vec::<String>::new());
}

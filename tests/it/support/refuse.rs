//! Rows that a database refuses, as users' own rules and rows from before ours make them.

use super::TestDatabase;

/// Has a table refuse what is done (`INSERT`, `UPDATE`, `DELETE`) to rows for which a condition over `NEW` or `OLD` holds, as a
/// user's own trigger may.
pub(crate) async fn refuse(database: &TestDatabase, table: &str, event: &str, condition: &str) {
    database
        .run(&format!(
            "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN RAISE check_violation USING MESSAGE = 'the books are closed'; END $$;
             CREATE OR REPLACE TRIGGER zz_refuse BEFORE {event} ON {table} FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION refuse()"
        ))
        .await;
}

/// Takes the bounds off a table: what is put into it now is as from before there were any.
pub(crate) async fn unbound(database: &TestDatabase, table: &str) {
    database
        .run(&format!(
            "DO $$ DECLARE bound name; BEGIN
                 FOR bound IN SELECT conname FROM pg_constraint WHERE conrelid = '{table}'::regclass AND contype = 'c' LOOP
                     EXECUTE format('ALTER TABLE {table} DROP CONSTRAINT %I', bound);
                 END LOOP;
             END $$"
        ))
        .await;
}

/// What is set aside, as `work table id times`.
pub(crate) const SET_ASIDE: &str =
    "SELECT concat_ws(' ', work, table_name, row_id, times) FROM set_aside ORDER BY work, row_id";

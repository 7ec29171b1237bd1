//! What went wrong, by the code that the server gives it. Never by its message.
//!
//! The codes: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.

use diesel::result::Error as DieselError;

use super::wire;

/// Our statement and another's each waited for a row that the other held; the server ended ours.
pub const DEADLOCK_DETECTED: &str = "40P01";

/// A lock was not to be had in the time that we wait for one.
pub const LOCK_NOT_AVAILABLE: &str = "55P03";

/// What functions of the schema, and users' own, say in their own words.
pub const RAISED: &str = "P0001";

/// We may not.
pub const INSUFFICIENT_PRIVILEGE: &str = "42501";

/// A statement took longer than it may, or somebody has cancelled it.
pub const QUERY_CANCELED: &str = "57014";

/// Classes of which every code is trouble: it is about the server, the connection or the moment, and no row can bring it about.
const CLASSES: [&str; 6] = [
    "08", // the connection; also what poolers say of themselves
    "40", // rolled back for others' sake: to be tried again
    "53", // out of memory, disk space, connections
    "57", // shut down, cancelled, timed out, starting
    "58", // the operating system: I/O, files
    "72", // a snapshot that lived too long
];

/// Codes that are trouble in classes that are not.
const CODES: [&str; 10] = [
    "25006", // read-only: a standby after a failover, or a server that its operator has set aside
    "25P02", // the transaction has failed before
    "25P03", // ended for being idle in a transaction
    "25P04", // ended for a transaction that took long
    "26000", // a pooler has lost a statement that we had prepared
    "28000", // a pooler cannot log in, which it says in the middle of our work
    "28P01", // the same, for the password
    "3D000", // the same, for a database that is gone
    "42P05", // a pooler's connection has a statement of that name already
    LOCK_NOT_AVAILABLE,
];

/// Whether a code is the database's trouble, which passes, rather than the statement's or its data's, which stays.
///
/// What is no trouble, though it may look like it: `XX…`, since an internal error or a damaged page that one row leads to
/// would stop all others for ever, and the row's attempts get past those that pass; `54…`, limits that a large value breaks
/// again each time; `P0001`, which is whatever a trigger of the user's wants it to be.
#[must_use]
pub fn is_trouble(code: &str) -> bool {
    CLASSES.iter().any(|class| code.starts_with(class)) || CODES.contains(&code)
}

/// Classes of which no code is a row's doing: the statement, the schema, the session or somebody's privileges.
const STATEMENT: [&str; 22] = [
    "00", "01", "02", "03", "0A", "0B", "0F", "0L", "0P", "0Z", "24", "25", "26", "28", "2B", "2D",
    "34", "3B", "3D", "3F", "42", "55",
];

/// Whether a row can bring a code about: by a value, a rule of its table, a trigger, its size, a damaged page. Codes of nobody's
/// class are those that users' triggers make up.
#[must_use]
pub fn is_of_a_row(code: &str) -> bool {
    code.len() == 5
        && !is_trouble(code)
        && !STATEMENT
            .iter()
            .chain(&["F0", "HV"])
            .any(|class| code.starts_with(class))
}

/// The code of an error that the server has sent.
#[must_use]
pub fn code(error: &DieselError) -> Option<&str> {
    match error {
        DieselError::DatabaseError(_, information) => wire::code(information.hint()?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_row_brings_about_is_told_from_what_the_schema_does() {
        for (code, expected) in [
            // A time or number out of range, text that is none, a rule, a key, a trigger's own words, a size, a damaged page.
            ("22008", true),
            ("22003", true),
            ("22P05", true),
            ("2201B", true),
            ("23503", true),
            ("23514", true),
            ("21000", true),
            ("P0001", true),
            ("38000", true),
            ("54000", true),
            ("XX001", true),
            ("ZZ999", true),
            // A table or column that is not there, privileges, what this server cannot do.
            ("42P01", false),
            ("42703", false),
            ("42501", false),
            ("0A000", false),
            ("55006", false),
            ("F0000", false),
            ("25001", false),
            // Outages.
            ("57P01", false),
            ("40001", false),
            ("", false),
        ] {
            assert_eq!(is_of_a_row(code), expected, "{code}");
        }
    }

    #[test]
    fn trouble_is_told_from_bad_data_by_the_code() {
        for (code, expected) in [
            // The connection is broken; a pooler gave up waiting.
            ("08006", true),
            ("08P01", true),
            // A serialization failure, a deadlock.
            ("40001", true),
            (DEADLOCK_DETECTED, true),
            // The disk or the memory is full, or too many are connected.
            ("53100", true),
            ("53200", true),
            ("53300", true),
            // A lock timeout; a statement timeout, which is ours, or somebody's pg_cancel_backend.
            (LOCK_NOT_AVAILABLE, true),
            ("57014", true),
            // Ended by its administrator, by a crash, not up yet, its database dropped, idle for too long.
            ("57P01", true),
            ("57P02", true),
            ("57P03", true),
            ("57P04", true),
            ("57P05", true),
            ("58030", true),
            ("72000", true),
            ("25006", true),
            ("25P02", true),
            ("25P03", true),
            ("25P04", true),
            ("26000", true),
            ("42P05", true),
            ("28P01", true),
            // Values that do not fit, are out of range, or no UTF-8; rules of the table; a trigger's own.
            ("22001", false),
            ("22003", false),
            ("22021", false),
            ("23502", false),
            ("23505", false),
            ("23514", false),
            ("P0001", false),
            ("38000", false),
            // A row too large for its index; a stack too deep.
            ("54000", false),
            ("54001", false),
            // Something is in use, a table is missing or not ours: stays until somebody sees to it.
            ("55006", false),
            ("42P01", false),
            ("42501", false),
            // A view of the transaction's that no server has.
            ("25001", false),
            ("XX000", false),
            ("XX001", false),
            ("00000", false),
            ("", false),
        ] {
            assert_eq!(is_trouble(code), expected, "{code}");
        }
    }
}

//! What `gleaner doctor` looks at for documents: where the files are, how tenants are kept apart, and what reads the files.

use std::fs;

use diesel::QueryableByName;
use diesel::sql_types::{Bool, Text};
use diesel_async::AsyncPgConnection;

use super::child::{examine as examine_children, find_pdfium};
use super::config::Documents;
use super::disk::{self, Free};
use super::embedding;
use super::processing::{DocumentProcessing, reads};
use super::scope::ROLE;
use super::storage;
use super::tenant;
use crate::area::check::Check;
use crate::config::Config;
use crate::db::DbError;
use crate::db::statement::sql_query;
use crate::telemetry::chain;
use crate::workflow::{Configured as _, Workflow as _};

/// Everything.
pub(super) async fn examine(
    config: &Config,
    conn: &mut AsyncPgConnection,
) -> Result<Vec<Check>, DbError> {
    if !tenant::are_any(conn).await? {
        let found = "not needed, there are no tenants";
        return Ok(vec![Check::ok("documents", found)]);
    }
    let blobs = storage::of(config);
    let mut checks = vec![match blobs.check().await {
        Ok(()) => Check::ok("document storage", format!("{blobs:?}")),
        Err(error) => Check::fail(
            "document storage",
            format!("takes no files: {}", chain(&error)),
            "set documents.storage to a folder that this user may write to, or give the bucket its keys: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT",
        ),
    }];
    if let Some(free) = disk::free(&*blobs).await {
        checks.push(room(free));
    }
    checks.push(role(conn).await?);
    checks.extend(sessions(config.section::<Documents>()));
    let options = config.workflows.options::<DocumentProcessing>();
    let children = u64::from(
        config
            .workflows
            .of::<DocumentProcessing>()
            .concurrency
            .get(),
    );
    let wanted = children.saturating_mul(options.memory_bytes);
    if let Some(memory) = memory() {
        checks.push(children_fit(wanted, memory));
    }
    let pdfium = find_pdfium(&options.pdfium, &config.embedded.data_dir());
    let reader = reads::children(options);
    checks.extend(examine_children(&reader, options.sandbox, pdfium.as_deref()).await);
    checks.extend(embedding::examine(config).await);
    Ok(checks)
}

fn room(free: Free) -> Check {
    const NAME: &str = "document disk";
    let found = format!(
        "{:.0} % free, {} MiB",
        free.part() * 100.0,
        free.bytes >> 20
    );
    if free.part() < 0.02 {
        Check::fail(
            NAME,
            found,
            "make room on it: uploads are refused when it is full",
        )
    } else if free.part() < 0.1 {
        Check::warn(NAME, found, "make room on it before it is full")
    } else {
        Check::ok(NAME, found)
    }
}

/// Whether people who sign in stay signed in: it is asked where they come from Telegram, for whom there is no key to fall back on.
fn sessions(section: &Documents) -> Option<Check> {
    const NAME: &str = "document sessions";
    if section.telegram_bot_token.is_empty() {
        return None;
    }
    Some(if section.session_secret.is_empty() {
        Check::warn(
            NAME,
            "people sign in with Telegram, and each process signs their sessions with a key of its own: a restart, or another node, \
             asks them to sign in again"
                .to_owned(),
            "set documents.session_secret, the same on all nodes (openssl rand -hex 32)",
        )
    } else {
        Check::ok(NAME, "signed with documents.session_secret".to_owned())
    })
}

#[derive(QueryableByName)]
struct Role {
    #[diesel(sql_type = Text)]
    login: String,
    #[diesel(sql_type = Bool)]
    exists: bool,
    #[diesel(sql_type = Bool)]
    is_member: bool,
    #[diesel(sql_type = Bool)]
    has_rights: bool,
}

/// Whether tenants are kept apart by a role of their own, which even a superuser goes by.
async fn role(conn: &mut AsyncPgConnection) -> Result<Check, DbError> {
    let role: Role = sql_query(format!(
        "SELECT current_user::text AS login, own.oid IS NOT NULL AS exists, \
             coalesce(pg_has_role(current_user, own.oid, 'MEMBER'), false) AS is_member, \
             coalesce(has_table_privilege(own.oid, 'documents', 'SELECT'), false) AS has_rights \
         FROM (VALUES (1)) AS one LEFT JOIN pg_roles AS own ON own.rolname = '{ROLE}'"
    ))
    .get_result(conn)
    .await?;
    Ok(judge(&role))
}

fn judge(role: &Role) -> Check {
    const NAME: &str = "tenant isolation";
    let login = &role.login;
    if !role.exists {
        return Check::warn(
            NAME,
            format!(
                "there is no role {ROLE}: isolation rests on a setting alone, which a superuser is above"
            ),
            "as a superuser: CREATE ROLE gleaner_tenant NOLOGIN; then run the migrations of documents anew, or grant as they do",
        );
    }
    if !role.is_member {
        return Check::fail(
            NAME,
            format!("{login} may not go by the role {ROLE}: no tenant can be served"),
            "as a superuser: GRANT gleaner_tenant TO that user",
        );
    }
    if !role.has_rights {
        return Check::fail(
            NAME,
            format!("the role {ROLE} has no rights in this database: no tenant can be served"),
            "it was made after the migrations: grant it what they grant",
        );
    }
    Check::ok(NAME, format!("row-level security, by the role {ROLE}"))
}

/// Bytes of memory that this process may have: of the machine, or of its control group.
fn memory() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo").ok()?;
    let total = machine.lines().find_map(|line| {
        let rest = line.strip_prefix("MemTotal:")?;
        rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
    })?;
    let total = total.saturating_mul(1_024);
    let group = fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let group = group.and_then(|text| text.trim().parse::<u64>().ok());
    Some(group.map_or(total, |group| group.min(total)))
}

/// Whether the processes that read documents find room together, were each to take all that it may.
fn children_fit(wanted: u64, memory: u64) -> Check {
    const NAME: &str = "document memory";
    let found = format!(
        "{} MiB at most for what reads documents, of {} MiB",
        wanted >> 20,
        memory >> 20
    );
    if wanted > memory / 4 * 3 {
        Check::warn(
            NAME,
            found,
            &format!(
                "lower workflows.{}.concurrency, or {}",
                DocumentProcessing::NAME,
                DocumentProcessing::option("memory_bytes")
            ),
        )
    } else {
        Check::ok(NAME, found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::area::check::Grade;
    use crate::secret::Secret;

    #[test]
    fn it_is_said_when_tenants_are_not_kept_apart_as_they_should() {
        for (exists, is_member, has_rights, expected) in [
            (true, true, true, Grade::Ok),
            (false, false, false, Grade::Warn),
            (true, false, true, Grade::Fail),
            (true, true, false, Grade::Fail),
        ] {
            let role = Role {
                login: "gleaner".to_owned(),
                exists,
                is_member,
                has_rights,
            };
            assert_eq!(judge(&role).outcome, expected);
        }
    }

    #[test]
    fn sessions_that_end_with_the_process_are_told_of_where_people_sign_in() {
        let mut section: Documents = serde_json::from_value(serde_json::json!({
            "listen": "", "storage": "", "max_file_bytes": 1_024, "quota_bytes": 0, "upload_expiry": "1h", "max_uploads": 1,
            "max_streams": 1, "session_secret": "", "telegram_bot_token": "", "telegram_sign_up": true, "compat_statuses": false,
        }))
        .expect("a section");
        assert!(sessions(&section).is_none());
        section.telegram_bot_token = Secret::new("123456:text");
        let judged = |section: &Documents| sessions(section).map(|check| check.outcome);
        assert_eq!(judged(&section), Some(Grade::Warn));
        section.session_secret = Secret::new("0123456789abcdef0123456789abcdef");
        assert_eq!(judged(&section), Some(Grade::Ok));
    }

    #[test]
    fn room_is_judged_before_there_is_none() {
        for (bytes, expected) in [(50, Grade::Ok), (9, Grade::Warn), (1, Grade::Fail)] {
            let free = Free { bytes, total: 100 };
            assert_eq!(room(free).outcome, expected);
        }
        let gib = 1 << 30;
        assert_eq!(children_fit(2 * gib, 8 * gib).outcome, Grade::Ok);
        assert_eq!(children_fit(2 * gib, 2 * gib).outcome, Grade::Warn);
    }
}

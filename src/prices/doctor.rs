//! What `gleaner doctor` looks at for prices.

use std::path::PathBuf;

use diesel_async::AsyncPgConnection;

use super::site;
use crate::area::check::Check;
use crate::config::Config;
use crate::db::DbError;
use crate::web::render::{self, RenderError};

/// Whether the sites that need a browser have one.
pub(super) async fn examine(
    config: &Config,
    conn: &mut AsyncPgConnection,
) -> Result<Vec<Check>, DbError> {
    let sites = site::rendered(conn).await?;
    let program = render::find_program(&config.render);
    Ok(vec![browser(config.render.enabled, &program, sites)])
}

/// Whether pages that need a browser have one.
fn browser(is_enabled: bool, program: &Result<PathBuf, RenderError>, sites: i64) -> Check {
    const NAME: &str = "browser";
    match (is_enabled, program) {
        (true, Ok(program)) => Check::ok(NAME, format!("{}", program.display())),
        (true, Err(error)) => Check::fail(
            NAME,
            format!("render.enabled = true, but {error}"),
            "`gleaner run` does not start like this; or set render.enabled = false",
        ),
        (false, _) if sites > 0 => Check::warn(
            NAME,
            format!("rendering is switched off, and {sites} sites need it: their pages fail"),
            "set render.enabled = true, or `gleaner site set SITE --render off`",
        ),
        (false, _) => Check::ok(NAME, "not needed, rendering is switched off"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::area::check::Grade;

    #[test]
    fn pages_that_need_a_browser_have_one_or_it_is_said() {
        let program = || Ok(PathBuf::from("/usr/bin/chromium"));
        let none = || {
            Err(RenderError::NoProgram {
                looked_for: "nothing is there".into(),
            })
        };
        for (is_enabled, program, sites, outcome, text) in [
            (true, program(), 0, Grade::Ok, "/usr/bin/chromium"),
            (true, none(), 0, Grade::Fail, "nothing is there"),
            (false, none(), 0, Grade::Ok, "not needed"),
            (false, program(), 2, Grade::Warn, "2 sites need it"),
        ] {
            let check = browser(is_enabled, &program, sites);
            assert_eq!(check.outcome, outcome, "{check:?}");
            assert!(check.found.contains(text), "{check:?}");
        }
    }
}

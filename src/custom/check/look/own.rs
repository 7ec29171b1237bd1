//! Statements of the operator's by themselves: whether each is one, is about `$1` and nothing else, and may be run.

use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::Look;
use crate::custom::check::repeated;
use crate::custom::run::Way;
use crate::custom::section::Store;
use crate::custom::session::{self, Understood};
use crate::db::DbError;

impl Look<'_> {
    /// The operator's statements by themselves. Returns whether the one that works rows yields keys.
    pub(super) async fn statements(&mut self) -> Result<bool, DbError> {
        let section = self.section;
        if let Some(load) = &section.load
            && let Some(understood) = self.own("load", load, &Type::INT8_ARRAY).await?
        {
            self.yields_of_load(&understood);
        }
        if let Some(Store::Statement(store)) = &section.store {
            self.own("store", store, &Type::JSONB).await?;
        }
        let Some(Way::Sql(sql)) = section.run.way() else {
            return Ok(false);
        };
        let Some(understood) = self.own("run.sql", sql, &Type::INT8_ARRAY).await? else {
            return Ok(false);
        };
        let first = understood.yields.first();
        if let Some(first) = first.filter(|first| !is_key(&first.kind)) {
            self.wrong(
                "run.sql",
                format!(
                    "its first column, {}, is no bigint: what it yields are the keys of the rows that are done (RETURNING id), or nothing at all",
                    repeated(&first.name)
                ),
            );
        }
        Ok(first.is_some())
    }

    fn yields_of_load(&mut self, understood: &Understood) {
        let mut names: Vec<&str> = understood
            .yields
            .iter()
            .map(|own| own.name.as_str())
            .collect();
        let keys = understood
            .yields
            .iter()
            .filter(|own| own.name == "id" || own.name == "gleaner_id");
        if !keys.clone().any(|own| is_key(&own.kind)) {
            self.wrong(
                "load",
                "does not yield the key of each row: SELECT id, … FROM … WHERE id = ANY($1)",
            );
            return;
        }
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            self.wrong(
                "load",
                format!(
                    "yields two columns called {}: give one another name",
                    repeated(twice[0])
                ),
            );
        }
    }

    /// A statement of the operator's by itself: whether it is one, takes `$1` of this type and nothing else, and may be run.
    async fn own(
        &mut self,
        key: &str,
        sql: &str,
        kind: &Type,
    ) -> Result<Option<Understood>, DbError> {
        // Without a type first: only then is it told whether the parameter is there. Where the server cannot guess its type, it is.
        if let Ok(untyped) = session::understand(self.client, sql, &[]).await?
            && untyped.parameters != 1
        {
            let problem = if untyped.parameters == 0 {
                format!("must be about the rows $1 ({})", described(kind))
            } else {
                format!(
                    "takes {} parameters: there is $1 alone ({})",
                    untyped.parameters,
                    described(kind)
                )
            };
            self.wrong(key, problem);
            return Ok(None);
        }
        let types = [kind.clone()];
        let understood = match session::understand(self.client, sql, &types).await? {
            Ok(understood) if understood.parameters == 1 => understood,
            Ok(_) => {
                self.wrong(key, format!("takes more than $1 ({})", described(kind)));
                return Ok(None);
            }
            Err(refusal) => {
                let hint = if refusal.code == SqlState::SYNTAX_ERROR {
                    " It is one statement, without a semicolon"
                } else {
                    ""
                };
                self.wrong(
                    key,
                    format!(
                        "cannot be prepared, with $1 as {}: {} [{}]{}{hint}",
                        described(kind),
                        refusal.message,
                        refusal.code.code(),
                        if hint.is_empty() { "" } else { "." },
                    ),
                );
                return Ok(None);
            }
        };
        match session::plan(self.client, sql, &types).await? {
            Ok(()) => Ok(Some(understood)),
            Err(refusal) if refusal.is_of_privilege() => {
                self.wrong(
                    key,
                    format!("may not be run: {}; GRANT what it takes", refusal.message),
                );
                Ok(None)
            }
            Err(refusal) if refusal.code == SqlState::SYNTAX_ERROR => {
                self.wrong(key, "must be a SELECT, INSERT, UPDATE, DELETE or MERGE");
                Ok(None)
            }
            Err(refusal) => {
                let (message, code) = (refusal.message, refusal.code);
                self.wrong(
                    key,
                    format!("cannot be planned: {message} [{}]", code.code()),
                );
                Ok(None)
            }
        }
    }
}

fn is_key(kind: &Type) -> bool {
    matches!(*kind, Type::INT8 | Type::INT4)
}

fn described(kind: &Type) -> &'static str {
    if *kind == Type::JSONB {
        "jsonb, an array of answers"
    } else {
        "bigint[], the keys of rows"
    }
}

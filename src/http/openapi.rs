//! The description of what is served, in `OpenAPI` 3.1: put together from what the areas say of theirs.

use serde_json::{Map, Value, json};

use super::Routes;

/// The description of some routes: entries for `paths` and `components`.
#[derive(Clone, Debug, Default)]
pub struct Part {
    /// What it is about, in a few words.
    pub title: &'static str,
    /// What whoever uses it has to know.
    pub description: &'static str,
    /// Path items by path.
    pub paths: Map<String, Value>,
    /// Schemas by name.
    pub schemas: Map<String, Value>,
    /// Security schemes by name.
    pub security: Map<String, Value>,
}

/// The entries of a JSON object.
#[must_use]
pub fn entries(object: Value) -> Map<String, Value> {
    match object {
        Value::Object(entries) => entries,
        _ => Map::new(),
    }
}

/// All that is served but health, metrics and the dashboard's own.
pub(super) fn document(routes: &[Routes]) -> Value {
    compose(
        routes
            .iter()
            .flat_map(|area| [&area.outsiders_api, &area.operators_api]),
    )
}

/// What is served to outsiders.
pub(super) fn outsiders_document(routes: &[Routes]) -> Value {
    compose(routes.iter().map(|area| &area.outsiders_api))
}

fn compose<'a>(parts: impl Iterator<Item = &'a Part>) -> Value {
    let mut titles = Vec::new();
    let mut descriptions = Vec::new();
    let (mut paths, mut schemas, mut security) = (Map::new(), Map::new(), Map::new());
    for part in parts.filter(|part| !part.paths.is_empty()) {
        titles.push(part.title);
        descriptions.push(part.description);
        paths.extend(part.paths.clone());
        schemas.extend(part.schemas.clone());
        security.extend(part.security.clone());
    }
    descriptions.retain(|text| !text.is_empty());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": format!("Gleaner: {}", titles.join(", ")),
            "version": env!("CARGO_PKG_VERSION"),
            "description": descriptions.join(" "),
        },
        "components": { "schemas": schemas, "securitySchemes": security },
        "paths": paths,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prices::http;

    /// Every reference leads somewhere, and every schema is referred to.
    #[track_caller]
    fn assert_whole(document: &Value) {
        let text = document.to_string();
        let schemas = document["components"]["schemas"]
            .as_object()
            .expect("schemas");
        for name in schemas.keys() {
            assert!(
                text.contains(&format!("#/components/schemas/{name}\"")),
                "{name}"
            );
        }
        for (_, rest) in text
            .match_indices("#/components/schemas/")
            .map(|(at, hit)| text.split_at(at + hit.len()))
        {
            let name = rest.split('"').next().unwrap_or_default();
            assert!(schemas.contains_key(name), "{name}");
        }
    }

    #[test]
    fn the_descriptions_hang_together() {
        let (operators_api, outsiders_api) = http::described();
        let routes = [Routes {
            operators_api,
            outsiders_api,
            ..Routes::default()
        }];
        assert_whole(&document(&routes));
        assert_whole(&outsiders_document(&routes));
    }
}

//! The description of what is served, in `OpenAPI` 3.1: put together from what the areas say of theirs, in words that they share.
//!
//! Handlers, and the types that they read and answer, describe themselves by `utoipa`. Its attributes take numbers and no constants,
//! so what a constant bounds is described by a function.

use std::collections::BTreeMap;
use std::iter;

use serde_json::{Map, Value, json};
use utoipa::openapi::schema::{Object, ObjectBuilder, Schema, Type};
use utoipa::openapi::{ContentBuilder, InfoBuilder, OpenApi, RefOr, Response, ResponseBuilder};

use super::Routes;

/// Responses by status.
pub(crate) type Responses = BTreeMap<String, RefOr<Response>>;

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

fn compose<'a>(parts: impl Iterator<Item = &'a OpenApi>) -> Value {
    let mut titles = Vec::new();
    let mut descriptions = Vec::new();
    let mut whole = OpenApi::default();
    for part in parts.filter(|part| !part.paths.paths.is_empty()) {
        titles.push(part.info.title.as_str());
        descriptions.extend(part.info.description.as_deref());
        whole.merge(part.clone());
    }
    descriptions.retain(|text| !text.is_empty());
    whole.info = InfoBuilder::new()
        .title(format!("Gleaner: {}", titles.join(", ")))
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(descriptions.join(" ")))
        .build();
    let mut document = json!(whole);
    refer(&mut document);
    document
}

/// Puts references where `utoipa` repeats schemas: it writes the arguments of generic types out.
fn refer(document: &mut Value) {
    let Some(schemas) = document["components"]["schemas"].as_object().cloned() else {
        return;
    };
    let known: Vec<(&String, &Value)> = schemas.iter().collect();
    refer_in(&mut document["paths"], &known);
    for schema in document["components"]["schemas"]
        .as_object_mut()
        .into_iter()
        .flat_map(Map::values_mut)
    {
        // Only below: it is not its own reference.
        below(schema).for_each(|part| refer_in(part, &known));
    }
}

fn refer_in(value: &mut Value, known: &[(&String, &Value)]) {
    if let Some((name, _)) = known.iter().find(|(_, schema)| **schema == *value) {
        *value = json!({ "$ref": format!("#/components/schemas/{name}") });
    } else {
        below(value).for_each(|part| refer_in(part, known));
    }
}

/// The values in an object or a list.
fn below(value: &mut Value) -> Box<dyn Iterator<Item = &mut Value> + '_> {
    match value {
        Value::Object(fields) => Box::new(fields.values_mut()),
        Value::Array(values) => Box::new(values.iter_mut()),
        _ => Box::new(iter::empty()),
    }
}

/// One of these texts.
pub(crate) fn one_of(values: &[&'static str]) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(values.iter().copied()))
        .build()
}

/// This and nothing else.
pub(crate) fn always(kind: Type, value: impl Into<Value>) -> Object {
    ObjectBuilder::new()
        .schema_type(kind)
        .enum_values(Some([value.into()]))
        .build()
}

/// What every good answer says of itself.
pub(crate) fn yes() -> Object {
    always(Type::Boolean, true)
}

/// A text of at most so many characters.
pub(crate) fn text(most: usize, description: &str) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .max_length(Some(most))
        .description(Some(description))
        .build()
}

/// An answer of this form.
pub(crate) fn response(description: &str, form: impl Into<Schema>) -> RefOr<Response> {
    let content = ContentBuilder::new().schema(Some(form.into())).build();
    ResponseBuilder::new()
        .description(description)
        .content("application/json", content)
        .into()
}

/// The refusals of these statuses, and those that any request of an operator may meet.
pub(crate) fn refusals(own: &[(&str, &[&'static str])]) -> Responses {
    let common: [(&str, &[&'static str]); 4] = [
        ("401", &["unauthorized"]),
        ("405", &["method_not_allowed"]),
        ("421", &["wrong_host"]),
        ("503", &["database", "timeout"]),
    ];
    let refusal = |codes: &[&'static str]| {
        let error = ObjectBuilder::new()
            .property("code", one_of(codes))
            .required("code")
            .property("message", ObjectBuilder::new().schema_type(Type::String))
            .required("message");
        let form = ObjectBuilder::new()
            .property("error", error)
            .required("error");
        response(&codes.join(", "), form)
    };
    own.iter()
        .chain(&common)
        .map(|(status, codes)| ((*status).to_owned(), refusal(codes)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documents;
    use crate::http::schedules;
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
        let prices = Routes {
            operators_api,
            outsiders_api,
            ..Routes::default()
        };
        let (operators_api, outsiders_api) = documents::http::described();
        let documents = Routes {
            operators_api,
            outsiders_api,
            ..Routes::default()
        };
        let schedules = Routes {
            operators_api: schedules::described(),
            ..Routes::default()
        };
        let routes = [schedules, prices, documents];
        // Of two forms of a name, one alone would be shown.
        let mut forms = BTreeMap::new();
        for part in routes
            .iter()
            .flat_map(|area| [&area.outsiders_api, &area.operators_api])
        {
            for (name, form) in part.components.iter().flat_map(|own| &own.schemas) {
                let form = json!(form);
                let known = forms.entry(name).or_insert_with(|| form.clone());
                assert_eq!(*known, form, "{name}");
            }
        }
        assert_whole(&document(&routes));
        assert_whole(&outsiders_document(&routes));
    }
}

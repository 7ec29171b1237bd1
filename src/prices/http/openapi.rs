//! The description of the lists of prices, flags and notifications, in `OpenAPI` 3.1, written with the constants that the handlers
//! go by.

use serde_json::{Map, Value, json};

use super::flags::{ENDS, MAX_NAME};
use crate::http::listing::{LIMIT, MOST};
use crate::http::openapi::{Part, entries};
use crate::prices::{flag, notification};

/// What is said of the lists.
pub(super) fn part() -> Part {
    Part {
        title: "prices, flags and notifications",
        description: "",
        paths: entries(paths()),
        schemas: entries(schemas()),
        security: entries(json!({ "admin": {
            "type": "http", "scheme": "bearer", "description": "http.admin_token, where one is set.",
        } })),
    }
}

fn paths() -> Value {
    let hash = required(query(
        "url_hash",
        &text("SHA-256 of the page's normalised URL, in hexadecimal."),
    ));
    let domain = query("domain", &text("Of this shop, by its registrable domain."));
    let flag_statuses: Vec<&str> = ["open", "all"].into_iter().chain(flag::STATUSES).collect();
    json!({
        "/api/price-history/": { "get": list("priceHistory", "Prices of one page, newest first.", "Price", &[hash, limit()]) },
        "/api/product-urls/": { "get": list("productUrls", "Pages, newest first, with the state of their jobs.", "Page", &[domain.clone(), limit()]) },
        "/api/flags/": { "get": list("flags", "What needs a person's eye, newest first; the open ones unless a status is given.", "Flag", &[
            query("status", &one_of(&flag_statuses)), query("kind", &one_of(&flag::KINDS)), domain, limit(), before(),
        ]) },
        "/api/flags/{id}/close/": { "post": change("closeFlag", "Closes a flag.", "Flag", Some("Close"), &["no_flag"], &["not_open"]) },
        "/api/flags/{id}/reopen/": { "post": change("reopenFlag", "Opens a closed flag again.", "Flag", None, &["no_flag"], &["not_closed"]) },
        "/api/notifications/": { "get": list("notifications", "What subscribers were told, newest first.", "Notification", &[
            query("status", &one_of(&notification::STATUSES)), query("kind", &one_of(&notification::KINDS)),
            query("channel", &one_of(&notification::CHANNELS)), query("subscriber", &text("To this subscriber.")), limit(), before(),
        ]) },
        "/api/notifications/{id}/send-again/": {
            "post": change("sendAgain", "Queues a notification for delivery again that was not delivered.", "Notification", None, &["no_notification"], &["not_failed"]),
        },
    })
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn text(description: &str) -> Value {
    json!({ "type": "string", "description": description })
}

fn one_of(values: &[&str]) -> Value {
    json!({ "type": "string", "enum": values })
}

fn query(name: &str, schema: &Value) -> Value {
    json!({ "name": name, "in": "query", "schema": schema })
}

fn required(mut parameter: Value) -> Value {
    parameter["required"] = json!(true);
    parameter
}

fn limit() -> Value {
    let schema = json!({
        "type": "integer", "default": LIMIT, "description": format!("Rows of the answer: 1 to {MOST}; what is beyond that is taken for it."),
    });
    query("limit", &schema)
}

fn before() -> Value {
    let description = "Goes on with older rows: the next of the answer before.";
    query(
        "before",
        &json!({ "type": "integer", "format": "int64", "description": description }),
    )
}

/// A GET that answers rows.
fn list(id: &str, summary: &str, row: &str, parameters: &[Value]) -> Value {
    let data = json!({
        "type": "object",
        "required": ["count", "results"],
        "properties": {
            "count": { "type": "integer" },
            "next": { "type": ["integer", "null"], "description": "Where older rows begin; null when there are none." },
            "results": { "type": "array", "items": reference(row) },
        },
    });
    let mut responses = refusals(&[("400", &["bad_query", "no_url_hash"])]);
    responses.insert("200".to_owned(), good("Rows, maybe none.", &data));
    json!({ "operationId": id, "summary": summary, "security": [{ "admin": [] }, {}], "parameters": parameters, "responses": responses })
}

/// A POST that changes the row of a number, and answers it.
fn change(
    id: &str,
    summary: &str,
    row: &str,
    body: Option<&str>,
    unknown: &[&str],
    conflict: &[&str],
) -> Value {
    let number = required(
        json!({ "name": "id", "in": "path", "schema": { "type": "integer", "format": "int64" } }),
    );
    let mut responses = refusals(&[
        ("400", &["bad_body"]),
        ("403", &["cross_site"]),
        ("404", unknown),
        ("409", conflict),
        ("413", &["too_large", "bad_body"]),
    ]);
    responses.insert(
        "200".to_owned(),
        good("The row as it is now.", &reference(row)),
    );
    let mut operation = json!({
        "operationId": id, "summary": summary, "security": [{ "admin": [] }, {}],
        "parameters": [number, { "name": "X-Requested-By", "in": "header", "schema": text("Any value; needed unless the body is JSON or a token is given.") }],
        "responses": responses,
    });
    if let Some(body) = body {
        operation["requestBody"] =
            json!({ "content": { "application/json": { "schema": reference(body) } } });
    }
    operation
}

fn good(description: &str, data: &Value) -> Value {
    let schema = json!({
        "type": "object", "required": ["success", "data"], "properties": { "success": { "const": true }, "data": data },
    });
    json!({ "description": description, "content": { "application/json": { "schema": schema } } })
}

/// The refusals of these statuses, and those that any request may meet.
fn refusals(own: &[(&str, &[&str])]) -> Map<String, Value> {
    let common: [(&str, &[&str]); 4] = [
        ("401", &["unauthorized"]),
        ("405", &["method_not_allowed"]),
        ("421", &["wrong_host"]),
        ("503", &["database", "timeout"]),
    ];
    let refusal = |codes: &[&str]| {
        let error = json!({
            "type": "object", "required": ["code", "message"],
            "properties": { "code": { "enum": codes }, "message": { "type": "string" } },
        });
        let schema =
            json!({ "type": "object", "required": ["error"], "properties": { "error": error } });
        json!({ "description": codes.join(", "), "content": { "application/json": { "schema": schema } } })
    };
    own.iter()
        .chain(&common)
        .map(|(status, codes)| ((*status).to_owned(), refusal(codes)))
        .collect()
}

/// An object of which every property is always there.
fn whole(properties: &Value) -> Value {
    let names: Vec<&String> = properties
        .as_object()
        .into_iter()
        .flat_map(Map::keys)
        .collect();
    json!({ "type": "object", "required": names, "properties": properties })
}

fn schemas() -> Value {
    let text = json!({ "type": "string" });
    let maybe = json!({ "type": ["string", "null"] });
    let flag = json!({ "type": "boolean" });
    let maybe_flag = json!({ "type": ["boolean", "null"] });
    let number = json!({ "type": "integer", "format": "int64" });
    let amount = json!({ "type": ["string", "null"], "description": "An exact decimal." });
    let time = json!({ "type": "string", "format": "date-time" });
    let maybe_time = json!({ "type": ["string", "null"], "format": "date-time" });
    json!({
        "Price": whole(&json!({
            "price": amount, "currency": text, "original_price": amount, "is_available": maybe_flag, "availability": maybe, "source": text,
            "scraped_at": time, "last_confirmed_at": time,
        })),
        "Page": whole(&json!({
            "url_hash": maybe, "raw_url": text, "normalized_url": maybe, "domain": maybe, "is_active": flag, "rejected": maybe, "title": maybe,
            "price": amount, "currency": maybe, "last_crawled_at": maybe_time, "crawl_error": maybe, "next_run_at": maybe_time, "job_status": maybe,
        })),
        "Flag": whole(&json!({
            "id": number, "kind": one_of(&flag::KINDS), "status": one_of(&flag::STATUSES), "domain": maybe, "url": maybe, "message": text,
            "opened_at": time, "resolved_at": maybe_time, "resolved_by": maybe,
        })),
        "Close": json!({
            "type": "object", "additionalProperties": false,
            "properties": { "as": { "enum": ENDS, "default": "resolved" }, "by": { "type": "string", "minLength": 1, "maxLength": MAX_NAME, "default": "operator" } },
        }),
        "Notification": whole(&json!({
            "id": number, "kind": one_of(&notification::KINDS), "channel": one_of(&notification::CHANNELS), "status": one_of(&notification::STATUSES),
            "attempts": { "type": "integer" }, "error": maybe, "subscriber": text, "url": text, "message": text, "old_price": amount,
            "new_price": amount, "currency": maybe, "created_at": time, "delivered_at": maybe_time, "read_at": maybe_time,
        })),
    })
}

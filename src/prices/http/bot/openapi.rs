//! The description of the bots' API, in `OpenAPI` 3.1: written with the constants that the handlers go by, so that a limit stands
//! in one place.

use serde_json::{Value, json};

use crate::http::openapi::{Part, entries};

use super::pull::{DEFAULT_JOBS, MAX_JOBS, MAX_WAIT};
use super::work::{AVAILABILITIES, MAX_BATCH};

/// The codes of refusals, by status.
const REFUSALS: [(&str, &str, &[&str]); 8] = [
    (
        "400",
        "The request cannot be, and the detail names the field; or the job is not, or no longer, in the bot's hands.",
        &["validation_error", "job_not_locked", "lock_expired"],
    ),
    (
        "401",
        "The same for every failure to log in.",
        &["authentication_error"],
    ),
    ("403", "Somebody else has the job.", &["not_assigned"]),
    ("404", "There is no such job.", &["job_not_found"]),
    ("405", "Not a POST.", &["method_not_allowed"]),
    ("413", "The body is too large.", &["too_large"]),
    (
        "429",
        "Too many pulls in this minute, or waiting; Retry-After says when.",
        &["rate_limited", "too_many_waiting"],
    ),
    (
        "503",
        "No answer can be had now, or too many pulls wait; a repeat is safe, and Retry-After says when.",
        &["unavailable", "too_many_waiting"],
    ),
];

/// What is said of the bots' API.
pub(in crate::prices::http) fn part() -> Part {
    let paths = json!({
        "/api/crawl/pull/": operation("pull", "Hands out due jobs, most urgent first, each to one bot only.", "Pull", &[("200", "Jobs, maybe none.", "Pulled")]),
        "/api/crawl/submit/": operation("submit", "Takes what was seen. A repeat gets the first answer.", "Submit", &[
            ("201", "A good crawl is stored, and the job done.", "Done"),
            ("200", "A failed crawl is stored; the job is tried again later, or has failed.", "Failed"),
        ]),
        "/api/crawl/submit-batch/": operation("submitBatch", "Takes several, each judged by itself.", "SubmitBatch", &[("200", "One answer each, in order.", "Batched")]),
        "/api/crawl/heartbeat/": operation("heartbeat", "Keeps jobs for another term.", "Jobs", &[("200", "Which are kept.", "Beaten")]),
        "/api/crawl/release/": operation("release", "Gives jobs back unharmed.", "Jobs", &[("200", "Which are given back.", "Released")]),
    });
    Part {
        title: "crawl jobs for bots",
        description: "Bots pull jobs, crawl, and submit what they saw. A job is a bot's for timeout_seconds, prolonged by heartbeats; \
            then others may have it. lease_token is the right to one job: it makes a repeated submit get the first answer.",
        paths: entries(paths),
        schemas: entries(schemas()),
        security: entries(json!({ "bearer": { "type": "http", "scheme": "bearer" } })),
    }
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn operation(id: &str, summary: &str, request: &str, good: &[(&str, &str, &str)]) -> Value {
    let content = |schema: Value| json!({ "application/json": { "schema": schema } });
    let mut responses = serde_json::Map::new();
    for (status, description, data) in good {
        let schema = json!({
            "type": "object",
            "required": ["success", "data"],
            "properties": { "success": { "const": true }, "data": reference(data) },
        });
        responses.insert(
            (*status).to_owned(),
            json!({ "description": description, "content": content(schema) }),
        );
    }
    for (status, description, codes) in REFUSALS {
        let schema = json!({
            "type": "object",
            "required": ["success", "error", "detail"],
            "properties": { "success": { "const": false }, "error": { "enum": codes }, "detail": { "type": "string" } },
        });
        responses.insert(
            status.to_owned(),
            json!({ "description": description, "content": content(schema) }),
        );
    }
    json!({ "post": {
        "operationId": id,
        "summary": summary,
        "security": [{ "bearer": [] }, {}],
        "requestBody": { "required": true, "content": content(reference(request)) },
        "responses": responses,
    }})
}

/// An object schema, of the fields beside a bot's name and token where it `logs_in`.
fn object(logs_in: bool, required: &[&str], properties: Value) -> Value {
    let mut properties = properties;
    let mut all: Vec<&str> = required.to_vec();
    if logs_in && let Some(properties) = properties.as_object_mut() {
        all.push("bot_id");
        properties.insert("bot_id".to_owned(), text(100, "The bot's name."));
        properties.insert(
            "api_token".to_owned(),
            text(
                255,
                "The bot's token; may stand in the header Authorization: Bearer instead.",
            ),
        );
    }
    json!({ "type": "object", "required": all, "properties": properties })
}

fn text(most: u32, description: &str) -> Value {
    json!({ "type": "string", "maxLength": most, "description": description })
}

fn amount(description: &str) -> Value {
    json!({
        "description": format!("{description} A plain decimal, as number or text, below 10^12 and with at most four places."),
        "anyOf": [
            { "type": "number", "minimum": 0, "exclusiveMaximum": 1_000_000_000_000_u64 },
            { "type": "string", "pattern": "^[0-9]{1,12}(\\.[0-9]{1,4})?$" },
        ],
    })
}

fn schemas() -> Value {
    let job_id = json!({ "type": "string", "format": "uuid", "description": "The job." });
    let token =
        json!({ "type": "string", "maxLength": 64, "description": "The right to it, as it came." });
    let time = json!({ "type": "string", "format": "date-time" });
    let maybe_time = json!({ "type": ["string", "null"], "format": "date-time" });
    let right = object(
        false,
        &["job_id", "lease_token"],
        json!({ "job_id": job_id, "lease_token": token }),
    );
    let submit = json!({
        "job_id": job_id,
        "lease_token": token,
        "success": { "type": "boolean" },
        "price": amount("Needed when success."),
        "currency": { "type": "string", "pattern": "^[A-Za-z]{3}$", "description": "ISO 4217; needed when success." },
        "list_price": amount("Before a reduction."),
        "title": text(500, "Title of the offer."),
        "in_stock": { "type": "boolean", "description": "true unless given, or told by availability." },
        "availability": { "enum": AVAILABILITIES },
        "confidence": { "type": "number", "minimum": 0, "maximum": 1 },
        "raw_html": { "type": "string", "description": "The page." },
        "parsed_data": { "description": "Any JSON. price_sources in it says where the price was found." },
        "duration_ms": { "type": "integer", "minimum": 0 },
        "error_msg": text(500, "Why it failed."),
        "error_class": { "type": "string", "pattern": "^[a-z_]{1,50}$", "description": "network, http, extraction, …" },
    });
    let job = object(
        false,
        &[
            "job_id",
            "url",
            "priority",
            "max_retries",
            "timeout_seconds",
            "retry_count",
            "locked_until",
            "lease_token",
        ],
        json!({
            "job_id": job_id, "url": { "type": "string" }, "priority": { "type": "integer" }, "max_retries": { "type": "integer" },
            "timeout_seconds": { "type": "integer" }, "retry_count": { "type": "integer" }, "locked_until": time, "lease_token": token,
        }),
    );
    let listed = |items: Value| json!({ "type": "array", "items": items, "minItems": 1, "maxItems": MAX_BATCH });
    let jobs_of = |fields: Value, required: &[&str]| {
        let own = object(false, required, fields);
        object(
            false,
            &["jobs"],
            json!({ "jobs": { "type": "array", "items": own } }),
        )
    };
    json!({
        "Pull": object(true, &[], json!({
            "max_jobs": { "type": "integer", "minimum": 1, "maximum": MAX_JOBS, "default": DEFAULT_JOBS },
            "domain": text(255, "Only this domain and what is below it."),
            "wait_seconds": { "type": "integer", "minimum": 0, "maximum": MAX_WAIT, "default": 0, "description": "Wait so long for a job." },
        })),
        "Pulled": object(false, &["jobs", "count", "skipped"], json!({
            "jobs": { "type": "array", "items": job }, "count": { "type": "integer" }, "skipped": { "const": 0 },
        })),
        "Submit": object(true, &["job_id", "success"], submit.clone()),
        "SubmitBatch": object(true, &["results"], json!({ "results": listed(object(false, &["job_id", "success"], submit)) })),
        "Done": object(false, &["result_id", "job_id", "status", "price", "currency", "next_reset_at"], json!({
            "result_id": { "type": "string" }, "job_id": job_id, "status": { "const": "done" }, "price": { "type": ["string", "null"] },
            "currency": { "type": ["string", "null"] }, "next_reset_at": maybe_time,
        })),
        "Failed": object(false, &["job_id", "result_id", "status", "retry_count", "max_retries", "message"], json!({
            "job_id": job_id, "result_id": { "type": "string" }, "status": { "enum": ["pending", "failed"] },
            "retry_count": { "type": "integer" }, "max_retries": { "type": "integer" }, "message": { "type": "string" }, "error": { "type": "string" },
        })),
        "Batched": object(false, &["results"], json!({ "results": { "type": "array", "items": object(false, &["success"], json!({
            "success": { "type": "boolean" }, "data": { "type": "object" }, "error": { "type": "string" }, "detail": { "type": "string" },
        })) } })),
        "Jobs": object(true, &["jobs"], json!({ "jobs": listed(right) })),
        "Beaten": jobs_of(json!({ "job_id": job_id, "lease_token": token, "held": { "type": "boolean" }, "locked_until": maybe_time }), &["job_id", "lease_token", "held", "locked_until"]),
        "Released": jobs_of(json!({ "job_id": job_id, "released": { "type": "boolean" }, "error": { "type": "string" } }), &["job_id", "released"]),
    })
}

//! Data that pages carry for machines: JSON-LD and the literals in scripts, however broken.

mod lenient;

use serde_json::{Map, Value};

use super::html::{Attributes, Page, ego::NodeRef};

pub(super) use self::lenient::{Literal, literal};

/// Most JSON-LD scripts read from one page.
const MAX_SCRIPTS: usize = 100;

/// All JSON-LD of a page, in document order; one entry per root.
pub(super) fn json_ld(page: &Page) -> Vec<Value> {
    page.elements()
        .filter(|(_, element)| element.name() == "script")
        .filter(|(_, element)| {
            element
                .attribute("type")
                .is_some_and(|kind| kind.to_ascii_lowercase().contains("ld+json"))
        })
        .take(MAX_SCRIPTS)
        .flat_map(|(node, _)| roots(&script_text(node)))
        .collect()
}

/// The text of a script.
pub(super) fn script_text(node: NodeRef<'_>) -> String {
    node.children()
        .filter_map(|child| child.value().as_text().map(|text| &**text))
        .collect()
}

/// JSON as pages write it.
///
/// First as the standard says; what that refuses is read leniently: inside comments or CDATA, with
/// comments, raw line breaks, trailing or missing commas, entities, several roots, a missing end.
pub(super) fn roots(text: &str) -> Vec<Value> {
    let text = text.trim().trim_start_matches('\u{feff}');
    if text.is_empty() {
        return Vec::new();
    }
    match serde_json::from_str(text) {
        // JSON within a JSON string.
        Ok(Value::String(inner)) if inner.contains('{') && inner.len() < text.len() => {
            return roots(&inner);
        }
        Ok(value) => return vec![value],
        Err(_) => {}
    }
    let has_entities = !text.contains('"') && text.contains("&quot;");
    if has_entities {
        let decoded = text
            .replace("&quot;", "\"")
            .replace("&#39;", "'")
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&amp;", "&");
        return serde_json::from_str(&decoded)
            .map_or_else(|_| lenient::roots(&decoded), |value| vec![value]);
    }
    lenient::roots(text)
}

/// Visits every object in document order, with a stack of its own, until `visit` gives something.
pub(super) fn first_in<'a, T>(
    root: &'a Value,
    mut visit: impl FnMut(&'a Map<String, Value>) -> Option<T>,
) -> Option<T> {
    let mut stack = vec![root];
    while let Some(value) = stack.pop() {
        match value {
            Value::Array(values) => stack.extend(values.iter().rev()),
            Value::Object(object) => {
                if let Some(found) = visit(object) {
                    return Some(found);
                }
                let children: Vec<&Value> = object.values().collect();
                stack.extend(children.into_iter().rev());
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_is_read_however_broken() {
        let cases = [
            (r#"{"a":1}"#, json!([{"a": 1}])),
            ("<!-- {\"a\":1} -->", json!([{"a": 1}])),
            ("//<![CDATA[\n{\"a\":1}\n//]]>", json!([{"a": 1}])),
            (
                "/* x */ {\"a\":1, // one\n \"b\":2}",
                json!([{"a": 1, "b": 2}]),
            ),
            ("{\"a\":1,}", json!([{"a": 1}])),
            ("[1,2,,3,]", json!([[1, 2, 3]])),
            ("{\"a\":\"x\ny\"}", json!([{"a": "x\ny"}])),
            (
                "{\"a\":\"24\" desk\",\"b\":1}",
                json!([{"a": "24\" desk", "b": 1}]),
            ),
            ("{\"a\":,\"b\":2}", json!([{"a": null, "b": 2}])),
            ("{\"a\":1 \"b\":2}", json!([{"a": 1, "b": 2}])),
            ("{\"a\":1}{\"b\":2}", json!([{"a": 1}, {"b": 2}])),
            ("{\"a\":1};{\"b\":2};", json!([{"a": 1}, {"b": 2}])),
            ("{&quot;a&quot;:&quot;b&quot;}", json!([{"a": "b"}])),
            ("{\"a\":[1,{\"b\":2", json!([{"a": [1, {"b": 2}]}])),
            (
                "{'a':'it\\'s',b:undefined,c:!0}",
                json!([{"a": "it's", "b": null, "c": null}]),
            ),
            ("{\"a\":\"\\u00e9\\x41\\q\"}", json!([{"a": "éAq"}])),
            (
                "{\"a\":19.90,\"b\":-1,\"c\":1e3}",
                json!([{"a": 19.9, "b": -1, "c": 1000.0}]),
            ),
            (
                "{\"a\":1,299.00,\"b\":19,99,\"c\":2.499,00 €,\"d\":1'299.50}",
                json!([{"a": "1,299.00", "b": "19,99", "c": "2.499,00", "d": "1'299.50"}]),
            ),
            (
                "{\"a\":1 299,5,\"b\":1\u{a0}299 900}",
                json!([{"a": "1 299,5", "b": "1\u{a0}299 900"}]),
            ),
            (
                "{a:1,2:3,b:[1,2,3],c:4,\n\"d\":5}",
                json!([{"a": 1, "2": 3, "b": [1, 2, 3], "c": 4, "d": 5}]),
            ),
            (r#""{\"a\":1}""#, json!([{"a": 1}])),
            ("nothing", json!([])),
            ("", json!([])),
        ];
        for (text, wanted) in cases {
            assert_eq!(Value::Array(roots(text)), wanted, "{text}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let deep = "[".repeat(100_000);
        assert_eq!(roots(&deep).len(), 1);
        let deep = "{\"a\":".repeat(50_000);
        assert_eq!(roots(&deep).len(), 1);
    }

    #[test]
    fn the_literal_after_an_assignment_is_read() {
        let text = "var meta = {product: {price: 5}}; var other = 1;";
        let Literal { value, end } = literal(text, 11);
        assert_eq!(value, Some(json!({"product": {"price": 5}})));
        assert_eq!(text.get(end..end + 1), Some(";"));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[\\[\\]{}:,\"'\\\\/*<>!a-z0-9.\\- \n-]{0,200}") {
            let roots = roots(&text);
            proptest::prop_assert!(roots.len() <= text.len());
        }

        #[test]
        fn what_is_json_reads_the_same(a in ".{0,20}", b in proptest::prelude::any::<i32>()) {
            let value = json!({"a": a, "list": [b, null, true, {"b": b}]});
            proptest::prop_assert_eq!(lenient::roots(&value.to_string()), vec![value]);
        }
    }
}

//! What a model is told, and what it answers: one JSON object each.
//!
//! It is the form of `OpenAI`'s embeddings, which most servers of models speak. An endpoint gets it as the body of a POST, a command
//! as a line on its standard input.
//!
//! Told: `{"model": TEXT, "input": [TEXT, …]}`. Answered: `{"data": [{"index": 0, "embedding": [NUMBER, …]}, …]}`, one for each text;
//! without `index` they are in the order of the texts. Whatever else an answer has is passed over.

use serde::{Deserialize, Serialize};

/// Bytes that a number may take in an answer, with what parts it from the next.
const NUMBER_BYTES: usize = 32;

/// Bytes of an answer beyond its numbers.
const SLACK_BYTES: usize = 64 << 10;

/// What a model is told.
#[derive(Debug, Serialize)]
pub(super) struct Question<'a> {
    pub(super) model: &'a str,
    pub(super) input: &'a [&'a str],
}

impl Question<'_> {
    /// As a line, without its end: JSON has none within.
    pub(super) fn line(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    index: Option<usize>,
    embedding: Vec<f32>,
}

/// An answer that is none to what was asked.
#[derive(Debug, thiserror::Error)]
pub enum BadAnswer {
    #[error("it is not JSON of the form that is asked for")]
    Json(#[from] serde_json::Error),
    #[error("it has {found} vectors for {asked} texts")]
    Count { found: usize, asked: usize },
    #[error("a vector has {found} numbers and not the {wanted} of the option dimensions")]
    Dimensions { found: usize, wanted: usize },
    #[error("a vector has a number that is none")]
    NoNumber,
    #[error("two vectors are for one text")]
    Twice,
}

/// The most bytes that an answer may have.
pub(super) fn most_bytes(texts: usize, dimensions: usize) -> usize {
    let numbers = texts.saturating_mul(dimensions);
    numbers
        .saturating_mul(NUMBER_BYTES)
        .saturating_add(SLACK_BYTES)
}

/// The vectors of an answer, in the order of the texts.
///
/// # Errors
/// What is wrong with it.
pub(super) fn vectors(
    answer: &[u8],
    texts: usize,
    dimensions: usize,
) -> Result<Vec<Vec<f32>>, BadAnswer> {
    let Answer { data } = serde_json::from_slice(answer)?;
    let count = BadAnswer::Count {
        found: data.len(),
        asked: texts,
    };
    if data.len() != texts {
        return Err(count);
    }
    let mut vectors = vec![Vec::new(); texts];
    for (place, vector) in data.into_iter().enumerate() {
        let found = vector.embedding.len();
        if found != dimensions {
            let wanted = dimensions;
            return Err(BadAnswer::Dimensions { found, wanted });
        }
        if !vector.embedding.iter().all(|number| number.is_finite()) {
            return Err(BadAnswer::NoNumber);
        }
        let index = vector.index.unwrap_or(place);
        match vectors.get_mut(index) {
            Some(place) if place.is_empty() => *place = vector.embedding,
            _ => return Err(BadAnswer::Twice),
        }
    }
    Ok(vectors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_put_in_the_order_of_the_texts() {
        let answer = br#"{"object": "list", "data": [
            {"index": 1, "embedding": [3, 4.5]}, {"object": "embedding", "index": 0, "embedding": [1, -2e-3]}], "usage": {}}"#;
        let found = vectors(answer, 2, 2).unwrap();
        assert_eq!(found, [vec![1.0, -0.002], vec![3.0, 4.5]]);
        let plain = br#"{"data": [{"embedding": [1]}, {"embedding": [2]}]}"#;
        assert_eq!(vectors(plain, 2, 1).unwrap(), [vec![1.0], vec![2.0]]);
    }

    #[test]
    fn what_does_not_fit_what_was_asked_is_refused() {
        for (answer, said) in [
            ("", "not JSON"),
            ("[]", "not JSON"),
            (r#"{"data": [{"embedding": ["x", 1]}]}"#, "not JSON"),
            (r#"{"data": []}"#, "0 vectors for 1"),
            (
                r#"{"data": [{"embedding": [1]}]}"#,
                "1 numbers and not the 2",
            ),
            (r#"{"data": [{"embedding": [1, 1e300]}]}"#, "none"),
            (
                r#"{"data": [{"index": 7, "embedding": [1, 2]}]}"#,
                "one text",
            ),
        ] {
            let error = vectors(answer.as_bytes(), 1, 2).unwrap_err();
            assert!(error.to_string().contains(said), "{answer}: {error}");
        }
        let twice =
            br#"{"data": [{"index": 0, "embedding": [1]}, {"index": 0, "embedding": [2]}]}"#;
        assert!(matches!(vectors(twice, 2, 1), Err(BadAnswer::Twice)));
    }

    #[test]
    fn a_question_is_one_line() {
        let question = Question {
            model: "m",
            input: &["one\ntwo", "\u{2028}\""],
        };
        let line = String::from_utf8(question.line()).unwrap();
        assert_eq!(
            line,
            "{\"model\":\"m\",\"input\":[\"one\\ntwo\",\"\u{2028}\\\"\"]}"
        );
    }
}

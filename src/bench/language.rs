//! A made language, whose words are as rare as those of real ones.

use rand::Rng as _;
use rand::rngs::StdRng;

use super::number;

/// Words that there are.
const VOCABULARY: usize = 60_000;

/// A word, by its rank.
fn word(rank: usize) -> String {
    const SYLLABLES: [&str; 16] = [
        "ba", "co", "di", "fu", "ga", "he", "jo", "ki", "lu", "ma", "ne", "po", "ra", "si", "tu",
        "ve",
    ];
    let mut word = String::new();
    let mut rest = rank + 16;
    while rest > 0 {
        word.push_str(SYLLABLES.get(rest % 16).copied().unwrap_or_default());
        rest /= 16;
    }
    word
}

/// A word: the n-th is about n times rarer than the first.
pub(super) fn random_word(random: &mut StdRng) -> String {
    let most = number(u64::try_from(VOCABULARY).unwrap_or(1));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "from 1 to the size of the vocabulary"
    )]
    let rank = most.powf(random.random::<f64>()) as usize;
    word(rank.min(VOCABULARY))
}

/// So many words.
pub(super) fn random_words(random: &mut StdRng, count: usize) -> String {
    let words: Vec<String> = (0..count).map(|_| random_word(random)).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_words_differ() {
        let words: std::collections::HashSet<String> = (0..VOCABULARY).map(word).collect();
        assert_eq!(words.len(), VOCABULARY);
    }
}

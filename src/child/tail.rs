//! The last of what a child says.

/// Takes bytes as they come, and keeps the last of them.
#[derive(Debug)]
pub(crate) struct Tail {
    kept: Vec<u8>,
    most: usize,
}

impl Tail {
    /// Keeps so many bytes.
    pub(crate) fn of(most: usize) -> Self {
        Self {
            kept: Vec::new(),
            most,
        }
    }

    /// Takes some.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        // Of what is more than all that is kept nothing else is looked at.
        let bytes = bytes
            .get(bytes.len().saturating_sub(self.most)..)
            .unwrap_or_default();
        self.kept.extend_from_slice(bytes);
        let surplus = self.kept.len().saturating_sub(self.most);
        drop(self.kept.drain(..surplus));
    }

    /// What is kept, as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.kept).trim().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_is_kept() {
        let mut tail = Tail::of(8);
        for (said, expected) in [
            ("one", "one"),
            ("\ntwo", "one\ntwo"),
            (" and more", "and more"),
            ("much more than that\n", "an that"),
        ] {
            tail.push(said.as_bytes());
            assert_eq!(tail.text(), expected);
        }
    }
}

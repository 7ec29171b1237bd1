//! Reads the rule tables under `data/`, which are compiled in.

/// The rows of a table: lines split at tabs, without comments (`#`) and blank lines.
pub(super) fn rows(table: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    table
        .lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split('\t').map(str::trim).collect())
}

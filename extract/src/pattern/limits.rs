//! The bounds of a pattern and of what it yields.

/// The longest pattern, in bytes of JSON.
pub const MAX_PATTERN_BYTES: usize = 256 * 1024;
/// Most fields of one pattern.
pub const MAX_FIELDS: usize = 50;
/// Most fallbacks of one field.
pub const MAX_FALLBACKS: usize = 10;
/// The longest selector or path, in bytes.
pub const MAX_SELECTOR_BYTES: usize = 1_000;
/// The longest value that is yielded, in characters.
pub const MAX_VALUE_CHARS: usize = 10_000;

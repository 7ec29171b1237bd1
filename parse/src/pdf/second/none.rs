//! No second engine.

use crate::pdf::Refusal;
use crate::protocol::Code;

/// There is none.
pub(super) enum Document {}

impl Document {
    pub(super) const NAME: Option<&str> = None;

    pub(super) fn open(_bytes: &[u8], _password: Option<&str>) -> Result<Self, Refusal> {
        Err(Refusal::Damaged)
    }

    pub(super) fn pages(&self) -> u32 {
        match *self {}
    }

    pub(super) fn title(&self) -> Option<String> {
        match *self {}
    }

    pub(super) fn text(&self, _number: u32) -> Result<String, Code> {
        match *self {}
    }
}

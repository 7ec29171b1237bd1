//! A part of the configuration whose type only the module knows that it is for.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use crate::settings::Options;

/// Some [`Options`].
pub(crate) trait Erased: Any + fmt::Debug + Send + Sync {
    fn copy(&self) -> Box<dyn Erased>;
    fn value(&self) -> serde_json::Result<Value>;
    fn kept(&self) -> Arc<dyn Any + Send + Sync>;
    /// As [`Options::check`].
    fn check(&self) -> Result<(), crate::settings::Problem>;
}

impl<O: Options> Erased for O {
    fn copy(&self) -> Box<dyn Erased> {
        Box::new(self.clone())
    }

    fn value(&self) -> serde_json::Result<Value> {
        serde_json::to_value(self)
    }

    fn kept(&self) -> Arc<dyn Any + Send + Sync> {
        Arc::new(self.clone())
    }

    fn check(&self) -> Result<(), crate::settings::Problem> {
        Options::check(self)
    }
}

impl Clone for Box<dyn Erased> {
    fn clone(&self) -> Self {
        (**self).copy()
    }
}

/// The options as what they are, if they are of this type.
pub(crate) fn get<O: Options>(options: &dyn Erased) -> Option<&O> {
    (options as &dyn Any).downcast_ref()
}

/// The same, to be changed.
pub(crate) fn get_mut<O: Options>(options: &mut dyn Erased) -> Option<&mut O> {
    (options as &mut dyn Any).downcast_mut()
}

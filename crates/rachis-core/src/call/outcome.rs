//! Whether a call that failed has run.

use serde_json::Value;
use std::fmt;

/// Whether a call that ended in an error has run, where that is the question.
///
/// Clients find it as `error.data.outcome`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// No replica began the call, and none will: it may be repeated. `never ran` for clients.
    NeverRan,
    /// The call may have run, whole or in part, or may still run. `unknown` for clients.
    Unknown,
    /// The call has run, and its reply is lost. `ran` for clients.
    Ran,
}

impl Outcome {
    /// Its name for clients, e.g. `never ran`.
    pub const fn name(self) -> &'static str {
        match self {
            Outcome::NeverRan => "never ran",
            Outcome::Unknown => "unknown",
            Outcome::Ran => "ran",
        }
    }

    /// Takes it out of what clients find as `error.data`.
    pub(crate) fn take(data: &mut Option<Value>) -> Option<Self> {
        let fields = data.as_mut()?.as_object_mut()?;
        let outcome = match fields.get("outcome")?.as_str()? {
            "never ran" => Outcome::NeverRan,
            "unknown" => Outcome::Unknown,
            "ran" => Outcome::Ran,
            _ => return None,
        };
        fields.shift_remove("outcome");
        if fields.is_empty() {
            *data = None;
        }
        Some(outcome)
    }

    /// Puts it back. Data that is no object has no room for it, and stays as it is.
    pub(crate) fn put(self, data: Option<&Value>) -> Value {
        let mut data = data.cloned().unwrap_or_else(|| Value::Object(Default::default()));
        if let Some(fields) = data.as_object_mut() {
            fields.insert("outcome".to_owned(), self.name().into());
        }
        data
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

//! What of a value does not fit its schema, told field by field.

use crate::{Error, error::excerpt};
use jsonschema::{ValidationError, Validator, error::ValidationErrorKind};
use serde_json::{Map, Value};

/// How many fields an error names.
const MOST: usize = 20;
/// How many its message names.
const IN_MESSAGE: usize = 3;

/// The fields of a value that do not fit, each with a message.
#[derive(Default)]
pub(super) struct Violations {
    messages: Map<String, Value>,
    more: bool,
}

impl Violations {
    /// Adds what `validator` finds in `value`, which stands at `place` ("" or "0.").
    pub(super) fn look(&mut self, validator: &Validator, value: &Value, place: &str) {
        for error in validator.iter_errors(value) {
            self.add(&error, place);
            if self.more {
                return;
            }
        }
    }

    /// # Errors
    /// `BadRequest` if something did not fit; `what` is "data" or "query".
    pub(super) fn into_result(self, what: &str, method: &str) -> Result<(), Error> {
        if self.messages.is_empty() {
            return Ok(());
        }
        let told = self.messages.iter().take(IN_MESSAGE);
        let told: Vec<String> = told.map(|(field, message)| told_of(field, message)).collect();
        let rest = self.messages.len() - told.len();
        let rest = match (self.more, rest) {
            (false, 0) => String::new(),
            (false, rest) => format!("; and {rest} more"),
            (true, _) => "; and more".to_owned(),
        };
        let message = format!("Invalid {what} for {method}: {}{rest}", told.join("; "));
        Err(Error::bad_request(message).with_errors(Value::Object(self.messages)))
    }

    fn add(&mut self, error: &ValidationError<'_>, place: &str) {
        let at = dotted(error.instance_path().as_str());
        let under = |name: &str| if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
        match error.kind() {
            ValidationErrorKind::Required { property } => {
                let name = property.as_str().unwrap_or_default();
                self.insert(place, &under(name), "is required");
            }
            ValidationErrorKind::AdditionalProperties { unexpected }
            | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
                unexpected.iter().for_each(|name| self.insert(place, &under(name), "is unknown"));
            }
            ValidationErrorKind::AnyOf { .. } | ValidationErrorKind::OneOfNotValid { .. } => {
                self.insert(place, &at, "value fits none of the forms that are allowed");
            }
            // What was sent may be a secret, so it is not repeated.
            _ => self.insert(place, &at, &error.masked().to_string()),
        }
    }

    pub(super) fn insert(&mut self, place: &str, field: &str, message: &str) {
        if self.messages.len() >= MOST {
            self.more = true;
            return;
        }
        let field = excerpt(&format!("{place}{field}")).into_owned();
        let field = field.trim_end_matches('.');
        self.messages.entry(field).or_insert_with(|| excerpt(message).into());
    }
}

fn told_of(field: &str, message: &Value) -> String {
    let message = message.as_str().unwrap_or_default();
    match (field, message) {
        ("", message) => message.to_owned(),
        (field, "is required" | "is unknown") => format!("{field} {message}"),
        (field, message) => format!("{field}: {message}"),
    }
}

/// Turns the JSON pointer `/address/city` into `address.city`.
fn dotted(pointer: &str) -> String {
    pointer.trim_start_matches('/').replace('/', ".").replace("~1", "/").replace("~0", "~")
}

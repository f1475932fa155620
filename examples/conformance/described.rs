//! A service that says what came, of which data and queries are described.

use crate::echo::Echo;
use rachis::{
    Method, Registration,
    schema::{Schema, Schemas},
};

/// # Panics
/// If the file beside this one is no JSON.
pub(crate) fn described() -> Registration {
    let schema: serde_json::Value = serde_json::from_str(include_str!("described.json")).expect("the schema is JSON");
    let person = Schema::from(schema);
    Registration::dynamic(Echo).schemas(Schemas::new().query(person.clone()).data(Method::Create, person))
}

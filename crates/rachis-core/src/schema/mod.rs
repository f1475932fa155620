//! Schemas of services: what their methods take and return, as JSON Schema.
//!
//! A service that has [`Schemas`] is checked before its method runs: data and queries that do not fit are a `BadRequest`
//! with one message for each field, the same over REST, over sockets and from other nodes. Values in queries, which are
//! texts over REST, become what the schema says they are.
//!
//! ```
//! use rachis::{App, MemoryService, Method, ServiceExt, schema::{Schema, Schemas}};
//! use schemars::JsonSchema;
//! use serde::{Deserialize, Serialize};
//! use serde_json::json;
//!
//! /// A member of the club.
//! #[derive(Serialize, JsonSchema)]
//! struct Member { id: u64, name: String, age: u8 }
//!
//! #[derive(Deserialize, JsonSchema)]
//! #[serde(deny_unknown_fields)]
//! struct NewMember {
//!     #[schemars(length(min = 1))]
//!     name: String,
//!     age: u8,
//! }
//!
//! let schemas = Schemas::new().record(Schema::output::<Member>()).data(Method::Create, Schema::input::<NewMember>());
//! let app = App::new().register("members", MemoryService::new().schemas(schemas));
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let members = app.service("members");
//! members.create(json!({ "name": "Ada", "age": 36 })).await?;
//!
//! let error = members.create(json!({ "name": "", "agee": 7 })).await.unwrap_err();
//! assert_eq!(error.code(), 400);
//! assert_eq!(error.errors().unwrap(), &json!({
//!     "name": "value is shorter than 1 character",
//!     "agee": "is unknown",
//!     "age": "is required",
//! }));
//!
//! // As it comes in `?age[$gt]=30`.
//! let found = members.find().query(json!({ "age": { "$gt": "30" } })).await?;
//! assert_eq!(found[0]["name"], "Ada");
//! # Ok::<(), rachis::Error>(()) }).unwrap();
//! ```

mod checks;
mod coerce;
mod fields;
mod formats;
mod query;
#[cfg(feature = "garde")]
mod rules;
mod schemas;
#[cfg(test)]
mod tests;
mod violations;

pub(crate) use checks::Checks;
#[doc(hidden)]
pub use checks::LARGEST_TOGETHER;
#[cfg(feature = "garde")]
pub use rules::{Validated, validate};
pub use schemas::{QueryField, Schemas};

use schemars::{JsonSchema, generate::SchemaSettings};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A JSON Schema, of draft 2020-12 unless its `$schema` names another one.
///
/// References lead to places inside of it: nothing is fetched. It is checked when its service is registered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Schema(Value);

impl Schema {
    /// Returns the schema of what a `T` is read from.
    ///
    /// Doc comments become descriptions. Unknown fields are allowed, unless `T` has `#[serde(deny_unknown_fields)]`.
    pub fn input<T: JsonSchema>() -> Self {
        derive::<T>(SchemaSettings::draft2020_12().for_deserialize())
    }

    /// Returns the schema of what a `T` is written as.
    pub fn output<T: JsonSchema>() -> Self {
        derive::<T>(SchemaSettings::draft2020_12().for_serialize())
    }

    /// Returns the schema as JSON.
    pub fn as_value(&self) -> &Value {
        &self.0
    }
}

/// A schema that is written out as JSON.
impl From<Value> for Schema {
    fn from(schema: Value) -> Self {
        Schema(schema)
    }
}

fn derive<T: JsonSchema>(settings: SchemaSettings) -> Schema {
    Schema(settings.into_generator().into_root_schema_for::<T>().into())
}

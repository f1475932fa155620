//! The schemas of one service.

use super::Schema;
use crate::{Method, TypedService};
use schemars::JsonSchema;

/// What the methods of a service take and return. Each part may be left out: what has no schema is not checked.
///
/// Data is checked as it reaches the service, after the hooks that find out who calls and before all other `before` hooks;
/// each record of an array on its own. Calls of the program's own code are checked like those of clients. Results are
/// described, and not checked.
#[derive(Clone, Debug, Default)]
pub struct Schemas {
    pub(super) record: Option<Schema>,
    pub(super) query: Option<Schema>,
    pub(super) open_queries: bool,
    pub(super) operators: Vec<(String, Schema)>,
    pub(super) data: Vec<(Method, Schema)>,
    pub(super) results: Vec<(Method, Schema)>,
    pub(super) events: Vec<(String, Schema)>,
}

impl Schemas {
    /// Returns the schemas of a service that describes nothing yet.
    pub fn new() -> Self {
        Schemas::default()
    }

    /// Returns the schemas of the types of `S`.
    ///
    /// ```
    /// use rachis::{App, Listing, Method, Params, Result, Typed, TypedService, ServiceExt, schema::Schemas};
    /// use schemars::JsonSchema;
    /// use serde::{Deserialize, Serialize};
    /// use serde_json::json;
    ///
    /// #[derive(Serialize, JsonSchema)]
    /// struct City { id: u64, name: String, inhabitants: u32 }
    ///
    /// #[derive(Deserialize, JsonSchema)]
    /// struct NewCity { name: String, inhabitants: u32 }
    ///
    /// struct Cities;
    ///
    /// impl TypedService for Cities {
    ///     const METHODS: &[Method] = &[Method::Find];
    ///     type Record = City;
    ///     type Create = NewCity;
    ///     type Patch = NewCity;
    ///
    ///     async fn find(&self, params: Params) -> Result<Listing<City>> {
    ///         assert_eq!(params.query["inhabitants"], json!({ "$gt": 50000 }));
    ///         Ok(vec![City { id: 1, name: "Bern".into(), inhabitants: 137_000 }].into())
    ///     }
    /// }
    ///
    /// let app = App::new().register("cities", Typed(Cities).schemas(Schemas::of::<Cities>()));
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// let cities = app.service("cities");
    /// assert_eq!(cities.find().query(json!({ "inhabitants": { "$gt": "50000" } })).await?[0]["name"], "Bern");
    /// assert_eq!(cities.find().query(json!({ "mayor": "Ada" })).await.unwrap_err().code(), 400);
    /// # Ok::<(), rachis::Error>(()) }).unwrap();
    /// ```
    pub fn of<S>() -> Self
    where
        S: TypedService,
        S::Record: JsonSchema,
        S::Create: JsonSchema,
        S::Patch: JsonSchema,
    {
        Schemas::new()
            .record(Schema::output::<S::Record>())
            .data(Method::Create, Schema::input::<S::Create>())
            .data(Method::Update, Schema::input::<S::Create>())
            .data(Method::Patch, Schema::input::<S::Patch>())
    }

    /// Describes one record, as `get`, `create`, `update`, `patch` and `remove` return it, `find` returns many, and the
    /// four standard events carry it.
    ///
    /// The fields of a record are also what queries may name: each as a value or under `$gt`, `$gte`, `$lt`, `$lte`, `$ne`,
    /// `$in` and `$nin`, besides `$limit`, `$skip`, `$sort`, `$select`, `$or` and `$and`. A dot leads into a nested field.
    pub fn record(mut self, schema: impl Into<Schema>) -> Self {
        self.record = Some(schema.into());
        self
    }

    /// Describes what queries may name by the properties of `schema`, instead of by those of the record.
    pub fn query(mut self, schema: impl Into<Schema>) -> Self {
        self.query = Some(schema.into());
        self
    }

    /// Keeps fields in queries that no schema knows. They are refused by default.
    pub fn open_queries(mut self) -> Self {
        self.open_queries = true;
        self
    }

    /// Adds an operator that the service's store knows, such as `$ilike`, to every field; `operand` describes what stands
    /// under it.
    pub fn operator(mut self, name: &str, operand: impl Into<Schema>) -> Self {
        self.operators.push((name.to_owned(), operand.into()));
        self
    }

    /// Describes the data of `method`: a standard one or a custom one. For `create`, it is one record of an array, too.
    pub fn data(mut self, method: impl Into<Method>, schema: impl Into<Schema>) -> Self {
        replace(&mut self.data, method.into(), schema.into());
        self
    }

    /// Describes what `method` returns, where that is not a record, or many for `find`.
    pub fn result(mut self, method: impl Into<Method>, schema: impl Into<Schema>) -> Self {
        replace(&mut self.results, method.into(), schema.into());
        self
    }

    /// Describes what `event` carries, where that is not a record.
    pub fn event(mut self, event: &str, schema: impl Into<Schema>) -> Self {
        replace(&mut self.events, event.to_owned(), schema.into());
        self
    }
}

fn replace<K: PartialEq>(all: &mut Vec<(K, Schema)>, key: K, schema: Schema) {
    all.retain(|(known, _)| *known != key);
    all.push((key, schema));
}

//! The schemas of one service.

use super::{Checks, Schema, fields::Fields, query::element_of};
use crate::{Method, Result, Shape, TypedService};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What the methods of a service take and return. Each part may be left out: what has no schema is not checked.
///
/// Data is checked as it reaches the service, after the hooks that find out who calls and before all other `before` hooks;
/// each record of an array on its own. Calls of the program's own code are checked like those of clients. Results are
/// described, and not checked.
///
/// As JSON it is one object, without the parts that are left out and with its parts in a fixed order: schemas that are equal
/// have one text.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Schemas {
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    methods: BTreeMap<Method, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) record: Option<Schema>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) query: Option<Schema>,
    #[serde(skip_serializing_if = "is_false")]
    pub(super) open_queries: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) operators: BTreeMap<String, Schema>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) data: BTreeMap<Method, Schema>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) results: BTreeMap<Method, Schema>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) events: BTreeMap<String, Schema>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    multi: BTreeSet<Method>,
    #[serde(skip_serializing_if = "is_false")]
    pages: bool,
}

/// A field that queries may name.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct QueryField {
    /// Its name; a dot leads into a nested field.
    pub name: String,
    /// The schemas of what it is compared with: one, but where alternatives of the record differ, or it is a list, which is
    /// compared with one of its elements as well. References lead into the schema of the queries, or of the record.
    pub operands: Vec<Value>,
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
        self.operators.insert(name.to_owned(), operand.into());
        self
    }

    /// Describes the data of `method`: a standard one or a custom one. For `create`, it is one record of an array, too.
    pub fn data(mut self, method: impl Into<Method>, schema: impl Into<Schema>) -> Self {
        self.data.insert(method.into(), schema.into());
        self
    }

    /// Describes what `method` returns, where that is not a record, or many for `find`.
    pub fn result(mut self, method: impl Into<Method>, schema: impl Into<Schema>) -> Self {
        self.results.insert(method.into(), schema.into());
        self
    }

    /// Describes what `event` carries, where that is not a record.
    pub fn event(mut self, event: &str, schema: impl Into<Schema>) -> Self {
        self.events.insert(event.to_owned(), schema.into());
        self
    }

    /// Describes the custom method `name` by the types of its data and of its result. Functions bring them by
    /// [`described_method`](crate::ServiceExt::described_method).
    ///
    /// ```
    /// use rachis::{App, Method, Params, Result, Service, ServiceExt, schema::Schemas};
    /// use schemars::JsonSchema;
    /// use serde::{Deserialize, Serialize};
    /// use serde_json::{Value, json};
    ///
    /// #[derive(Deserialize, JsonSchema)]
    /// struct Mail {
    ///     #[schemars(email)]
    ///     to: String,
    /// }
    ///
    /// #[derive(Serialize, JsonSchema)]
    /// struct Receipt { sent: bool }
    ///
    /// struct Mails;
    ///
    /// impl Service for Mails {
    ///     const METHODS: &[Method] = &[Method::custom("send")];
    ///
    ///     async fn custom(&self, _: &str, _: Value, _: Params) -> Result<Value> {
    ///         Ok(json!({ "sent": true }))
    ///     }
    /// }
    ///
    /// let schemas = Schemas::new().method::<Mail, Receipt>("send");
    /// let app = App::new().register("mails", Mails.schemas(schemas));
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// let mails = app.service("mails");
    /// mails.custom("send", json!({ "to": "ada@example.org" })).await?;
    /// assert_eq!(mails.custom("send", json!({ "to": "Ada" })).await.unwrap_err().code(), 400);
    /// # Ok::<(), rachis::Error>(()) }).unwrap();
    /// ```
    pub fn method<D: JsonSchema, R: JsonSchema>(self, name: &str) -> Self {
        self.data(name, Schema::input::<D>()).result(name, Schema::output::<R>())
    }

    /// Says what the service is, for those who read its documentation. Default: the description of its record.
    pub fn describe(mut self, text: &str) -> Self {
        self.description = Some(text.to_owned());
        self
    }

    /// Says what `method` does, for those who read its documentation.
    pub fn describe_method(mut self, method: impl Into<Method>, text: &str) -> Self {
        self.methods.insert(method.into(), text.to_owned());
        self
    }

    /// Says which of `create`, `patch` and `remove` take several records at once: a list of them, or all that a query
    /// chooses. Not needed where the [`Shape`] of the service says it, as that of a `MemoryService` does.
    pub fn multi(mut self, methods: impl IntoIterator<Item = impl Into<Method>>) -> Self {
        self.multi.extend(methods.into_iter().map(Into::into));
        self
    }

    /// Says that `find` returns a [`Page`](crate::Page). Unless it says so, or the [`Shape`] of the service does, it may be one
    /// or a list.
    pub fn pages(mut self) -> Self {
        self.pages = true;
        self
    }

    /// Returns what the service is.
    pub fn description(&self) -> Option<&str> {
        let of_record = || self.record.as_ref()?.as_value().get("description")?.as_str();
        self.description.as_deref().or_else(of_record)
    }

    /// Returns what `method` does.
    pub fn description_of(&self, method: &Method) -> Option<&str> {
        self.methods.get(method).map(String::as_str)
    }

    /// Returns the schema of a record.
    pub fn record_schema(&self) -> Option<&Schema> {
        self.record.as_ref()
    }

    /// Returns the schema whose properties queries may name: that of the record, unless there is one of its own.
    pub fn query_schema(&self) -> Option<&Schema> {
        self.query.as_ref().or(self.record.as_ref())
    }

    /// Returns the fields that queries may name.
    pub fn query_fields(&self) -> Vec<QueryField> {
        let Some(described) = self.query_schema().map(Schema::as_value) else { return Vec::new() };
        let fields = Fields::of(described);
        let operands = |name: &String| {
            let mut places = Vec::new();
            for place in fields.places(name) {
                places.push(place.to_owned());
                places.extend(element_of(described, place));
            }
            places.iter().filter_map(|place| described.pointer(place).cloned()).collect()
        };
        fields.named.keys().map(|name| QueryField { name: name.clone(), operands: operands(name) }).collect()
    }

    /// Returns `true` if queries may name other fields, too.
    pub fn has_open_queries(&self) -> bool {
        self.open_queries || self.query_schema().is_none_or(|schema| Fields::of(schema.as_value()).open)
    }

    /// Returns the operators that the service adds, with the schemas of their operands.
    pub fn operators(&self) -> impl Iterator<Item = (&str, &Schema)> {
        self.operators.iter().map(|(name, operand)| (name.as_str(), operand))
    }

    /// Returns the schema of the data of `method`.
    pub fn data_schema(&self, method: &Method) -> Option<&Schema> {
        self.data.get(method)
    }

    /// Returns the schema of what `method` returns, where that is described by itself.
    pub fn result_schema(&self, method: &Method) -> Option<&Schema> {
        self.results.get(method)
    }

    /// Returns the schema of what `event` carries: that of the record for the standard ones, unless there is one of its own.
    pub fn event_schema(&self, event: &str) -> Option<&Schema> {
        let record = self.record.as_ref().filter(|_| crate::STANDARD_EVENTS.contains(&event));
        self.events.get(event).or(record)
    }

    /// Returns `true` if `method` takes several records at once.
    pub fn is_multi(&self, method: &Method) -> bool {
        self.multi.contains(method)
    }

    /// Returns `true` if `find` always returns a page.
    pub fn has_pages(&self) -> bool {
        self.pages
    }

    /// Adds how the service itself says that it takes and returns records.
    pub(crate) fn follow(&mut self, shape: &Shape) {
        self.multi.extend(shape.multi.iter().cloned());
        self.pages |= shape.pages;
    }

    /// Adds the data and results of methods that `others` describe and these do not.
    pub(crate) fn complete(&mut self, others: &Schemas) {
        for (own, others) in [(&mut self.data, &others.data), (&mut self.results, &others.results)] {
            for (method, schema) in others {
                own.entry(method.clone()).or_insert_with(|| schema.clone());
            }
        }
    }

    /// Forgets the data and the result of a method.
    pub(crate) fn without(mut self, name: &str) -> Self {
        let method = Method::from(name);
        self.data.remove(&method);
        self.results.remove(&method);
        self
    }

    /// Keeps what describes these methods and events.
    #[doc(hidden)] // for the mesh, which tells others of what is published alone
    pub fn only(mut self, methods: &[Method], events: &[String]) -> Self {
        self.methods.retain(|method, _| methods.contains(method));
        self.data.retain(|method, _| methods.contains(method));
        self.results.retain(|method, _| methods.contains(method));
        self.multi.retain(|method| methods.contains(method));
        self.events.retain(|event, _| events.contains(event));
        self
    }

    /// Returns an error if a service at `path` could not be registered with these.
    #[doc(hidden)] // for the mesh, which reads those of others
    pub fn check(&self, path: &str) -> Result<()> {
        Checks::new(path, self).map(drop)
    }
}

/// By reference, as serde asks.
fn is_false(flag: &bool) -> bool {
    !flag
}

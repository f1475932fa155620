//! The checks that the schemas of a service come to.

use super::{Schemas, formats::bounded, query::QuerySyntax, violations::Violations};
use crate::{
    Context, Error, Hook, Method, Query, Result,
    depth::{DEEPEST, is_deeper_than},
};
use futures_core::future::BoxFuture;
use jsonschema::{PatternOptions, Validator};
use rustc_hash::FxHashMap;
use serde_json::Value;
use std::future::ready;

/// The size from which on a schema is refused, in bytes of JSON.
const LARGEST: usize = 256 * 1024;
/// The size from which on the schemas of one service are refused, in bytes of their JSON.
#[doc(hidden)] // for the mesh, which reads no more
pub const LARGEST_TOGETHER: usize = 1024 * 1024;
/// How deep a schema may be nested: it is read back from JSON with the others of its service around it, for which serde_json
/// allows 128.
const DEEPEST_SCHEMA: usize = 100;

/// Checks calls of one service.
pub(crate) struct Checks {
    data: FxHashMap<Method, Validator>,
    query: Option<QueryCheck>,
}

struct QueryCheck {
    syntax: QuerySyntax,
    validator: Validator,
}

impl Checks {
    /// Compiles the schemas.
    ///
    /// # Errors
    /// `BadRequest` for what is no JSON Schema, is larger than 256 KiB (all of a service 1 MiB), is nested deeper than 100, or
    /// refers to something outside of it.
    pub(crate) fn new(path: &str, schemas: &Schemas) -> Result<Self> {
        let compile = |what: &str, schema: &Value| compile(schema).map_err(|error| unusable(path, what, &error));
        let mut data = FxHashMap::default();
        for (method, schema) in &schemas.data {
            data.insert(method.clone(), compile(&format!("{method}'s data"), schema.as_value())?);
        }
        // Checked for those who read them; their values are not.
        for (method, schema) in &schemas.results {
            compile(&format!("{method}'s result"), schema.as_value())?;
        }
        for (event, schema) in &schemas.events {
            compile(&format!("the event {event}"), schema.as_value())?;
        }
        for schema in schemas.record.iter().chain(&schemas.query) {
            compile("its records", schema.as_value())?;
        }
        let size = serde_json::to_string(schemas).map_or(usize::MAX, |text| text.len());
        if size > LARGEST_TOGETHER {
            return Err(Error::bad_request(format!(
                "The schemas on service '{path}' can not be used: they are of {size} bytes together, and not more than \
                 {LARGEST_TOGETHER} are allowed"
            )));
        }
        let query = QuerySyntax::of(schemas).map(|syntax| {
            let validator = build(&syntax.schema()).map_err(|error| unusable(path, "its queries", &error))?;
            Ok::<_, Error>(QueryCheck { syntax, validator })
        });
        Ok(Checks { data, query: query.transpose()? })
    }

    /// Checks the data and the query of a call, and gives values in the query the types of their fields.
    ///
    /// # Errors
    /// `BadRequest`, whose `errors` tell what is wrong with each field.
    pub(crate) fn check(&self, method: &Method, data: &Value, query: &mut Query) -> Result<()> {
        if let Some(check) = self.query.as_ref().filter(|_| method.is_standard()) {
            check.run(method, query)?;
        }
        match self.data.get(method) {
            Some(validator) => check_data(validator, method, data),
            None => Ok(()),
        }
    }
}

impl Hook for Checks {
    fn run(&self, mut ctx: Context) -> BoxFuture<'_, Result<Context>> {
        let parts = &mut *ctx;
        let outcome = self.check(&parts.method, &parts.data, &mut parts.params.query);
        Box::pin(ready(outcome.map(|()| ctx)))
    }
}

impl QueryCheck {
    fn run(&self, method: &Method, query: &mut Query) -> Result<()> {
        if query.values().any(|value| is_deeper_than(DEEPEST - 1, value)) {
            return Err(too_deep("query", method));
        }
        self.syntax.coerce(query);
        let value = Value::Object(std::mem::take(query));
        let outcome = check_parts(&self.validator, &[(String::new(), &value)], "query", method);
        *query = Query::from(value);
        outcome
    }
}

fn check_data(validator: &Validator, method: &Method, data: &Value) -> Result<()> {
    if is_deeper_than(DEEPEST, data) {
        return Err(too_deep("data", method));
    }
    let parts = match data {
        Value::Array(records) if *method == Method::Create => {
            records.iter().enumerate().map(|(index, record)| (format!("{index}."), record)).collect()
        }
        data => vec![(String::new(), data)],
    };
    check_parts(validator, &parts, "data", method)
}

/// Checks values, each with the place that its errors begin with.
fn check_parts(validator: &Validator, parts: &[(String, &Value)], what: &str, method: &Method) -> Result<()> {
    if parts.iter().all(|(_, part)| validator.is_valid(part)) {
        return Ok(());
    }
    let mut violations = Violations::default();
    for (place, part) in parts {
        violations.look(validator, part, place);
    }
    violations.into_result(what, method.name())
}

fn too_deep(what: &str, method: &Method) -> Error {
    Error::bad_request(format!("Invalid {what} for {method}: it is nested deeper than {DEEPEST}"))
}

fn unusable(path: &str, what: &str, error: &str) -> Error {
    Error::bad_request(format!("The schema of {what} on service '{path}' can not be used: {error}"))
}

fn compile(schema: &Value) -> std::result::Result<Validator, String> {
    let size = schema.to_string().len();
    if size > LARGEST {
        return Err(format!("it is of {size} bytes, and not more than {LARGEST} are allowed"));
    }
    if is_deeper_than(DEEPEST_SCHEMA, schema) {
        return Err(format!("it is nested deeper than {DEEPEST_SCHEMA}"));
    }
    if !schema.is_object() && !schema.is_boolean() {
        return Err("it is neither an object nor a boolean".to_owned());
    }
    build(schema)
}

fn build(schema: &Value) -> std::result::Result<Validator, String> {
    // Patterns meet texts of clients, so they are matched in linear time.
    let options = jsonschema::options().with_pattern_options(PatternOptions::regex()).should_validate_formats(true);
    options.build(&bounded(schema)).map_err(|error| error.to_string())
}

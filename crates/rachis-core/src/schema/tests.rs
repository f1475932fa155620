use super::{Checks, Schema, Schemas};
use crate::{ALL, App, Context, Error, MemoryService, Method, Params, Query, Registration, ServiceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

#[derive(Serialize, JsonSchema)]
struct Person {
    id: u64,
    name: String,
    age: Option<u8>,
    height: f64,
    member: bool,
    tags: Vec<String>,
    scores: Vec<i64>,
    address: Option<Address>,
    friends: Vec<Person>,
    kind: Kind,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Address {
    city: String,
    number: u16,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(dead_code, reason = "only its schema is looked at")]
enum Kind {
    Guest,
    Host,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is looked at")]
struct NewPerson {
    #[schemars(length(min = 1, max = 20))]
    name: String,
    age: Option<u8>,
    address: Option<Address>,
    #[schemars(email)]
    email: Option<String>,
}

fn people() -> Schemas {
    Schemas::new().record(Schema::output::<Person>()).data(Method::Create, Schema::input::<NewPerson>())
}

fn compiled(schemas: &Schemas) -> Checks {
    Checks::new("people", schemas).unwrap()
}

/// What becomes of a query.
fn query(schemas: &Schemas, query: Value) -> Result<Value, Error> {
    let mut query = Query::from(query);
    compiled(schemas).check(&Method::Find, &Value::Null, &mut query)?;
    Ok(query.into())
}

fn create(data: &Value) -> Result<(), Error> {
    compiled(&people()).check(&Method::Create, data, &mut Query::new())
}

#[test]
fn texts_in_a_query_become_what_their_fields_are() {
    for (text, typed) in [
        (json!({ "age": "5" }), json!({ "age": 5 })),
        (json!({ "age": { "$gt": "5", "$lte": "07" } }), json!({ "age": { "$gt": 5, "$lte": 7 } })),
        (json!({ "age": { "$in": ["5", 6] } }), json!({ "age": { "$in": [5, 6] } })),
        (json!({ "age": "" }), json!({ "age": null })),
        (json!({ "height": "1.75" }), json!({ "height": 1.75 })),
        (json!({ "height": "1e2" }), json!({ "height": 100.0 })),
        (json!({ "member": "true" }), json!({ "member": true })),
        (json!({ "name": "5" }), json!({ "name": "5" })),
        (json!({ "name": 5 }), json!({ "name": "5" })),
        (json!({ "id": "18446744073709551615" }), json!({ "id": 18_446_744_073_709_551_615_u64 })),
        (json!({ "scores": "5" }), json!({ "scores": 5 })),
        (json!({ "scores": ["5"] }), json!({ "scores": [5] })),
        (json!({ "scores": { "$in": ["5"] } }), json!({ "scores": { "$in": [5] } })),
        (json!({ "address.number": "5" }), json!({ "address.number": 5 })),
        (json!({ "friends.age": { "$ne": "5" } }), json!({ "friends.age": { "$ne": 5 } })),
        (
            json!({ "$or": [{ "age": "1" }, { "$and": [{ "age": "2" }] }] }),
            json!({ "$or": [{ "age": 1 }, { "$and": [{ "age": 2 }] }] }),
        ),
        (
            json!({ "$limit": "10", "$skip": "0", "$sort": { "age": "-1" }, "$select": ["name"] }),
            json!({ "$limit": 10, "$skip": 0, "$sort": { "age": -1 }, "$select": ["name"] }),
        ),
        (json!({ "kind": "host" }), json!({ "kind": "host" })),
        (
            json!({ "address": { "city": "Bern", "number": "5" } }),
            json!({ "address": { "city": "Bern", "number": 5 } }),
        ),
    ] {
        assert_eq!(query(&people(), text.clone()), Ok(typed), "{text}");
    }
}

#[test]
fn a_query_that_does_not_fit_is_refused_field_by_field() {
    for (asked, field, message) in [
        (json!({ "agee": 5 }), "agee", "is unknown"),
        (json!({ "age": "five" }), "age", "value is not of types \"null\", \"integer\""),
        (json!({ "age": "300" }), "age", "value is greater than the maximum of 255"),
        (json!({ "age": { "$gt": "x" } }), "age.$gt", "value is not of types \"null\", \"integer\""),
        (json!({ "age": { "$regex": "x" } }), "age.$regex", "is unknown"),
        (json!({ "age": { "$in": 5 } }), "age.$in", "value is not of type \"array\""),
        (json!({ "kind": "thief" }), "kind", "value is not one of \"guest\" or \"host\""),
        (json!({ "$limit": "-1" }), "$limit", "value is less than the minimum of 0"),
        (json!({ "$limit": "many" }), "$limit", "value is not of type \"integer\""),
        (json!({ "$sort": { "agee": 1 } }), "$sort.agee", "is unknown"),
        (json!({ "$where": "1" }), "$where", "is unknown"),
        (json!({ "$or": [{ "age": 1 }, { "agee": 1 }] }), "$or.1.agee", "is unknown"),
        (json!({ "address.town": "x" }), "address.town", "is unknown"),
    ] {
        let error = query(&people(), asked.clone()).unwrap_err();
        assert_eq!(error.code(), 400, "{asked}");
        assert_eq!(error.errors(), Some(&json!({ field: message })), "{asked}");
        assert!(error.message().starts_with("Invalid query for find: "), "{error}");
    }
}

#[test]
fn a_query_without_an_object_behind_it_may_name_anything() {
    for schemas in [
        Schemas::new(),
        people().open_queries(),
        Schemas::new().record(json!(true)),
        Schemas::new().record(json!({ "type": "object" })),
        Schemas::new().record(Schema::output::<BTreeMap<String, u8>>()),
    ] {
        let asked = json!({ "anything": { "$gt": "5" }, "$limit": 1 });
        assert_eq!(query(&schemas, asked.clone()).map(|_| ()), Ok(()), "{schemas:?}");
    }
    let typed = query(&people().open_queries(), json!({ "token": "5", "age": "5" }));
    assert_eq!(typed, Ok(json!({ "token": "5", "age": 5 })));
}

#[test]
fn operators_of_a_store_are_known_when_they_are_declared() {
    let schemas = people().operator("$ilike", json!({ "type": "string" }));
    assert!(query(&schemas, json!({ "name": { "$ilike": "a%" } })).is_ok());
    let error = query(&schemas, json!({ "name": { "$ilike": ["a"] } })).unwrap_err();
    assert_eq!(error.errors(), Some(&json!({ "name.$ilike": "value is not of type \"string\"" })));
}

#[test]
fn data_that_does_not_fit_is_told_field_by_field_without_what_was_sent() {
    let error = create(&json!({ "name": "", "age": "secret", "address": { "number": 5 }, "x": 1 })).unwrap_err();
    assert_eq!(
        error.errors(),
        Some(&json!({
            "name": "value is shorter than 1 character",
            "age": "value is not of types \"null\", \"integer\"",
            "address": "value fits none of the forms that are allowed",
            "x": "is unknown",
        }))
    );
    assert!(!error.to_json().to_string().contains("secret"));
    assert_eq!(create(&json!({ "name": "Ada" })), Ok(()));
    assert!(create(&json!(null)).is_err());
    assert!(create(&json!({ "name": "Ada", "email": "at nowhere" })).is_err());
}

#[test]
fn each_record_of_an_array_is_checked_on_its_own() {
    assert_eq!(create(&json!([{ "name": "Ada" }, { "name": "Bo" }])), Ok(()));
    let error = create(&json!([{ "name": "Ada" }, { "name": 5 }, {}])).unwrap_err();
    assert_eq!(error.errors(), Some(&json!({ "1.name": "value is not of type \"string\"", "2.name": "is required" })));
}

#[test]
fn an_error_names_no_more_than_twenty_fields_and_no_long_names() {
    let many: serde_json::Map<String, Value> =
        (0..1_000).map(|n| (format!("{n}{}", "x".repeat(1_000)), json!(1))).collect();
    let error = create(&many.into()).unwrap_err();
    assert_eq!(error.errors().and_then(Value::as_object).map(serde_json::Map::len), Some(20));
    assert!(error.to_json().to_string().len() < 10_000);
}

#[test]
fn data_nested_a_thousand_deep_is_refused_at_once() {
    let tree = json!({ "type": "object", "properties": { "child": { "$ref": "#" } } });
    let checks = compiled(&Schemas::new().data(Method::Create, tree));
    let deep = (0..1_000).fold(json!({}), |child, _| json!({ "child": child }));
    let error = checks.check(&Method::Create, &deep, &mut Query::new()).unwrap_err();
    assert_eq!(error.message(), "Invalid data for create: it is nested deeper than 128");
}

#[test]
fn a_query_nested_two_hundred_deep_is_refused_before_it_is_typed() {
    let deep = (0..100).fold(json!({}), |branch, _| json!({ "$or": [branch] }));
    let error = query(&people(), deep).unwrap_err();
    assert_eq!(error.message(), "Invalid query for find: it is nested deeper than 128");
}

#[test]
fn a_list_where_one_record_belongs_is_told_as_a_whole() {
    let checks = compiled(&Schemas::new().data(Method::Patch, Schema::input::<NewPerson>()));
    let error = checks.check(&Method::Patch, &json!([{ "name": "Ada" }]), &mut Query::new()).unwrap_err();
    assert_eq!(error.errors(), Some(&json!({ "": "value is not of type \"object\"" })));
}

#[test]
fn what_is_no_schema_is_an_error_at_registration() {
    let fine = json!({ "type": "object" });
    for (schema, why) in [
        (json!({ "type": "nothing" }), "nothing"),
        (json!("object"), "neither an object nor a boolean"),
        (json!({ "properties": 5 }), ""),
        (json!({ "pattern": "(" }), ""),
        (json!({ "pattern": "(a)\\1" }), ""),
        (json!({ "$ref": "https://example.com/schema.json" }), ""),
        (json!({ "$ref": "#/$defs/none" }), ""),
        (json!({ "description": "x".repeat(1 << 20) }), "not more than 262144 are allowed"),
    ] {
        for schemas in [
            Schemas::new().data(Method::Create, schema.clone()),
            Schemas::new().record(schema.clone()),
            Schemas::new().record(fine.clone()).query(schema.clone()),
            Schemas::new().result("send", schema.clone()),
            Schemas::new().event("sent", schema.clone()),
        ] {
            let error = Checks::new("people", &schemas).err().unwrap();
            assert_eq!(error.code(), 400);
            assert!(error.message().contains("on service 'people'") && error.message().contains(why), "{error}");
        }
    }
}

#[test]
fn schemas_of_a_service_that_are_too_much_together_are_an_error_at_registration() {
    let large = json!({ "description": "x".repeat(250 * 1024) });
    let four = (0..4).fold(Schemas::new(), |schemas, n| schemas.result(format!("method-{n}").as_str(), large.clone()));
    assert!(Checks::new("people", &four).is_ok());
    let error = Checks::new("people", &four.result("another", large)).err().unwrap();
    assert!(error.message().ends_with("bytes together, and not more than 1048576 are allowed"), "{error}");
}

#[test]
fn a_schema_is_nested_no_deeper_than_it_can_be_read_back() {
    let nested = |depth| (0..depth).fold(json!(true), |inner, _| json!({ "not": inner }));
    let error = Checks::new("people", &Schemas::new().data("send", nested(101))).err().unwrap();
    assert!(error.message().ends_with("it is nested deeper than 100"), "{error}");
    let deepest = Schemas::new().record(nested(100)).data("send", nested(100));
    assert!(Checks::new("people", &deepest).is_ok());
    let read: Schemas = serde_json::from_slice(&serde_json::to_vec(&deepest).unwrap()).unwrap();
    assert_eq!(read, deepest);
}

#[test]
fn a_recursive_schema_is_one_like_others() {
    let asked = json!({ "friends.friends.friends.name": "Ada" });
    assert_eq!(query(&people(), asked.clone()), Ok(asked));
}

#[test]
fn a_schema_with_many_ways_through_it_is_looked_through_less_deep() {
    let properties: serde_json::Map<String, Value> =
        (0..40).map(|n| (format!("f{n}"), json!({ "$ref": "#" }))).collect();
    let schemas =
        Schemas::new().record(json!({ "type": "object", "properties": properties, "additionalProperties": false }));
    assert!(query(&schemas, json!({ "f1": {} })).is_ok());
    assert!(query(&schemas, json!({ "x": {} })).is_err());
}

#[test]
fn schemas_are_one_document_with_a_fixed_order_and_without_what_is_left_out() {
    assert_eq!(serde_json::to_string(&Schemas::new()).unwrap(), "{}");
    let text = json!({ "type": "string" });
    let schemas = Schemas::new()
        .event("sent", text.clone())
        .result("send", text.clone())
        .data("send", text.clone())
        .data(Method::Create, text.clone())
        .operator("$like", text.clone())
        .operator("$ilike", text.clone())
        .open_queries()
        .multi([Method::Remove, Method::Create])
        .pages()
        .describe("Mails")
        .describe_method("send", "Sends")
        .record(text);
    let document = serde_json::to_string(&schemas).unwrap();
    assert_eq!(
        document,
        "{\"description\":\"Mails\",\"methods\":{\"send\":\"Sends\"},\"record\":{\"type\":\"string\"},\
         \"openQueries\":true,\"operators\":{\"$ilike\":{\"type\":\"string\"},\"$like\":{\"type\":\"string\"}},\
         \"data\":{\"create\":{\"type\":\"string\"},\"send\":{\"type\":\"string\"}},\
         \"results\":{\"send\":{\"type\":\"string\"}},\"events\":{\"sent\":{\"type\":\"string\"}},\
         \"multi\":[\"create\",\"remove\"],\"pages\":true}"
    );
    assert_eq!(serde_json::from_str::<Schemas>(&document).unwrap(), schemas);
}

#[test]
fn a_part_that_is_not_known_yet_is_passed_over() {
    let read: Schemas = serde_json::from_value(json!({ "record": true, "later": 1 })).unwrap();
    assert_eq!(read, Schemas::new().record(json!(true)));
}

#[test]
fn the_fields_of_queries_come_with_what_they_are_compared_with() {
    let fields = people().query_fields();
    let operands = |name: &str| fields.iter().find(|field| field.name == name).map(|field| field.operands.clone());
    assert_eq!(operands("member"), Some(vec![json!({ "type": "boolean" })]));
    assert_eq!(operands("tags").unwrap()[1], json!({ "type": "string" }));
    assert_eq!(operands("address.city"), Some(vec![json!({ "type": "string" })]));
    assert_eq!(operands("nothing"), None);
    assert!(!people().has_open_queries() && people().open_queries().has_open_queries());
    assert!(Schemas::new().has_open_queries());
}

#[test]
fn fields_may_have_the_names_of_keywords() {
    let names = [
        "title",
        "type",
        "description",
        "properties",
        "required",
        "enum",
        "const",
        "default",
        "format",
        "pattern",
        "items",
        "not",
        "if",
        "allOf",
        "minimum",
        "id",
        "examples",
        "deprecated",
        "if/then",
        "a~b",
    ];
    let properties: BTreeMap<&str, Value> =
        names.into_iter().map(|name| (name, json!({ "type": "integer" }))).collect();
    let schemas = Schemas::new().record(json!({ "type": "object", "properties": properties }));
    for name in names {
        assert_eq!(query(&schemas, json!({ name: "5" })).unwrap(), json!({ name: 5 }));
        let error = query(&schemas, json!({ name: { "$gt": "x" } })).unwrap_err();
        assert_eq!(error.code(), 400, "{name}");
    }
}

#[derive(Deserialize, Serialize, JsonSchema)]
struct Text {
    text: String,
}

async fn shout(_: &MemoryService, data: Text, _: Params) -> crate::Result<Text> {
    Ok(Text { text: data.text.to_uppercase() })
}

async fn anything(_: &MemoryService, data: Value, _: Params) -> crate::Result<Value> {
    Ok(data)
}

/// What a registered service says of itself.
fn registered(service: impl Into<Registration>) -> Schemas {
    App::new().register("texts", service.into()).schemas("texts").unwrap()
}

#[test]
fn a_function_describes_its_method_by_its_types_and_what_is_written_out_counts_more() {
    let service = || MemoryService::new().described_method("shout", shout);
    let (method, none) = (Method::from("shout"), Schemas::new());
    let (input, output) = (Schema::input::<Text>(), Schema::output::<Text>());
    for schemas in [registered(service()), registered(service().schemas(none.clone()))] {
        assert_eq!((schemas.data_schema(&method), schemas.result_schema(&method)), (Some(&input), Some(&output)));
    }
    let other = Schema::from(json!({ "type": "object" }));
    let schemas = registered(service().schemas(none.clone().data("shout", other.clone())));
    assert_eq!((schemas.data_schema(&method), schemas.result_schema(&method)), (Some(&other), Some(&output)));
    // The last `.schemas` counts, and the function is still there.
    let schemas = registered(service().schemas(none.clone().data("shout", other)).schemas(none));
    assert_eq!(schemas.data_schema(&method), Some(&input));
}

#[test]
fn a_method_that_is_replaced_takes_its_description_along() {
    let service = MemoryService::new().described_method("shout", shout).method("shout", anything);
    assert_eq!(registered(service).data_schema(&Method::from("shout")), None);
}

#[test]
fn how_a_service_takes_and_returns_records_need_not_be_said_again() {
    let described = || Schemas::new().record(json!({ "type": "object" }));
    let plain = registered(MemoryService::new().schemas(described()));
    assert!(!plain.has_pages() && !plain.is_multi(&Method::Create));
    let store = || MemoryService::new().multi([Method::Create]).paginate(1, 2);
    for service in [
        store().schemas(described()),
        store().before(ALL, async |ctx: Context| Ok(ctx)).schemas(described()),
        store().method("anything", anything).schemas(described()),
        store().schemas(described().multi([Method::Create]).pages()),
    ] {
        let schemas = registered(service);
        assert!(schemas.has_pages() && schemas.is_multi(&Method::Create) && !schemas.is_multi(&Method::Remove));
    }
}

#[test]
fn an_integer_keeps_the_bounds_that_its_format_means() {
    #[derive(Deserialize, JsonSchema)]
    #[expect(dead_code, reason = "only its schema is looked at")]
    struct Numbers {
        small: i8,
        large: i64,
        natural: u64,
        some: Option<u32>,
        format: String,
    }
    let schema = Schema::input::<Numbers>();
    let schemas = Schemas::new().query(schema.clone()).data(Method::Create, schema).open_queries();
    let good = json!({ "small": -128, "large": i64::MAX, "natural": u64::MAX, "some": null, "format": "int8" });
    let data = |data: &Value| compiled(&schemas).check(&Method::Create, data, &mut Query::default());
    data(&good).unwrap();
    for (field, value) in [
        ("small", json!(128)),
        ("small", json!(-129)),
        ("large", json!(9_223_372_036_854_775_808_u64)),
        ("large", json!(1e300)),
        ("natural", json!(-1)),
        ("natural", json!(1e20)),
        ("some", json!(4_294_967_296_u64)),
    ] {
        let mut bad = good.clone();
        bad[field] = value.clone();
        let error = data(&bad).unwrap_err();
        assert!(error.errors().unwrap().get(field).is_some(), "{field} {value}: {error}");
        assert!(query(&schemas, json!({ field: { "$ne": value.to_string() } })).is_err(), "{field} {value}");
    }
}

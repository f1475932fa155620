use super::{Described, Document};
use rachis_core::{
    Descriptor, Method,
    schema::{Schema, Schemas},
};
use serde_json::{Value, json};

fn described(path: &str, methods: &[Method], schemas: Option<Schemas>) -> Described {
    let descriptor = Descriptor { path: path.to_owned(), ..Descriptor::new(methods.iter().cloned()) };
    Described { descriptor, schemas, guarded: Vec::new(), note: None }
}

fn document(services: &[Described]) -> Value {
    services.iter().fold(Document::new("Tests", "1"), Document::service).into_value()
}

/// Every reference of a document, with what it leads to.
fn references(document: &Value) -> Vec<(String, Option<Value>)> {
    fn walk(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                if let Some(target) = fields.get("$ref").and_then(Value::as_str) {
                    found.push(target.to_owned());
                }
                fields.values().for_each(|value| walk(value, found));
            }
            Value::Array(items) => items.iter().for_each(|item| walk(item, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    walk(document, &mut found);
    found.into_iter().map(|target| (target.clone(), document.pointer(&target[1..]).cloned())).collect()
}

fn names<'a>(document: &'a Value, place: &str) -> Vec<&'a str> {
    let fields = document.pointer(place).and_then(Value::as_object);
    fields.into_iter().flat_map(|fields| fields.keys().map(String::as_str)).collect()
}

fn person() -> Schema {
    json!({
        "title": "Person",
        "type": "object",
        "properties": {
            "id": { "type": "integer" },
            "age": { "type": ["integer", "null"], "minimum": 0, "description": "In years" },
            "kind": { "$ref": "#/$defs/Kind" },
            "friends": { "type": "array", "items": { "$ref": "#" } },
            "address": { "anyOf": [{ "$ref": "#/$defs/Address" }, { "type": "null" }] },
        },
        "required": ["id"],
        "$defs": {
            "Kind": { "type": "string", "enum": ["guest", "host"] },
            "Address": { "type": "object", "properties": { "city": { "type": "string" } } },
        },
    })
    .into()
}

#[test]
fn a_service_has_one_operation_for_each_way_to_call_it() {
    let schemas = Schemas::new().record(person()).multi([Method::Create, Method::Remove]).pages();
    let methods: Vec<Method> = Method::STANDARD.iter().cloned().chain([Method::custom("shout at")]).collect();
    let document = document(&[described("orgs/:orgId/people", &methods, Some(schemas))]);
    assert_eq!(
        names(&document, "/paths"),
        ["/orgs/{orgId}/people", "/orgs/{orgId}/people/{id}", "/orgs/{orgId}/people#shout%20at"]
    );
    let operations = |path: &str| names(&document, &format!("/paths/{}", path.replace('/', "~1")));
    assert_eq!(operations("/orgs/{orgId}/people"), ["get", "post", "delete"]);
    assert_eq!(operations("/orgs/{orgId}/people/{id}"), ["get", "put", "patch", "delete"]);
    let custom = &document["paths"]["/orgs/{orgId}/people#shout%20at"]["post"];
    assert_eq!(custom["parameters"][1]["schema"]["enum"], json!(["shout at"]));
    let found = &document["paths"]["/orgs/{orgId}/people"]["get"]["responses"]["200"];
    assert_eq!(found["content"]["application/json"]["schema"]["$ref"], "#/components/schemas/OrgsOrgIdPeoplePage");
    assert_eq!(document["paths"]["/orgs/{orgId}/people/{id}"]["get"]["parameters"][1]["schema"]["type"], "integer");
}

#[test]
fn every_reference_leads_to_something_and_what_refers_to_itself_is_there_once() {
    let schemas = Schemas::new().record(person()).data(Method::Create, person());
    let document = document(&[
        described("people", Method::STANDARD, Some(schemas.clone())),
        described("others", Method::STANDARD, Some(schemas)),
        described("open", Method::STANDARD, None),
    ]);
    let references = references(&document);
    assert!(references.len() > 50);
    for (target, found) in references {
        assert!(found.is_some_and(|found| !found.is_null()), "{target}");
    }
    let schemas = names(&document, "/components/schemas");
    assert_eq!(schemas, ["Address", "Error", "Kind", "OthersPage", "PeoplePage", "Person", "PersonSelected"]);
    let friends = &document["components"]["schemas"]["Person"]["properties"]["friends"];
    assert_eq!(friends["items"]["$ref"], "#/components/schemas/Person");
}

#[test]
fn two_schemas_of_one_name_keep_apart() {
    let kind = |value: &str| {
        let kind = json!({ "type": "string", "enum": [value] });
        json!({
            "title": "Person", "type": "object", "properties": { "kind": { "$ref": "#/$defs/Kind" } }, "$defs": { "Kind": kind },
        })
    };
    let service = |path: &str, value: &str| described(path, &[Method::Get], Some(Schemas::new().record(kind(value))));
    let document = document(&[service("a", "x"), service("b", "y")]);
    let kinds = |name: &str| document["components"]["schemas"][name]["enum"][0].clone();
    assert_eq!((kinds("Kind"), kinds("BKind")), (json!("x"), json!("y")));
    let second = &document["components"]["schemas"]["BPerson"]["properties"]["kind"]["$ref"];
    assert_eq!(second, "#/components/schemas/BKind");
}

#[test]
fn queries_are_described_by_the_fields_of_a_record_and_their_operators() {
    let schemas = Schemas::new().record(person()).operator("$near", json!({ "type": "number" }));
    let document = document(&[described("people", &[Method::Find], Some(schemas))]);
    let parameters = &document["components"]["parameters"];
    let all: Vec<&str> = names(&document, "/components/parameters");
    let of_age: Vec<&&str> = all.iter().filter(|name| name.starts_with("People.age")).collect();
    assert_eq!(
        of_age,
        [
            &"People.age",
            &"People.age.gt",
            &"People.age.gte",
            &"People.age.lt",
            &"People.age.lte",
            &"People.age.ne",
            &"People.age.in",
            &"People.age.nin",
            &"People.age.near",
        ]
    );
    let older = &parameters["People.age.gt"];
    assert_eq!((&older["name"], &older["schema"]), (&json!("age[$gt]"), &json!({ "type": "integer", "minimum": 0 })));
    assert_eq!(parameters["People.age"]["description"], "In years");
    assert_eq!(parameters["People.kind"]["schema"]["enum"], json!(["guest", "host"]));
    assert_eq!(parameters["People.address.city.in"]["name"], "address.city[$in][]");
    assert!(parameters.get("People.kind.gt").is_none() && parameters.get("People.address").is_none());
}

#[test]
fn what_takes_a_token_says_so() {
    let open = document(&[described("people", &[Method::Find], None)]);
    assert!(open["components"].get("securitySchemes").is_none());
    let guarded =
        Described { guarded: vec![Method::Create], ..described("people", &[Method::Find, Method::Create], None) };
    let document = document(&[guarded]);
    let people = &document["paths"]["/people"];
    assert_eq!((&people["get"]["security"], &people["post"]["security"]), (&json!([]), &json!([{ "token": [] }])));
    assert!(people["post"]["responses"].get("401").is_some() && people["get"]["responses"].get("401").is_none());
    assert_eq!(document["components"]["securitySchemes"]["token"]["scheme"], "bearer");
}

#[test]
fn a_schema_of_many_parts_that_refer_to_each_other_is_read_in_time() {
    let parts = 300;
    let definitions: serde_json::Map<String, Value> = (0..parts)
        .map(|part| {
            let fields: serde_json::Map<String, Value> = (0..20)
                .map(|step| (format!("f{step}"), json!({ "$ref": format!("#/$defs/P{}", (part * 7 + step) % parts) })))
                .collect();
            (format!("P{part}"), json!({ "type": "object", "properties": fields }))
        })
        .collect();
    let schema = json!({ "title": "Web", "$ref": "#/$defs/P0", "$defs": definitions });
    let started = std::time::Instant::now();
    let document = document(&[described("webs", Method::STANDARD, Some(Schemas::new().record(schema)))]);
    assert!(names(&document, "/components/schemas").len() > parts);
    assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
}

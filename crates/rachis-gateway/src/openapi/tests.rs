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
        ["/orgs/{orgId}/people", "/orgs/{orgId}/people/{id}", "/orgs/{orgId}/people/shout%20at"]
    );
    let operations = |path: &str| names(&document, &format!("/paths/{}", path.replace('/', "~1")));
    assert_eq!(operations("/orgs/{orgId}/people"), ["get", "post", "delete"]);
    assert_eq!(operations("/orgs/{orgId}/people/{id}"), ["get", "put", "patch", "delete"]);
    let custom = &document["paths"]["/orgs/{orgId}/people/shout%20at"]["post"];
    assert_eq!(
        (&custom["operationId"], custom["parameters"].as_array().unwrap().len()),
        (&json!("shout_atOrgsOrgIdPeople"), 1)
    );
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

#[test]
fn a_body_is_required_where_an_empty_record_would_be_refused() {
    let required = |schema: Value| {
        let schemas = Schemas::new().data(Method::Create, schema);
        let document = document(&[described("notes", &[Method::Create], Some(schemas))]);
        document["paths"]["/notes"]["post"]["requestBody"]["required"].as_bool().unwrap()
    };
    for (schema, expected) in [
        (json!({ "type": "object", "properties": { "text": { "type": "string" } } }), false),
        (json!({ "type": "object", "required": ["text"] }), true),
        (json!({ "type": ["array", "object"], "additionalProperties": false }), false),
        (json!({ "type": "array" }), true),
        (
            json!({ "anyOf": [{ "type": "array" }, { "$ref": "#/$defs/A" }], "$defs": { "A": { "type": "object" } } }),
            false,
        ),
        (json!({ "$ref": "#/$defs/A", "$defs": { "A": { "type": "object", "required": ["a"] } } }), true),
        (json!({ "allOf": [{ "type": "object" }, { "required": ["a"] }] }), true),
        // What is not looked into may refuse it.
        (json!({ "type": "object", "minProperties": 1 }), true),
        (json!({ "not": { "type": "object" } }), true),
        (json!({ "$ref": "#" }), true),
    ] {
        assert_eq!(required(schema.clone()), expected, "{schema}");
    }
}

#[test]
fn of_a_service_without_schemas_nothing_is_said_that_might_not_be_so() {
    let methods = [Method::Find, Method::Create, Method::Update, Method::custom("shout")];
    let document = document(&[described("notes", &methods, None)]);
    for (path, verb) in [("/notes", "post"), ("/notes/{id}", "put"), ("/notes/shout", "post")] {
        let body = &document["paths"][path][verb]["requestBody"];
        assert_eq!(body["required"], false, "{path}");
        assert_eq!(body["content"]["application/json"]["schema"], json!({ "type": ["object", "array"] }), "{path}");
    }
    for parameter in document["paths"]["/notes"]["get"]["parameters"].as_array().unwrap() {
        let named = parameter["$ref"].as_str().and_then(|target| document.pointer(&target[1..]));
        let schema = &named.unwrap_or(parameter)["schema"];
        let bounds = ["minimum", "enum", "additionalProperties", "minLength"];
        assert!(bounds.iter().all(|bound| !schema.to_string().contains(bound)), "{schema}");
    }
}

#[test]
fn what_was_created_is_linked_to_what_takes_its_id() {
    let methods = [Method::Create, Method::Get, Method::Remove];
    let schemas = Schemas::new().record(person());
    let links = |path: &str, schemas: &Schemas| {
        let document = document(&[described(path, &methods, Some(schemas.clone()))]);
        let paths = document["paths"].as_object().unwrap();
        let links =
            paths[format!("/{}", path.replace(":id", "{id}")).as_str()]["post"]["responses"]["201"]["links"].clone();
        for (_, link) in links.as_object().into_iter().flatten() {
            let target = link["operationRef"].as_str().unwrap();
            assert!(document.pointer(&target[1..]).is_some(), "{target}");
        }
        links
    };
    let given = json!({ "path.id": "$response.body#/id" });
    assert_eq!(
        links("people", &schemas),
        json!({
            "get": { "operationRef": "#/paths/~1people~1{id}/get", "parameters": given },
            "remove": { "operationRef": "#/paths/~1people~1{id}/delete", "parameters": given },
        })
    );
    let given = json!({ "path.id": "$request.path.id", "path.recordId": "$response.body#/id" });
    assert_eq!(links("orgs/:id/people", &schemas)["get"]["parameters"], given);
    // Without an id there is nothing to give.
    assert_eq!(links("people", &schemas.clone().result("create", json!({ "type": "string" }))), Value::Null);
    assert_eq!(links("people", &Schemas::new().record(json!({ "type": "object" }))), Value::Null);
}

#[test]
fn a_custom_method_without_a_path_of_its_own_is_named_by_the_header() {
    let methods = [Method::Create, Method::custom("shout"), Method::custom("a/b")];
    let open = |path: &str, methods: &[Method]| described(path, methods, None);
    let document = document(&[open("notes", &methods), open("notes/shout", &[Method::Create])]);
    assert_eq!(names(&document, "/paths"), ["/notes", "/notes/shout", "/notes#shout", "/notes#a%2Fb"]);
    assert_eq!(document["paths"]["/notes/shout"]["post"]["tags"], json!(["notes/shout"]));
    for (path, name) in [("/notes#shout", "shout"), ("/notes#a%2Fb", "a/b")] {
        let header = &document["paths"][path]["post"]["parameters"][0];
        assert_eq!((&header["name"], &header["schema"]["enum"]), (&json!("X-Service-Method"), &json!([name])));
    }
}

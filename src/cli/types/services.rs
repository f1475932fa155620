//! The services of a document as types of the official Feathers client.

use super::schema::{comment_of, declaration, grouped, key, quoted, type_of};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// What all services share.
const COMMON: &str = "\
import type { Id, Paginated, Params } from '@feathersjs/feathers'

/** What one element of a list is, or the value itself. */
type Element<T> = T extends readonly (infer E)[] ? E | T : T

/** A value to be compared with, or conditions. */
export type Condition<T, Operators = {}> = T | ({
  $gt?: T
  $gte?: T
  $lt?: T
  $lte?: T
  $ne?: T
  $in?: T[]
  $nin?: T[]
} & Operators)

/** Conditions on the fields of a record; a dot leads into a nested one. */
export type Conditions<T, Operators = {}> = {
  [Field in keyof T]?: Condition<Element<NonNullable<T[Field]>> | Extract<T[Field], null>, Operators>
} & {
  [nested: `${string}.${string}`]: unknown
  $or?: Conditions<T, Operators>[]
  $and?: Conditions<T, Operators>[]
}

/** A query for records. */
export type Query<T, Operators = {}> = Conditions<T, Operators> & {
  $limit?: number
  $skip?: number
  $sort?: { [Field in keyof T]?: 1 | -1 } & { [nested: `${string}.${string}`]: 1 | -1 }
  $select?: (keyof T | `${string}.${string}`)[]
}
";

/// Returns the types; `None` for a document that does not name services.
pub(super) fn types(document: &Value) -> Option<String> {
    let services = document.get("x-rachis-services")?.as_object()?;
    let mut text = String::from("// Written by `rachis types`. Changes are overwritten.\n");
    text.push_str(COMMON);
    for (name, schema) in used(document, services) {
        text.push('\n');
        text.push_str(&declaration(name, schema));
    }
    let mut paths = String::new();
    let mut patterns = String::new();
    let mut names = BTreeSet::new();
    for (path, service) in services {
        let name = service_name(path, &mut names);
        text.push_str(&interface(&name, path, service, description(document, path)));
        if path.split('/').any(|segment| segment.starts_with(':')) {
            patterns.push_str(&format!(" & {{ [path: `{}`]: {name}Service }}", pattern(path)));
        } else {
            paths.push_str(&format!("  {}: {name}Service\n", quoted(path)));
        }
    }
    text.push_str("\n/** All services by path. */\n");
    text.push_str(&format!("export type ServiceTypes = {{\n{paths}}}{patterns}\n"));
    Some(text)
}

/// The components that services refer to, directly or through others.
fn used<'a>(document: &'a Value, services: &Map<String, Value>) -> Vec<(&'a str, &'a Value)> {
    let Some(schemas) = document.pointer("/components/schemas").and_then(Value::as_object) else { return Vec::new() };
    let mut reached = BTreeSet::new();
    let mut ahead = Vec::new();
    services.values().for_each(|service| references(service, &mut ahead));
    while let Some(name) = ahead.pop() {
        let Some((name, schema)) = schemas.get_key_value(&name) else { continue };
        if reached.insert(name.as_str()) {
            references(schema, &mut ahead);
        }
    }
    reached.into_iter().filter_map(|name| Some((name, schemas.get(name)?))).collect()
}

fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            let target = fields.get("$ref").and_then(Value::as_str).and_then(|target| target.rsplit('/').next());
            found.extend(target.map(str::to_owned));
            fields.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

fn description<'a>(document: &'a Value, path: &str) -> Option<&'a str> {
    let tags = document.get("tags")?.as_array()?;
    tags.iter().find(|tag| tag["name"] == path)?.get("description")?.as_str().filter(|text| !text.is_empty())
}

fn service_name(path: &str, taken: &mut BTreeSet<String>) -> String {
    let words = path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let mut name: String = words.map(|word| word[..1].to_ascii_uppercase() + &word[1..]).collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) || name.is_empty() {
        name.insert(0, '_');
    }
    let wanted = name.clone();
    let mut number = 2;
    while !taken.insert(name.clone()) {
        name = format!("{wanted}{number}");
        number += 1;
    }
    name
}

/// A path with any text in the place of its placeholders.
fn pattern(path: &str) -> String {
    let segments = path.split('/').map(|segment| match segment.starts_with(':') {
        true => "${string}".to_owned(),
        false => segment.replace(['\\', '`', '$'], "_"),
    });
    segments.collect::<Vec<_>>().join("/")
}

fn interface(name: &str, path: &str, service: &Value, description: Option<&str>) -> String {
    let record = service.get("record").map_or_else(|| "any".to_owned(), |record| type_of(record, 0));
    let fields = service.get("query").map_or_else(|| record.clone(), |query| type_of(query, 0));
    let operators: String = service
        .get("operators")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(name, operand)| format!("{}?: {}; ", key(name), type_of(operand, 0)))
        .collect();
    let operators = if operators.is_empty() { String::new() } else { format!(", {{ {operators}}}") };
    let query = match (fields.as_str(), service["openQueries"] == true) {
        ("any", _) => "{ [field: string]: any }".to_owned(),
        (fields, true) => format!("Query<{fields}{operators}> & {{ [field: string]: unknown }}"),
        (fields, false) => format!("Query<{fields}{operators}>"),
    };
    let mut text = format!("\n/** What queries of `{path}` may ask. */\nexport type {name}ServiceQuery = {query}\n\n");
    text.push_str(&comment_of(description.unwrap_or(&format!("The service `{path}`.")), ""));
    text.push_str(&format!("export interface {name}Service {{\n"));
    let params = format!("params?: Params<{name}ServiceQuery>");
    for (method, known) in service.get("methods").and_then(Value::as_object).into_iter().flatten() {
        let about = known.get("description").and_then(Value::as_str);
        let result = known.get("result").map_or_else(|| "any".to_owned(), |result| type_of(result, 1));
        let data = known.get("data").map_or_else(|| "any".to_owned(), |data| type_of(data, 1));
        let (result_list, data_list) = (format!("{}[]", grouped(&result)), format!("{}[]", grouped(&data)));
        let several = known["multi"] == true;
        let one = match method.as_str() {
            "find" if known.get("result").is_some() => vec![format!("find({params}): Promise<{result}>")],
            "find" if known["pages"] == true => vec![format!("find({params}): Promise<Paginated<{record}>>")],
            "find" if record == "any" => vec![format!("find({params}): Promise<any>")],
            "find" => vec![format!("find({params}): Promise<{record}[] | Paginated<{record}>>")],
            "get" => vec![format!("get(id: Id, {params}): Promise<{result}>")],
            "create" => {
                let many = several.then(|| format!("create(data: {data_list}, {params}): Promise<{result_list}>"));
                // The list first: `any` would take it, too.
                many.into_iter().chain([format!("create(data: {data}, {params}): Promise<{result}>")]).collect()
            }
            "update" => vec![format!("update(id: Id, data: {data}, {params}): Promise<{result}>")],
            "patch" => {
                let many = several.then(|| format!("patch(id: null, data: {data}, {params}): Promise<{result_list}>"));
                [format!("patch(id: Id, data: {data}, {params}): Promise<{result}>")].into_iter().chain(many).collect()
            }
            "remove" => {
                let many = several.then(|| format!("remove(id: null, {params}): Promise<{result_list}>"));
                [format!("remove(id: Id, {params}): Promise<{result}>")].into_iter().chain(many).collect()
            }
            custom => vec![format!("{}(data: {data}, {params}): Promise<{result}>", key(custom))],
        };
        for form in one {
            text.push_str(&about.map(|about| comment_of(about, "  ")).unwrap_or_default());
            text.push_str(&format!("  {form}\n"));
        }
    }
    for (event, schema) in service.get("events").and_then(Value::as_object).into_iter().flatten() {
        let carried = if *schema == Value::Object(Map::new()) { "any".to_owned() } else { type_of(schema, 1) };
        text.push_str(&format!("  on(event: {}, listener: (data: {carried}) => void): this\n", quoted(event)));
    }
    text.push_str("}\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_service_has_its_paths_methods_queries_and_events() {
        let note = json!({ "type": "object", "properties": { "text": { "type": "string" } }, "required": ["text"] });
        let reference = json!({ "$ref": "#/components/schemas/Note" });
        let document = json!({
            "tags": [{ "name": "notes", "description": "What was noted" }],
            "components": { "schemas": { "Note": note, "Unused": {} } },
            "x-rachis-services": {
                "notes": {
                    "record": reference,
                    "methods": {
                        "find": { "pages": true },
                        "create": { "data": reference, "result": reference, "multi": true, "description": "Notes it" },
                        "send-all": {},
                    },
                    "events": { "created": reference, "sent": {} },
                    "openQueries": false,
                },
                "orgs/:orgId/notes": { "methods": { "get": {} }, "events": {}, "openQueries": true },
            },
        });
        let types = types(&document).unwrap();
        for part in [
            "export interface Note {\n  text: string\n}",
            "export type NotesServiceQuery = Query<Note>\n\n/** What was noted */\nexport interface NotesService {\n",
            "  find(params?: Params<NotesServiceQuery>): Promise<Paginated<Note>>\n",
            "  /** Notes it */\n  create(data: Note[], params?: Params<NotesServiceQuery>): Promise<Note[]>\n",
            "  /** Notes it */\n  create(data: Note, params?: Params<NotesServiceQuery>): Promise<Note>\n",
            "  'send-all'(data: any, params?: Params<NotesServiceQuery>): Promise<any>\n",
            "  on(event: 'created', listener: (data: Note) => void): this\n",
            "  on(event: 'sent', listener: (data: any) => void): this\n",
            "  'notes': NotesService\n} & { [path: `orgs/${string}/notes`]: OrgsOrgIdNotesService }\n",
        ] {
            assert!(types.contains(part), "{part}\n---\n{types}");
        }
        assert!(!types.contains("Unused"));
        assert_eq!(super::types(&json!({ "openapi": "3.1.0" })), None);
    }
}

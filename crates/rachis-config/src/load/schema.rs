//! The JSON Schema of `distribution.toml`: what may stand there comes from the types, what it means from the comments of
//! `default.toml`.

use crate::{
    Algorithm, ByteSize, CallFilter, Config, KeyAlgorithm, Linger, NameFilter, Parties, PathFilter, PathTemplate,
    StartDelay,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};
use std::{borrow::Cow, collections::BTreeMap, fs, path::Path};

const DURATION: &str = r"^\s*(\d+\s*|\d+\s*[a-zA-Zµ]+(\s*\d+\s*[a-zA-Zµ]+)*)\s*$";
const SIZE: &str = r"^\s*\d+\s*([kKmMgG][iI]?)?[bB]?\s*$";

/// How a duration is written.
pub(crate) struct Time;

macro_rules! written_as {
    ($($type:ty: $schema:expr;)*) => { $(
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                Schema::try_from($schema).unwrap()
            }
        }
    )* };
}

fn either(schemas: Value) -> Value {
    json!({ "anyOf": schemas })
}

fn number() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

fn list() -> Value {
    json!({ "type": "array", "items": { "type": "string" } })
}

written_as! {
    Time: either(json!([{ "type": "string", "pattern": DURATION }, number()]));
    StartDelay: either(json!([{ "type": "string", "pattern": DURATION }, { "enum": ["manual", "-1", -1] }, number()]));
    Linger: either(json!([{ "type": "string", "pattern": DURATION }, { "enum": ["forever"] }, number()]));
    ByteSize: either(json!([{ "type": "string", "pattern": SIZE }, number()]));
    PathFilter: either(json!([list(), { "type": "boolean" }]));
    NameFilter: either(json!([list(), { "type": "boolean" }]));
    CallFilter: list();
    PathTemplate: json!({ "type": "string", "pattern": r"\{path\}" });
    Algorithm: json!({ "enum": ["HS256", "HS384", "HS512"] });
    KeyAlgorithm: json!({ "enum": KeyAlgorithm::ALL.map(KeyAlgorithm::name) });
    Parties: either(json!([{ "type": "string" }, list()]));
}

/// What `default.toml` says of its sections and keys.
#[derive(Default)]
struct Comments {
    words: BTreeMap<String, String>,
}

impl Comments {
    fn read(text: &str) -> Self {
        let mut comments = Comments::default();
        let mut section = String::new();
        let mut words = Vec::<&str>::new();
        let mut fresh = true;
        for line in text.lines() {
            let named =
                line.trim_start_matches("# ").split_once(" =").map(|(name, _)| name).filter(|name| is_name(name));
            if let Some(header) = line.strip_prefix('[') {
                section = format!("{}.", header.trim_end_matches(']'));
                comments.note(section.trim_end_matches('.'), &words);
                fresh = true;
            } else if let Some(name) = named {
                // Several keys in a row share what stands above the first of them.
                comments.note(&format!("{section}{name}"), &words);
                fresh = true;
            } else if let Some(comment) = line.strip_prefix("# ").filter(|comment| !comment.starts_with("----")) {
                if fresh {
                    words.clear();
                }
                fresh = false;
                words.push(comment.trim());
            } else {
                fresh = true;
                words.clear();
            }
        }
        comments
    }

    fn note(&mut self, key: &str, words: &[&str]) {
        if !words.is_empty() {
            self.words.insert(key.to_owned(), words.join(" "));
        }
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c == '_')
}

fn schema() -> Value {
    let generator = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true).into_generator();
    let mut schema = generator.into_root_schema_for::<Config>().to_value();
    let defaults = include_str!("../../default.toml");
    let values = serde_json::to_value(defaults.parse::<toml::Table>().unwrap()).unwrap();
    describe("", &mut schema, &values, &Comments::read(defaults));
    schema["title"] = json!("distribution.toml");
    schema["description"] =
        json!("The configuration of a Rachis node. Every key has a default, so each may be left out.");
    schema
}

/// Puts in what the types do not know: every key has a default, which is a value of `default.toml`.
fn describe(key: &str, schema: &mut Value, values: &Value, comments: &Comments) {
    let Some(schema) = schema.as_object_mut() else { return };
    schema.remove("required");
    schema.remove("default");
    if let Some(words) = comments.words.get(key) {
        schema.insert("description".into(), json!(words));
    }
    if !values.is_object() && !values.is_null() {
        schema.insert("default".into(), values.clone());
    }
    let mut none = Map::new();
    for (name, schema) in schema.get_mut("properties").and_then(Value::as_object_mut).unwrap_or(&mut none) {
        let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
        describe(&key, schema, values.get(name).unwrap_or(&Value::Null), comments);
    }
}

/// Every file that is a `distribution.toml`, wherever it is used.
fn files(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if path.is_dir() {
            files(&path, found);
        } else if name == "default.toml" || name.starts_with("distribution") && name.ends_with(".toml") {
            found.push(path);
        }
    }
}

fn checked(toml: &str) -> Result<(), String> {
    let instance = serde_json::to_value(toml.parse::<toml::Table>().unwrap()).unwrap();
    let mut schemas = boon::Schemas::new();
    let mut compiler = boon::Compiler::new();
    compiler.add_resource("distribution.schema.json", schema()).unwrap();
    let index = compiler.compile("distribution.schema.json", &mut schemas).unwrap();
    schemas.validate(&instance, index).map_err(|error| error.to_string())
}

#[test]
fn the_file_is_what_types_and_defaults_say() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/distribution.schema.json");
    let made = format!("{:#}\n", schema());
    if std::env::var_os("WRITE_SCHEMA").is_some() {
        fs::write(path, &made).unwrap();
    }
    let written = fs::read_to_string(path).unwrap();
    assert!(written == made, "out of date: run WRITE_SCHEMA=1 cargo test --package rachis-config schema");
}

#[test]
fn every_key_is_described() {
    let schema = schema();
    for key in crate::error::known_keys() {
        let place = key.split('.').fold(String::new(), |place, name| format!("{place}/properties/{name}"));
        let found = schema.pointer(&place).unwrap_or_else(|| panic!("{key} is not in the schema"));
        assert!(found["description"].as_str().is_some_and(|words| words.len() > 10), "{key}: {found}");
    }
    let listen = &schema["properties"]["gateway"]["properties"]["listen"];
    assert_eq!(listen["default"], "127.0.0.1:3030");
    assert!(listen["description"].as_str().unwrap().starts_with("host:port to listen on"), "{listen}");
}

#[test]
fn every_configuration_of_this_repository_is_valid_by_the_schema() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let mut found = Vec::new();
    for folder in ["config", "examples", "docker", "k8s", "deploy"] {
        files(&root.join(folder), &mut found);
    }
    assert!(found.len() >= 2, "{found:?}");
    for path in found {
        let text = fs::read_to_string(&path).unwrap();
        if let Err(error) = checked(&text) {
            panic!("{}: {error}", path.display());
        }
        Config::from_toml(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
    checked(&crate::tests::shown_with_optional_keys()).unwrap();
}

#[test]
fn the_schema_takes_what_the_program_takes_and_refuses_what_it_refuses() {
    let good = [
        "timeout = '1m 30s'",
        "timeout = 250",
        "timeout = '250'",
        "linger = 'forever'",
        "start_delay = -1",
        "start_delay = 'manual'",
        "services = true",
        "services = ['a/*', '!b']",
        "distributed_events = false",
        "limits.max_payload = '64 kib'",
        "limits.max_payload = 2048",
        "gateway.auth.jwt.algorithm = 'HS512'",
        "gateway.auth.public = ['users:create']",
        "gateway.channels.publish = 'everyone'",
        "log.format = 'json'",
        "[service.'/a/b']\nevents = ['created']\nmethods = true",
        "redis.sentinel_tls = true",
        "ttl = '9s'",
        "mesh.secret = 'sixteen bytes or more'",
    ];
    for toml in good {
        Config::from_toml(toml).unwrap();
        assert_eq!(checked(toml), Ok(()), "{toml}");
    }
    let bad = [
        "timeot = 5",
        "timeout = 'soon'",
        "timeout = true",
        "linger = 'always'",
        "start_delay = -2",
        "services = 'a'",
        "services = [1]",
        "remote_service_path = 'remote'",
        "limits.max_queue = 'many'",
        "limits.max_queue = -1",
        "limits.max_payload = '1.5MB'",
        "limits = 5",
        "gateway.auth.jwt.algorithm = 'none'",
        "gateway.channels.publish = 'all'",
        "log.format = 0",
        "[service.x]\nevts = true",
        "redis.password = 12345",
        "warnings = []",
    ];
    for toml in bad {
        assert!(Config::from_toml(toml).is_err(), "{toml} is taken");
        assert!(checked(toml).is_err(), "{toml} is valid by the schema");
    }
}

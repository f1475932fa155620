//! What the fuzz targets run: each takes any input at all and panics where a promise is broken. Only built with
//! `--cfg fuzzing`, as cargo-fuzz does; `inside/` has what needs the private parts of a crate.

pub mod configurations;
pub mod queries;

/// Inputs to begin with: target, name and bytes.
pub fn seeds() -> Vec<(&'static str, String, Vec<u8>)> {
    let mut seeds = rachis_mesh::fuzzing::seeds();
    for (target, texts) in TEXT_SEEDS {
        seeds.extend(texts.iter().enumerate().map(|(n, text)| (*target, n.to_string(), text.as_bytes().to_vec())));
    }
    let file = include_str!("../../config/distribution.example.toml");
    seeds.push(("config_toml", "example".into(), file.into()));
    let names = rachis_config::ENV.iter().map(|row| format!("{}=5\n", row.name)).collect::<String>();
    seeds.push(("config_env", "names".into(), names.into()));
    seeds
}

/// Inputs that are text.
const TEXT_SEEDS: &[(&str, &[&str])] = &[
    (
        "query_strings",
        &[
            "name=Ada&age[$gte]=18&$sort[age]=-1&$limit=2&$skip=1&$select[]=name",
            "$or[0][age][$lt]=40&$or[1][name]=Bo&tags=a&tags=b&address.city=London",
            "a[b]=1&a[c][d][]=2&a[5]=x&a=y&1=z&a[1000]=q&%5B%5D=%e2%82%ac&__proto__[x]=1",
        ],
    ),
    (
        "filters",
        &[
            r#"{"name":"Ada","age":{"$gte":18,"$ne":null},"$sort":{"age":-1},"$limit":2,"$skip":"1"}"#,
            r#"{"$or":[{"age":{"$lt":40}},{"$and":[{"tags":{"$in":["a",null]}},{"a.b":{"$nin":[1]}}]}],"$select":["name"]}"#,
            r#"{"tags.0":"a","0.0.0":0,"":"","a.b.c.d":"x","address.zip":[1,2],"done":{"$lte":true}}"#,
        ],
    ),
    (
        "config_toml",
        &[
            "key = \"k\"\nheartbeat_interval = \"2s\"\ntimeout = \"500ms\"\n[limits]\nmax_in_flight = 8\nmax_payload = \"1MB\"",
            "[redis]\nurl = \"rediss://ada:secret@redis:6379/1\"\n[gateway]\nlisten = \"127.0.0.1:0\"\ncors_origins = [\"*\"]",
            "[service.\"api/todos\"]\nevents = [\"created\"]\nmethods = false\n[gateway.channels]\npublish = \"everyone\"",
        ],
    ),
    (
        "config_env",
        &[
            "REDIS_URL=redis://u:p@h:1/2\nPORT=8080\nHEARTBEAT_INTERVAL=2000\nDISTRIBUTION_KEY=a",
            "DISTRIBUTION__LIMITS__MAX_IN_FLIGHT=8\nDISTRIBUTION__SERVICES=api/*,users\nRUST_LOG=debug\nCOTE_LOG=1",
            "DISTRIBUTION__GATEWAY__CORS_ORIGINS=[\"a\", \"b\"]\nBASE_PORT=1\nDISTRIBUTION__A__B__C__D=1",
        ],
    ),
];

use super::*;
use proptest::prelude::*;
use serde_json::json;

fn try_read(text: &str) -> Result<Value, Excess> {
    parse(text, &GatewayQuery::default()).map(Value::Object)
}

fn read(text: &str) -> Value {
    try_read(text).unwrap()
}

#[test]
fn a_query_string_nests_by_brackets() {
    assert_eq!(read("a=1&b[c]=2&b[d][e]=3"), json!({"a": "1", "b": {"c": "2", "d": {"e": "3"}}}));
    assert_eq!(read("%24sort%5Bname%5D=-1&%24limit=2"), json!({"$sort": {"name": "-1"}, "$limit": "2"}));
    assert_eq!(read("$or[0][age][$lt]=5&$or[1][name]=Ada"), json!({"$or": [{"age": {"$lt": "5"}}, {"name": "Ada"}]}));
}

#[test]
fn lists_come_from_indices_empty_brackets_and_repetition() {
    for text in ["a[0]=x&a[1]=y", "a[]=x&a[]=y", "a=x&a=y", "a[2]=x&a[7]=y", "a[7]=y&a[2]=x", "a[0]=x&a=y"] {
        assert_eq!(read(text), json!({"a": ["x", "y"]}), "{text}");
    }
}

#[test]
fn indices_mixed_with_names_make_an_object() {
    assert_eq!(read("a[0]=x&a[b]=y"), json!({"a": {"0": "x", "b": "y"}}));
    assert_eq!(read("a[b]=x&a=y"), json!({"a": {"b": "x", "y": true}}));
    assert_eq!(read("a=x&a[b]=y"), json!({"a": ["x", {"b": "y"}]}));
    assert_eq!(read("1[b]=y&1=x"), json!({"1": ["x", {"b": "y"}]}));
}

#[test]
fn scalars_stay_strings_and_a_missing_value_is_empty() {
    assert_eq!(
        read("n=1&t=true&u=null&k&e=&d=a.b&c=a,b&f.g=1"),
        json!({"n": "1", "t": "true", "u": "null", "k": "", "e": "", "d": "a.b", "c": "a,b", "f.g": "1"})
    );
}

#[test]
fn keys_stay_in_the_order_they_were_written_in() {
    for (text, printed) in [
        ("$sort[score]=-1&$sort[name]=1", r#"{"$sort":{"score":"-1","name":"1"}}"#),
        ("z=1&a=2&z=3&10=x&9=y", r#"{"z":["1","3"],"a":"2","10":"x","9":"y"}"#),
        ("q[z][y]=1&q[b]=2&p=3&q[z][x]=4", r#"{"q":{"z":{"y":"1","x":"4"},"b":"2"},"p":"3"}"#),
        ("l[0][z]=1&l[1][c]=2&l[0][a]=3", r#"{"l":[{"z":"1","a":"3"},{"c":"2"}]}"#),
        ("b=1&7[x]=1&7=2&a=3", r#"{"b":"1","7":["2",{"x":"1"}],"a":"3"}"#),
        ("a[z]=1&a=y&a[b]=2", r#"{"a":{"z":"1","y":true,"b":"2"}}"#),
    ] {
        assert_eq!(read(text).to_string(), printed, "{text}");
    }
}

#[test]
fn brackets_nest_as_deep_as_the_limit_and_no_deeper() {
    let nested = |depth: usize| format!("a{}=x", "[b]".repeat(depth));
    assert_eq!(read("$and[1][$or][0][store][$in][0]=a"), json!({"$and": [{"$or": [{"store": {"$in": ["a"]}}]}]}));
    assert!(read(&nested(32)).pointer(&format!("/a{}", "/b".repeat(32))).is_some_and(Value::is_string));
    for text in [nested(33), nested(20_000), format!("x=1&{}&y=2", nested(33)), "[]".repeat(40)] {
        assert_eq!(try_read(&text), Err(Excess::Depth(32)), "{text:.60}");
    }
    let error = Error::from(Excess::Depth(32));
    assert_eq!(error.code(), 400);
    assert_eq!(
        error.message(),
        "A key of the query has more than 32 brackets, which is the limit `gateway.query.depth`"
    );
}

#[test]
fn a_list_has_as_many_items_as_were_written() {
    let expected: Vec<String> = (0..9_000).map(|n| n.to_string()).collect();
    for way in ["n[$nin][]", "n[$nin][#]", "n[$nin]"] {
        let text: Vec<String> = expected.iter().map(|n| format!("{}={n}", way.replace('#', n))).collect();
        assert_eq!(read(&text.join("&"))["n"]["$nin"], json!(expected), "{way}");
        let backwards: Vec<&str> = text.iter().rev().map(String::as_str).collect();
        assert_eq!(read(&backwards.join("&"))["n"]["$nin"].as_array().unwrap().len(), 9_000, "{way}");
    }
}

#[test]
fn an_index_behind_a_gap_is_refused_where_it_might_be_a_key() {
    assert_eq!(read("a[19]=x"), json!({"a": ["x"]}));
    for (text, index) in [
        ("a[20]=x", 20),
        ("a[1000]=x", 1000),
        ("a[2024]=x&a[2025]=y", 2025),
        ("a[4294967295]=x", 4_294_967_295),
        ("a[b][c][100]=x", 100),
        ("a[100]=x&a=y", 101),
        ("a=y&a[100]=x", 101),
        ("a[][100]=x", 100),
        ("a[0][30]=x", 30),
        ("a[30]=x&a[b]=y&a=z", 30),
        ("a[b]=y&a[30]=x&a=z", 30),
        ("a[30]=x&a=y&a[b]=z", 31),
        ("a=y&a[30]=x&a[b]=z", 31),
    ] {
        assert_eq!(try_read(text), Err(Excess::Index(index)), "{text}");
    }
    assert_eq!(read("a[19]=x&a[b]=y&a=z"), json!({"a": {"19": "x", "b": "y", "z": true}}));
    // Beside a name they are keys, and what is no index of JavaScript is none here.
    assert_eq!(read("a[2024]=x&a[b]=y"), json!({"a": {"2024": "x", "b": "y"}}));
    assert_eq!(
        read("a[007]=x&b[99999999999999999999]=y"),
        json!({"a": {"007": "x"}, "b": {"99999999999999999999": "y"}})
    );
    let error = Error::from(Excess::Index(2024));
    assert!(error.code() == 400 && error.message().contains("`gateway.query.sparse_index`"), "{error}");
}

#[test]
fn parameters_beyond_the_limit_are_refused_and_never_left_out() {
    let text = |count: usize| (0..count).map(|n| format!("k{n}=v")).collect::<Vec<_>>().join("&");
    assert_eq!(parse(&text(10_000), &GatewayQuery::default()).unwrap().len(), 10_000);
    for text in [text(10_001), "&".repeat(10_000), "a[]=1&".repeat(10_000)] {
        assert_eq!(try_read(&text), Err(Excess::Parameters(10_000)), "{text:.60}");
    }
    let error = Error::from(Excess::Parameters(10_000));
    assert_eq!(
        error.message(),
        "The query has more than 10000 parameters, which is the limit `gateway.query.parameters`"
    );
}

#[test]
fn limits_are_those_of_the_configuration() {
    let limits = GatewayQuery { parameters: 2, depth: 1, sparse_index: 1000 };
    let read = |text: &str| parse(text, &limits).map(Value::Object);
    assert_eq!(read("a[999]=x&b[c]=y"), Ok(json!({"a": ["x"], "b": {"c": "y"}})));
    assert_eq!(read("a=1&b=2&c=3"), Err(Excess::Parameters(2)));
    assert_eq!(read("a[b][c]=1"), Err(Excess::Depth(1)));
    assert_eq!(read("a[1000]=x"), Err(Excess::Index(1000)));
}

#[test]
fn the_prototype_is_out_of_reach() {
    assert_eq!(read("__proto__[x]=1&a[__proto__][x]=1&b[__proto__]=1&c=1"), json!({"a": {}, "b": {}, "c": "1"}));
    assert_eq!(read("a[b]=1&a=__proto__"), json!({"a": {"b": "1"}}));
}

#[test]
fn percent_codes_and_plus_are_decoded_and_broken_ones_left_alone() {
    assert_eq!(read("a+b=c+d%2B%26%C3%A9"), json!({"a b": "c d+&é"}));
    assert_eq!(read("a=%zz&b=%C3%28&c=100%&d=%20%zz"), json!({"a": "%zz", "b": "%C3%28", "c": "100%", "d": "%20%zz"}));
    assert_eq!(read("a%255Bb%255D=1"), json!({"a%5Bb%5D": "1"}));
}

#[test]
fn unbalanced_brackets_are_text() {
    assert_eq!(read("a[b=1&c]=2&d[e[f]=3&]]]]=4"), json!({"a[b": "1", "c]": "2", "d[e": {"f": "3"}, "]]]]": "4"}));
    assert_eq!(read("[]=a&[x]=b"), json!({"0": "a", "x": "b"}));
}

#[test]
fn a_flood_of_brackets_without_a_partner_is_text() {
    assert_eq!(read(&"]".repeat(60_000)).as_object().map(Map::len), Some(1));
    assert_eq!(read(&"[".repeat(60_000)).as_object().map(Map::len), Some(1));
}

/// Prints a value the way Feathers' REST client does, with indexed brackets.
fn print(prefix: &str, value: &Value, out: &mut Vec<String>) {
    let encode =
        |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
    let below = |key: &str| if prefix.is_empty() { encode(key) } else { format!("{prefix}%5B{}%5D", encode(key)) };
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| print(&below(key), value, out)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, item)| print(&below(&at.to_string()), item, out))
        }
        Value::String(text) => out.push(format!("{prefix}={}", encode(text))),
        other => panic!("no client sends {other} as a string"),
    }
}

fn queries() -> impl Strategy<Value = Value> {
    let text = "[^\\p{Cc}]{0,8}".prop_map(Value::from);
    let value = text.prop_recursive(4, 40, 5, |inner| {
        // Names without brackets, which have no escape, and not only digits, which would be indices.
        let fields = prop::collection::hash_map("[a-z$][^\\[\\]]{0,5}", inner.clone(), 1..4);
        prop_oneof![
            prop::collection::vec(inner, 1..4).prop_map(Value::from),
            fields.prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    });
    prop::collection::hash_map("[a-z$][^\\[\\]]{0,5}", value, 0..6)
        .prop_map(|fields| Value::Object(fields.into_iter().collect()))
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,200}", odd in "[ab\\[\\]=&%0-9+é]{0,120}") {
        let _ = (try_read(&text), try_read(&odd));
    }

    #[test]
    fn a_printed_query_is_read_back(query in queries()) {
        let mut out = Vec::new();
        print("", &query, &mut out);
        // As text, since the order of keys counts as well.
        prop_assert_eq!(read(&out.join("&")).to_string(), query.to_string());
    }
}

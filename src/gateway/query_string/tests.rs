use super::*;
use proptest::prelude::*;
use serde_json::json;

fn read(text: &str) -> Value {
    Value::Object(parse(text))
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
fn below_the_fifth_bracket_the_rest_is_one_key() {
    assert_eq!(read("a[b][c][d][e][f][g][h]=x"), json!({"a": {"b": {"c": {"d": {"e": {"f": {"[g][h]": "x"}}}}}}}));
}

#[test]
fn an_index_beyond_the_limit_makes_an_object() {
    assert_eq!(read("a[999]=x"), json!({"a": ["x"]}));
    assert_eq!(read("a[1000]=x"), json!({"a": {"1000": "x"}}));
    assert_eq!(read("a[1000]=x&a=y"), json!({"a": {"1000": "x", "1001": "y"}}));
}

#[test]
fn parameters_beyond_the_thousandth_are_not_read() {
    let text: Vec<String> = (0..1500).map(|n| format!("k{n}=v")).collect();
    assert_eq!(parse(&text.join("&")).len(), 1000);
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
fn a_wide_and_deep_flood_stays_small() {
    let deep = format!("a{}=x", "[b]".repeat(20_000));
    assert!(read(&deep)["a"]["b"]["b"]["b"]["b"]["b"].is_object());
    let sparse: Vec<String> = (0..1000).map(|n| format!("k{n}[999][999][999][999][999]=v")).collect();
    assert_eq!(parse(&sparse.join("&")).len(), 1000);
    assert_eq!(read(&"]".repeat(60_000)).as_object().map(Map::len), Some(1));
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
        let fields = prop::collection::btree_map("[a-z$][^\\[\\]]{0,5}", inner.clone(), 1..4);
        prop_oneof![
            prop::collection::vec(inner, 1..4).prop_map(Value::from),
            fields.prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    });
    prop::collection::btree_map("[a-z$][^\\[\\]]{0,5}", value, 0..6)
        .prop_map(|fields| Value::Object(fields.into_iter().collect()))
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,200}", odd in "[ab\\[\\]=&%0-9+é]{0,120}") {
        parse(&text);
        parse(&odd);
    }

    #[test]
    fn a_printed_query_is_read_back(query in queries()) {
        let mut out = Vec::new();
        print("", &query, &mut out);
        prop_assert_eq!(read(&out.join("&")), query);
    }
}

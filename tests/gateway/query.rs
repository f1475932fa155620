//! Query strings on their way to a service; the rules themselves are tested where they are written.

use crate::{Web, services::app};
use rachis::{App, MemoryService};
use serde_json::{Value, json};

async fn query(web: &Web, text: &str) -> Value {
    web.get(&format!("/echo?{text}")).await.json()["query"].take()
}

#[tokio::test]
async fn what_feathers_rest_client_sends_is_understood() {
    let web = Web::remote(app()).await;
    for (text, expected) in [
        ("", json!({})),
        ("%24limit=10&%24skip=5", json!({"$limit": "10", "$skip": "5"})),
        ("%24sort%5BcreatedAt%5D=-1", json!({"$sort": {"createdAt": "-1"}})),
        ("%24select%5B0%5D=a&%24select%5B1%5D=b", json!({"$select": ["a", "b"]})),
        (
            "%24or%5B0%5D%5Bage%5D%5B%24lt%5D=5&%24or%5B1%5D%5Bname%5D=Ada",
            json!({"$or": [{"age": {"$lt": "5"}}, {"name": "Ada"}]}),
        ),
        ("age[$in][]=1&age[$in][]=2", json!({"age": {"$in": ["1", "2"]}})),
        ("a=1&a=2", json!({"a": ["1", "2"]})),
        ("a[3]=x&a[1]=y", json!({"a": ["y", "x"]})),
        ("t=true&n=null&k&e=", json!({"t": "true", "n": "null", "k": "", "e": ""})),
        ("name=a+b%2Bc&city=K%C3%B8benhavn", json!({"name": "a b+c", "city": "K\u{f8}benhavn"})),
        ("__proto__[admin]=1&a[__proto__][x]=1", json!({"a": {}})),
        ("constructor[x]=1", json!({"constructor": {"x": "1"}})),
    ] {
        assert_eq!(query(&web, text).await, expected, "{text}");
    }
}

#[tokio::test]
async fn every_method_gets_its_query() {
    let web = Web::remote(app()).await;
    for (verb, url) in
        [("GET", "/echo/1?a=b"), ("POST", "/echo?a=b"), ("PATCH", "/echo?a=b"), ("DELETE", "/echo/1?a=b")]
    {
        assert_eq!(web.send(verb, url).await.json()["query"], json!({"a": "b"}), "{verb}");
    }
    assert_eq!(web.call("/echo?a=b", "inspect", json!({})).await.json()["query"], json!({"a": "b"}));
}

#[tokio::test]
async fn keys_arrive_in_the_order_they_were_written_in() {
    let web = Web::remote(app()).await;
    let seen = query(&web, "$sort[score]=-1&$sort[name]=1&z[y]=1&a=2&z[b]=3").await;
    let expected = r#"{"$sort":{"score":"-1","name":"1"},"z":{"y":"1","b":"3"},"a":"2"}"#;
    assert_eq!(seen.to_string(), expected);
}

#[tokio::test]
async fn what_a_client_lists_to_be_kept_is_kept() {
    let store = MemoryService::new().multi(true).records((0..1501).map(|n| json!({ "n": n.to_string() })));
    let web = Web::remote(App::new().register("todos", store.clone())).await;
    for way in ["n[$nin][]", "n[$nin][#]"] {
        let list: Vec<String> = (0..1500).map(|n| format!("{}={n}", way.replace('#', &n.to_string()))).collect();
        let found = web.get(&format!("/todos?{}", list.join("&"))).await.json();
        assert_eq!(found, json!([{ "n": "1500", "id": 1500 }]), "{way}");
    }
    let list: Vec<String> = (0..1500).map(|n| format!("n[$nin][]={n}")).collect();
    let removed = web.send("DELETE", &format!("/todos?{}", list.join("&"))).await;
    assert_eq!((removed.status, removed.json().as_array().unwrap().len(), store.len()), (200, 1, 1500));
}

//! `rachis bench`.

use crate::mesh;
use serde_json::Value;

#[tokio::test]
async fn calls_are_counted_and_timed() {
    let (_node, rachis) = mesh().await;
    let bench = ["bench", "echo", "get", "7", "--callers", "4", "--duration", "300ms", "--warm-up", "0s"];
    let ended = rachis.run(&[&bench[..], &["--json"]].concat()).await;
    assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{ended:?}");
    let report = ended.json();
    let number = |pointer: &str| report.pointer(pointer).and_then(Value::as_f64).unwrap();
    assert!(number("/calls") > 0.0 && number("/rate") > 0.0 && number("/seconds") >= 0.3, "{report}");
    assert!(number("/latency/p50") > 0.0 && number("/latency/p50") <= number("/latency/max"), "{report}");
    assert_eq!(report["errors"], serde_json::json!({}));

    let ended = rachis.run(&bench).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.out.contains("answered a second, 0 failed") && ended.out.contains("99.9%"), "{ended:?}");
}

#[tokio::test]
async fn a_rate_is_kept_and_not_exceeded() {
    let (_node, rachis) = mesh().await;
    let words = ["bench", "echo", "get", "7", "--rate", "100", "--duration", "500ms", "--warm-up", "0s", "--json"];
    let ended = rachis.run(&words).await;
    assert_eq!(ended.json()["calls"], 50, "{ended:?}");
}

#[tokio::test]
async fn failed_calls_are_named_and_end_with_1() {
    let (_node, rachis) = mesh().await;
    let words = ["bench", "todos", "get", "nobody", "--callers", "1", "--duration", "100ms", "--warm-up", "0s"];
    let ended = rachis.run(&[&words[..], &["--json"]].concat()).await;
    assert_eq!(ended.code, 1, "{ended:?}");
    let report = ended.json();
    assert_eq!(report["errors"]["NotFound"], report["calls"], "{report}");
    let ended = rachis.run(&words).await;
    assert!(ended.out.contains(" NotFound\n"), "{ended:?}");
}

#[tokio::test]
async fn a_bench_of_a_path_that_nobody_serves_ends_with_4() {
    let (_node, rachis) = mesh().await;
    let ended = rachis.run(&["bench", "nobody", "get", "1"]).await;
    assert_eq!(ended.code, 4, "{ended:?}");
    assert!(ended.err.contains("No node serves 'nobody'"), "{ended:?}");
}

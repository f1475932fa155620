//! What no node would write.

use crate::{
    command, dead_letters, knows, queued, redis_of,
    services::Echo,
    start,
    wire::{self, request},
};
use rachis::App;
use rachis_testing as testing;
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn garbage_among_the_requests_is_set_aside_with_a_reason_and_the_node_goes_on() {
    let config = testing::config();
    let _there = start(&config, "worker", App::new().register("echo", Echo)).await;
    let here = start(&config, "caller", App::new()).await;
    knows(&here, "echo").await;
    let whole = request(1, "echo", "find", Duration::from_secs(10));
    let frames: [&[u8]; 6] =
        [b"", b"hello", &[0xff; 300], &[1, b'Q'], &whole[..whole.len() - 1], &[1, b'R', 0, 0, 0, 0]];
    for frame in frames {
        wire::send(&config, "worker", frame).await;
    }
    command(&config, &["XADD", &crate::calls_of(&config, "worker"), "*", "other", "field"]).await.unwrap();
    assert_eq!(here.service("echo").get(1).await.unwrap()["id"], 1);
    testing::eventually("all are set aside", async || dead_letters(&config, "worker").await.len() == 7).await;
    for (reason, kept) in dead_letters(&config, "worker").await {
        assert!(reason.contains("frame") && kept.len() <= 2, "{reason}: {kept:?}");
    }
    let letters = here.dead_letters("worker").list(9).await.unwrap();
    assert!(letters.iter().all(|letter| letter.call.is_none() && letter.deliveries == 1));
    let mut sizes: Vec<u64> = letters.iter().map(|letter| letter.size).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [0, 0, 2, 5, 6, whole.len() as u64 - 1, 300]);
    let error = here.dead_letters("worker").replay(&letters[0].id).await.unwrap_err();
    assert_eq!(error.kind(), rachis::ErrorKind::Unprocessable);
    testing::eventually("nothing is left", async || queued(&config, "worker").await == 0).await;
    here.service("echo").create(json!({})).await.unwrap();
}

#[tokio::test]
async fn a_frame_of_a_newer_version_is_refused_with_both_versions_named() {
    let config = testing::config();
    let _there = start(&config, "worker", App::new().register("echo", Echo)).await;
    let mut frame = request(1, "echo", "find", Duration::from_secs(10));
    frame[0] = 2;
    wire::send(&config, "worker", &frame).await;
    testing::eventually("it is set aside", async || dead_letters(&config, "worker").await.len() == 1).await;
    let (reason, kept) = dead_letters(&config, "worker").await.remove(0);
    assert!(reason.contains("version 2") && reason.contains("version 1"), "{reason}");
    assert_eq!(kept, [2, b'Q'], "version and kind; where its secrets are, nobody here knows");
}

#[tokio::test]
async fn no_more_dead_letters_are_kept_than_allowed() {
    let mut config = testing::config();
    config.limits.dead_letters = 10;
    let _there = start(&config, "worker", App::new().register("echo", Echo)).await;
    for n in 0..400u32 {
        wire::send(&config, "worker", &n.to_be_bytes()).await;
    }
    testing::eventually("all are dealt with", async || queued(&config, "worker").await == 0).await;
    // Redis trims in whole nodes of a hundred entries.
    let kept = dead_letters(&config, "worker").await.len();
    assert!((10..=110).contains(&kept), "{kept}");
}

#[tokio::test]
async fn garbage_in_an_inbox_is_passed_over() {
    let config = testing::config();
    let there = start(&config, "worker", App::new().register("echo", Echo)).await;
    let here = start(&config, "caller", App::new()).await;
    knows(&here, "echo").await;
    for node in [&there, &here] {
        let inbox = wire::inbox_of(&config, node.id());
        for frame in
            [&b""[..], b"hello", &[1, b'R'], &[1, b'R', 0x92, 0, 0xc0], &[1, b'Q', 0, 0], &[2, b'R', 1], &[0xff; 64]]
        {
            wire::add(&config, &inbox, frame).await;
        }
        command(&config, &["XADD", &inbox, "*", "other", "field"]).await.unwrap();
    }
    for n in 0..5 {
        assert_eq!(here.service("echo").get(n).await.unwrap()["id"], n);
    }
    testing::eventually("nothing hangs", async || there.in_flight() == 0).await;
}

#[tokio::test]
async fn a_key_of_the_wrong_type_in_place_of_the_requests_is_survived() {
    let config = testing::config();
    let _there = start(&config, "worker", App::new().register("echo", Echo)).await;
    let here = start(&config, "caller", App::new()).await;
    knows(&here, "echo").await;
    let stream = crate::calls_of(&config, "worker");
    command(&config, &["SET", &stream, "nonsense"]).await.unwrap();
    let error = here.service("echo").get(1).timeout(Duration::from_millis(500)).await.unwrap_err();
    assert_eq!(error.kind(), rachis::ErrorKind::Unavailable);
    command(&config, &["DEL", &stream]).await.unwrap();
    testing::eventually("calls work again", async || here.service("echo").get(2).await.is_ok()).await;
}

#[tokio::test]
async fn garbage_on_the_channels_changes_nothing() {
    let config = testing::config();
    let there = start(&config, "worker", App::new().register("echo", Echo)).await;
    let here = start(&config, "caller", App::new()).await;
    knows(&here, "echo").await;
    let mut events = here.service("echo").on("*").await.unwrap();
    let lifecycle = format!("{}:lifecycle", config.namespace);
    let channel = format!("{}:{{events:default/echo}}", config.namespace);
    let mut connection = redis_of(&config).await;
    for message in [
        &b""[..],
        b"hello",
        b"\x93\x00\x01\x90",
        b"\x93\x01\x02\xc0",
        b"0-0 1-0 hello",
        b"a b c",
        b"0-0 9-9 ",
        &[0xff; 99],
    ] {
        for channel in [&lifecycle, &channel] {
            let _: i64 = redis::cmd("PUBLISH").arg(channel).arg(message).query_async(&mut connection).await.unwrap();
        }
    }
    there.service("echo").emit("shouted", 1).unwrap();
    assert_eq!(events.next().await.unwrap().data, 1);
    there.register("late", Echo).await.unwrap();
    knows(&here, "late").await;
    assert_eq!((here.nodes().len(), here.service("echo").get(1).await.is_ok()), (2, true));
}

#[tokio::test]
async fn a_damaged_announcement_is_ignored_and_the_others_are_believed() {
    let config = testing::config();
    let there = start(&config, "worker", App::new().register("echo", Echo).register("fine", Echo)).await;
    let key = |id: &str| format!("{}:{{mesh}}:node:{id}", config.namespace);
    let nodes = format!("{}:{{mesh}}:nodes", config.namespace);
    let far = "99999999999999";
    command(&config, &["HSET", &key(there.id()), "s:echo", "garbage"]).await.unwrap();
    command(&config, &["HSET", &key("mad"), "app", "default/mad", "head", "garbage", "state", "up", "s:x", "y"])
        .await
        .unwrap();
    command(&config, &["HSET", &key("empty"), "nothing", "here"]).await.unwrap();
    command(&config, &["SET", &key("odd"), "no hash"]).await.unwrap();
    for id in ["mad", "empty", "absent"] {
        command(&config, &["ZADD", &nodes, far, id]).await.unwrap();
    }
    let here = start(&config, "caller", App::new()).await;
    assert_eq!((here.resolve("fine").is_some(), here.resolve("echo").is_some()), (true, false));
    assert_eq!(here.nodes().len(), 2);
    here.service("fine").find().await.unwrap();

    // A key that is no hash at all.
    command(&config, &["ZADD", &nodes, far, "odd"]).await.unwrap();
    let brave = start(&config, "brave", App::new()).await;
    assert!(brave.resolve("fine").is_some());
}

#[tokio::test]
async fn an_announcement_of_a_newer_version_is_ignored() {
    let config = testing::config();
    let there = start(&config, "worker", App::new().register("echo", Echo)).await;
    let key = format!("{}:{{mesh}}:node:{}", config.namespace, there.id());
    let mut connection = redis_of(&config).await;
    let mut head: Vec<u8> = redis::cmd("HGET").arg(&key).arg("head").query_async(&mut connection).await.unwrap();
    head[0] = 2;
    let _: i64 = redis::cmd("HSET").arg(&key).arg("head").arg(head).query_async(&mut connection).await.unwrap();
    let here = start(&config, "caller", App::new()).await;
    assert!(here.resolve("echo").is_none());
    assert_eq!(here.nodes().len(), 1);
}

#[tokio::test]
async fn a_request_with_a_body_of_many_megabytes_is_refused_or_run_but_does_not_stop_the_node() {
    let mut config = testing::config();
    config.limits.max_payload = rachis::config::ByteSize(100_000);
    let _there = start(&config, "worker", App::new().register("echo", Echo)).await;
    let here = start(&config, "caller", App::new()).await;
    knows(&here, "echo").await;
    let mut frame = request(1, "echo", "find", Duration::from_secs(10));
    frame.resize(8_000_000, 0xc0);
    wire::send(&config, "worker", &frame).await;
    let large = request(2, &"x".repeat(2_000_000), "find", Duration::from_secs(10));
    wire::send(&config, "worker", &large).await;
    assert_eq!(here.service("echo").get(1).await.unwrap()["id"], 1);
    testing::eventually("nothing is left", async || queued(&config, "worker").await == 0).await;
}

//! Subscriptions on a server of their own, which is held up.

use super::{shard_subscriber::UNREAD, *};
use crate::redis::connection::{Connector, Options, topology::TopologyConfig};
use rachis_testing::ThrowawayRedis;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(20);

fn connector(redis: &ThrowawayRedis) -> Connector {
    let mut options = Options::for_tests(Duration::from_secs(1));
    options.topology = TopologyConfig::Standalone(redis.url());
    Connector::new(options, "test").unwrap()
}

async fn publish(redis: &ThrowawayRedis, channel: &str, messages: usize, length: usize) {
    let client = redis::Client::open(redis.url()).unwrap();
    let mut on = client.get_multiplexed_async_connection().await.unwrap();
    for start in (0..messages).step_by(1000) {
        let mut pipe = redis::pipe();
        for number in start..messages.min(start + 1000) {
            pipe.cmd("PUBLISH").arg(channel).arg(format!("{number} {}", "x".repeat(length))).ignore();
        }
        pipe.exec_async(&mut on).await.unwrap();
    }
}

#[tokio::test]
async fn a_reader_that_falls_behind_holds_a_bounded_number_of_messages_and_learns_that_it_missed_some() {
    let redis = ThrowawayRedis::start().unwrap();
    let (channels, idle) = new(connector(&redis), "lifecycle".into(), CancellationToken::new());
    let mut heard = idle.start();
    assert!(channels.subscribe("lifecycle".into()).await && channels.subscribe("busy".into()).await);
    let length = 4096;
    let most = BUFFER + UNREAD / length;
    let messages = 10 * most;
    publish(&redis, "busy", messages, length).await;
    // What was published behind all of it shows that the node has read it from its socket.
    let mut count = 0;
    let mut missed = false;
    while !missed {
        match tokio::time::timeout(LONG, heard.recv()).await.expect("it never learns of it").unwrap() {
            SubscriptionEvent::Message { .. } => count += 1,
            SubscriptionEvent::Reconnected { .. } => missed = true,
        }
    }
    assert!(count <= 2 * most, "{count} of {messages} were held");
    publish(&redis, "busy", 1, 0).await;
    let next = tokio::time::timeout(LONG, heard.recv()).await.expect("it goes on");
    assert!(matches!(next, Some(SubscriptionEvent::Message { .. })));
}

#[tokio::test]
async fn subscriptions_end_when_they_are_stopped_though_the_server_stands_still() {
    let redis = ThrowawayRedis::start().unwrap();
    let stop = CancellationToken::new();
    let (channels, idle) = new(connector(&redis), "lifecycle".into(), stop.clone());
    let mut heard = idle.start();
    assert!(channels.subscribe("lifecycle".into()).await);
    redis.freeze().unwrap();
    let asks = tokio::spawn(async move { channels.subscribe("more".into()).await });
    tokio::task::yield_now().await;
    stop.cancel();
    let end = tokio::time::timeout(LONG, heard.recv()).await.expect("it still waits for the server");
    assert!(end.is_none());
    assert!(!asks.await.unwrap());
    redis.thaw().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_reads_learns_of_a_new_connection_before_the_first_message_that_came_over_it() {
    let redis = ThrowawayRedis::start().unwrap();
    let (channels, idle) = new(connector(&redis), "lifecycle".into(), CancellationToken::new());
    let mut heard = idle.start();
    // So many that the confirmations of some are still to come when the first message does.
    let quiet = (0..500).map(|number| channels.subscribe(format!("quiet-{number}")));
    futures_util::future::join_all(quiet).await;
    assert!(channels.subscribe("busy".into()).await);
    let client = redis::Client::open(redis.url()).unwrap();
    let mut on = client.get_multiplexed_async_connection().await.unwrap();
    let mut publishing = on.clone();
    let publisher = tokio::spawn(async move {
        for number in 0u64.. {
            redis::cmd("PUBLISH").arg("busy").arg(number).exec_async(&mut publishing).await.unwrap();
        }
    });
    let mut expected = None;
    for _ in 0..10 {
        redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("pubsub").exec_async(&mut on).await.unwrap();
        let mut told = false;
        loop {
            match tokio::time::timeout(LONG, heard.recv()).await.expect("nothing comes").unwrap() {
                SubscriptionEvent::Reconnected { channels } => told |= channels.contains(&"busy".to_owned()),
                SubscriptionEvent::Message { payload, .. } => {
                    let number: u64 = String::from_utf8(payload).unwrap().parse().unwrap();
                    let missed = expected.replace(number + 1).is_some_and(|expected| expected != number);
                    assert!(told || !missed, "{number} came over a connection of which nobody was told");
                    if told {
                        break;
                    }
                }
            }
        }
    }
    publisher.abort();
}

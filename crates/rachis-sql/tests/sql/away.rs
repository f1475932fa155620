//! A database that is away, and comes back.

use crate::stores::{Keeper, mariadb, postgres, table};
use rachis::{
    App, Handle, Outcome,
    sql::{PoolOptions, SqlService},
};
use rachis_testing::eventually;
use serde_json::json;
use std::{
    future::IntoFuture,
    time::{Duration, Instant},
};

const TIMEOUT: Duration = Duration::from_millis(700);

async fn fails_in_time(things: &Handle) {
    for _ in 0..3 {
        let began = Instant::now();
        let error = things.find().await.unwrap_err();
        assert_eq!(error.code(), 503, "{error}");
        assert!(error.outcome().is_some());
        assert!(began.elapsed() < TIMEOUT * 3, "{:?}", began.elapsed());
    }
}

async fn comes_back(keeper: Keeper) {
    let Keeper::Server(mut server) = keeper else { return };
    let pool = PoolOptions::new().max(3).timeout(TIMEOUT).open(&server.url()).unwrap();
    let name = table(&pool, "id INTEGER PRIMARY KEY").await;
    let things = App::new().register("things", SqlService::new(&pool, &name)).service("things");
    things.create(json!({ "id": 1 })).await.unwrap();

    server.freeze().unwrap();
    fails_in_time(&things).await;
    let error = things.create(json!({ "id": 2 })).await.unwrap_err();
    assert!(matches!(error.outcome(), Some(Outcome::Unknown | Outcome::NeverRan)));
    server.thaw().unwrap();
    eventually("calls go well after a freeze", async || things.get(1).await.is_ok()).await;

    server.stop();
    fails_in_time(&things).await;
    server.launch().unwrap();
    eventually("calls go well after a restart", async || things.get(1).await.is_ok()).await;
}

#[tokio::test]
async fn postgresql_that_is_away_is_unavailable_and_comes_back() {
    comes_back(postgres()).await;
}

#[tokio::test]
async fn mariadb_that_is_away_is_unavailable_and_comes_back() {
    comes_back(mariadb()).await;
}

#[tokio::test]
async fn calls_wait_for_a_connection_and_the_pool_says_how_long() {
    let keeper = postgres();
    let pool = PoolOptions::new().max(2).open(&keeper.url()).unwrap();
    let name = table(&pool, "id INTEGER PRIMARY KEY").await;
    let things = App::new().register("things", SqlService::new(&pool, &name)).service("things");
    let calls = (0..50).map(|_| tokio::spawn(things.find().into_future()));
    for call in calls.collect::<Vec<_>>() {
        assert_eq!(call.await.unwrap(), Ok(json!([])));
    }
    let status = pool.status();
    assert!(status.open <= 2 && status.max == 2 && status.waiting == 0, "{status:?}");
    assert!(status.acquired >= 50 && status.waited > Duration::ZERO, "{status:?}");
    pool.close().await;
    assert_eq!(things.find().await.unwrap_err().code(), 503);
}

//! Ledger and store of two hosts in one real Redis server: exact limits, shared keys, equal usage, and what
//! happens if a host or the server goes away.

mod world;

use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tests::caller::call;
use tests::metrics_page::MetricsPage;
use tests::redis_server::{Persistence, RedisServer};
use tests::wait::EVENT_TIMEOUT;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::world::{ADMIN, World, ask, ask_with, count};

const ANSWER: &str = "answer = 'yes'\nprompt_tokens = 20\ncompletion_tokens = 80";
const SLOW_ANSWER: &str =
    "answer = 'yes'\ndelay = '50ms'\nprompt_tokens = 20\ncompletion_tokens = 80";
/// Connections that the server may have of each host.
const MAX_CONNECTIONS: usize = 10;
/// Tokens of each answer.
const TOKENS: u64 = 100;

/// The limit `l` of each consumer.
fn limit(fields: Value) -> Value {
    let mut limit = json!({ "id": "l", "by": "consumer" });
    for (name, value) in fields.as_object().into_iter().flatten() {
        limit[name] = value.clone();
    }
    json!([limit])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_concurrent_requests_admit_exactly_the_limit() -> anyhow::Result<()> {
    let limits = limit(json!({ "requests": { "per": "total", "max": 20 } }));
    let world = World::start(Persistence::None, limits, SLOW_ANSWER).await?;
    let mut connection = world.redis.connection().await?;
    let burst = world.send(500, 500);
    let mut most = 0;
    let mut burst = std::pin::pin!(burst);
    let answers = loop {
        tokio::select! {
            answers = &mut burst => break answers,
            () = sleep(Duration::from_millis(5)) => {
                most = most.max(RedisServer::hosts_connections(&mut connection).await?);
            }
        }
    };
    ensure!((count(&answers, 200), count(&answers, 429)) == (20, 480), "{} answers", answers.len());
    ensure!(most > 0 && most <= 2 * MAX_CONNECTIONS, "{most} connections of two hosts");
    for host in 0..2 {
        ensure!(world.settled(host, "requests").await?["used"] == 20);
    }
    // Idle hosts close their connections.
    let until = Instant::now() + EVENT_TIMEOUT;
    while RedisServer::hosts_connections(&mut connection).await? > 0 {
        ensure!(Instant::now() < until, "a connection stays open");
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_of_both_hosts_count_once() -> anyhow::Result<()> {
    let limits = limit(json!({ "tokens": { "per": "total", "max": 3_000 } }));
    let world = World::start(Persistence::None, limits, ANSWER).await?;
    let answers = world.send(200, 16).await;
    let answered = count(&answers, 200) as u64;
    ensure!(answered > 0 && count(&answers, 429) as u64 == 200 - answered, "{answered} answers");
    for host in 0..2 {
        let settled = world.settled(host, "tokens").await?;
        ensure!(settled["used"] == answered * TOKENS, "{answered} answers: {settled}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_of_both_hosts_are_never_more_than_the_limit() -> anyhow::Result<()> {
    let limits = limit(json!({ "requests": { "per": "total", "max": 200 }, "lease": true }));
    let world = World::start(Persistence::None, limits, ANSWER).await?;
    let mut answered = 0;
    // Slices of instances that end return to the budget, and later requests take them.
    let until = Instant::now() + EVENT_TIMEOUT;
    loop {
        answered += count(&world.send(100, 16).await, 200);
        ensure!(answered <= 200, "{answered} answers");
        if answered == 200 {
            break;
        }
        ensure!(Instant::now() < until, "{answered} answers");
        sleep(Duration::from_millis(200)).await;
    }
    ensure!(world.settled(0, "requests").await?["used"] == 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_host_takes_nothing_along() -> anyhow::Result<()> {
    let limits = limit(json!({ "requests": { "per": "total", "max": 60 } }));
    let mut world = World::start(Persistence::None, limits, SLOW_ANSWER).await?;
    let mut running = JoinSet::new();
    for number in 0..40 {
        running.spawn(ask(world.address(number % 2)));
    }
    sleep(Duration::from_millis(60)).await;
    world.kill_host(0);
    let before = running.join_all().await;
    let before: Vec<_> = before.into_iter().filter_map(Result::ok).collect();
    let after = world.send(100, 16).await;
    let answered = count(&before, 200) + count(&after, 200);
    ensure!(after.len() == 100 && answered <= 60, "{answered} answers");
    // Reservations of the dead host expire; until then they count.
    let used = world.balance(1, "requests").await?["used"].as_u64().context("a number")?;
    ensure!(used >= answered as u64 && used <= 60, "{used} used for {answered} answers");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_with_its_file_loses_nothing_settled_over_a_kill() -> anyhow::Result<()> {
    let limits = limit(json!({
        "requests": { "per": "total", "max": 1_000_000 }, "on_error": "closed",
    }));
    let mut world = World::start(Persistence::AppendOnlyFile, limits, ANSWER).await?;
    let before = count(&world.send(60, 16).await, 200);
    ensure!(before == 60 && world.settled(0, "requests").await?["used"] == 60);
    world.redis.kill();
    let without = world.send(8, 4).await;
    ensure!(count(&without, 503) == 8, "{without:?}");
    world.redis.restart().await?;
    // Hosts remember for two seconds that the server was away, if it had not refused connections.
    let until = Instant::now() + EVENT_TIMEOUT;
    let mut after = 0;
    while after < 60 {
        after += count(&world.send(20, 8).await, 200);
        ensure!(Instant::now() < until, "{after} answers after the restart");
    }
    for host in 0..2 {
        let used = world.settled(host, "requests").await?;
        ensure!(used["used"] == before + after, "{before} and {after} answers: {used}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_limit_answers_while_redis_is_gone() -> anyhow::Result<()> {
    let limits = limit(json!({
        "requests": { "per": "total", "max": 1_000_000 }, "on_error": "open",
    }));
    let mut world = World::start(Persistence::None, limits, ANSWER).await?;
    ensure!(count(&world.send(20, 8).await, 200) == 20);
    world.redis.kill();
    let without = world.send(20, 8).await;
    ensure!(count(&without, 200) == 20, "{without:?}");
    world.redis.restart().await?;
    let until = Instant::now() + EVENT_TIMEOUT;
    // Without a file the server has forgotten everything: counting starts again.
    loop {
        ensure!(count(&world.send(20, 8).await, 200) == 20);
        let used = world.settled(0, "requests").await?["used"].as_u64().context("a number")?;
        if used > 0 {
            return Ok(());
        }
        ensure!(Instant::now() < until, "nothing is counted after the restart");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paused_redis_holds_no_answer_for_ever() -> anyhow::Result<()> {
    let limits = limit(json!({
        "requests": { "per": "total", "max": 1_000_000 }, "on_error": "closed",
    }));
    let world = World::start(Persistence::None, limits, ANSWER).await?;
    ensure!(count(&world.send(20, 8).await, 200) == 20);
    world.redis.pause()?;
    // Nothing here continues the server: each answer must come without it.
    let answers = timeout(EVENT_TIMEOUT, world.send(20, 8)).await.context("a call hangs")?;
    ensure!(answers.len() == 20 && count(&answers, 503) == 20, "{answers:?}");
    for host in 0..2 {
        let health = call(world.address(host), "GET", "/healthz", "", &Value::Null);
        let health = timeout(EVENT_TIMEOUT, health).await.context("/healthz hangs")??;
        ensure!(health.status == 200, "{health:?}");
    }
    world.redis.resume()?;
    let until = Instant::now() + EVENT_TIMEOUT;
    while count(&world.send(4, 2).await, 200) < 4 {
        ensure!(Instant::now() < until, "no answer after the pause");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_of_one_host_works_on_the_other_until_it_is_revoked() -> anyhow::Result<()> {
    let world = World::start(Persistence::None, json!([]), ANSWER).await?;
    let (one, other) = (world.address(0), world.address(1));
    let body = json!({ "id": "team" });
    let created = call(one, "POST", "/admin/v1/consumers", ADMIN, &body).await?;
    ensure!(created.status == 201, "{created:?}");
    let issued = call(one, "POST", "/admin/v1/consumers/team/keys", ADMIN, &json!({})).await?;
    let issued = issued.json();
    let (key, id) = (issued["key"].as_str(), issued["id"].as_str());
    let (key, id) = key.zip(id).with_context(|| format!("{issued}"))?;
    let answer = ask_with(other, key).await?;
    ensure!(answer.status == 200, "{answer:?}");
    let listed = call(other, "GET", "/admin/v1/consumers", ADMIN, &Value::Null).await?.json();
    ensure!(listed["data"].as_array().is_some_and(|all| all.len() == 2), "{listed}");
    let path = format!("/admin/v1/consumers/team/keys/{id}");
    let revoked = call(one, "DELETE", &path, ADMIN, &Value::Null).await?;
    ensure!(revoked.status == 204 || revoked.status == 200, "{revoked:?}");
    let until = Instant::now() + EVENT_TIMEOUT;
    while ask_with(other, key).await?.status != 401 {
        ensure!(Instant::now() < until, "a revoked key still works");
        sleep(Duration::from_millis(500)).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn usage_and_metrics_of_both_hosts_are_equal() -> anyhow::Result<()> {
    let world = World::start(Persistence::None, json!([]), ANSWER).await?;
    ensure!(count(&world.send(300, 16).await, 200) == 300);
    let until = Instant::now() + EVENT_TIMEOUT;
    loop {
        let mut seen = Vec::new();
        for host in 0..2 {
            let page = MetricsPage::fetch(world.address(host), ADMIN).await?;
            seen.push(page.sum("serin_requests_total", &[]) as u64);
            seen.push(world.reported_requests(host).await?);
        }
        if seen == [300; 4] {
            return Ok(());
        }
        ensure!(Instant::now() < until, "{seen:?}");
        sleep(Duration::from_millis(100)).await;
    }
}

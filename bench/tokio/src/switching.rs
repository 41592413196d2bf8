//! Yielding, starting tasks, a tree of tasks, and a million of them parked.

use crate::measure::{memory_use, per_operation, require, Sample};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{mpsc, Semaphore};
use tokio::task::JoinHandle;

pub async fn yield_now(count: u64) -> Sample {
    let each = count.div_ceil(2);
    let work = move || async move {
        let mut yields = 0;
        while yields < each {
            tokio::task::yield_now().await;
            yields += 1;
        }
        yields
    };
    let start = Instant::now();
    let (first, second) = (tokio::spawn(work()), tokio::spawn(work()));
    let done = first.await.unwrap() + second.await.unwrap();
    let elapsed = start.elapsed();
    require(done == 2 * each, "not every yield was done");
    per_operation(2 * each, elapsed)
}

pub async fn spawn(count: u64) -> Sample {
    let mut sum = 0;
    let start = Instant::now();
    for i in 0..count {
        sum += tokio::spawn(async move { i }).await.unwrap();
    }
    let elapsed = start.elapsed();
    require(sum == count * (count - 1) / 2, "not every task ran once");
    per_operation(count, elapsed)
}

pub async fn spawn_batch(count: u64) -> Sample {
    const BATCH: u64 = 1000;
    let batches = count.div_ceil(BATCH);
    let sum = Arc::new(AtomicU64::new(0));
    let mut tasks: Vec<JoinHandle<()>> = Vec::with_capacity(BATCH as usize);
    let start = Instant::now();
    for _ in 0..batches {
        for j in 0..BATCH {
            let sum = sum.clone();
            tasks.push(tokio::spawn(async move {
                sum.fetch_add(j, Relaxed);
            }));
        }
        for task in tasks.drain(..) {
            task.await.unwrap();
        }
    }
    let elapsed = start.elapsed();
    require(sum.load(Relaxed) == batches * (BATCH * (BATCH - 1) / 2), "not every task ran once");
    per_operation(batches * BATCH, elapsed)
}

/// A million tasks wait for a permit that never comes; closing the semaphore ends the wait.
pub async fn parked(count: u64) -> Sample {
    let gate = Arc::new(Semaphore::new(0));
    let woken = Arc::new(AtomicU64::new(0));
    let (arrive, mut arrived) = mpsc::unbounded_channel::<()>();
    let start = Instant::now();
    for _ in 0..count {
        let (gate, woken, arrive) = (gate.clone(), woken.clone(), arrive.clone());
        tokio::spawn(async move {
            arrive.send(()).unwrap();
            if gate.acquire().await.is_err() {
                woken.fetch_add(1, Relaxed);
            }
        });
    }
    for _ in 0..count {
        arrived.recv().await.unwrap();
    }
    let elapsed = start.elapsed();
    let (resident, page_tables) = memory_use();
    let ending = Instant::now();
    drop(arrive);
    gate.close();
    while arrived.recv().await.is_some() {}
    let ended = ending.elapsed();
    require(woken.load(Relaxed) == count, "not every parked task was woken by the close");

    let mut found = per_operation(count, elapsed);
    found.value = found.seconds;
    found.details = vec![
        ("resident_bytes", resident),
        ("page_table_bytes", page_tables),
        ("end_seconds", ended.as_secs_f64()),
    ];
    found
}

const FAN_OUT: u64 = 10;

// An async function that calls itself needs a box for its future. tokio has no channel without a buffer: 1 is its least.
fn skynet(results: mpsc::Sender<u64>, first: u64, leaves: u64) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        if leaves == 1 {
            results.send(first).await.unwrap();
            return;
        }
        let (sender, mut children) = mpsc::channel(1);
        let share = leaves / FAN_OUT;
        for i in 0..FAN_OUT {
            tokio::spawn(skynet(sender.clone(), first + i * share, share));
        }
        let mut sum = 0;
        for _ in 0..FAN_OUT {
            sum += children.recv().await.unwrap();
        }
        results.send(sum).await.unwrap();
    })
}

async fn skynet_of(leaves: u64, count: u64) -> Sample {
    let (results, mut result) = mpsc::channel(1);
    let start = Instant::now();
    for _ in 0..count {
        tokio::spawn(skynet(results.clone(), 0, leaves));
        require(result.recv().await == Some(leaves * (leaves - 1) / 2), "the leaves do not add up");
    }
    let mut found = per_operation(count, start.elapsed());
    found.value /= 1e6;
    found
}

pub async fn skynet_100k(count: u64) -> Sample {
    skynet_of(100_000, count).await
}

pub async fn skynet_1m(count: u64) -> Sample {
    skynet_of(1_000_000, count).await
}

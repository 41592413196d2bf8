//! Channels. tokio's mpsc has one receiver, so the row with many receivers is left out.

use crate::measure::{per_operation, require, Sample};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// tokio has no channel without a buffer; a capacity of 1 is the least that it offers.
pub async fn unbuffered(count: u64) -> Sample {
    let (ping, mut pinged) = mpsc::channel::<u64>(1);
    let (pong, mut ponged) = mpsc::channel::<u64>(1);
    let other = tokio::spawn(async move {
        while let Some(value) = pinged.recv().await {
            pong.send(value + 1).await.unwrap();
        }
    });
    let mut sum = 0;
    let start = Instant::now();
    for i in 0..count {
        ping.send(i).await.unwrap();
        sum += ponged.recv().await.unwrap();
    }
    let elapsed = start.elapsed();
    drop(ping);
    other.await.unwrap();
    require(sum == count * (count + 1) / 2, "the answers do not add up");
    per_operation(count, elapsed)
}

pub async fn buffered(count: u64) -> Sample {
    let (sender, mut values) = mpsc::channel::<u64>(128);
    let mut sum = 0;
    let start = Instant::now();
    tokio::spawn(async move {
        for i in 0..count {
            sender.send(i).await.unwrap();
        }
    });
    while let Some(value) = values.recv().await {
        sum += value;
    }
    let elapsed = start.elapsed();
    require(sum == count * (count - 1) / 2, "the values received do not add up");
    per_operation(count, elapsed)
}

pub async fn select2(count: u64) -> Sample {
    // Both channels hold a block's worth of values, so that both are ready at each select. Filling them is not measured.
    const BLOCK: u64 = 512;
    let blocks = count.div_ceil(BLOCK);
    let (to_left, mut left) = mpsc::channel::<u64>(BLOCK as usize);
    let (to_right, mut right) = mpsc::channel::<u64>(BLOCK as usize);
    let (mut sent, mut received, mut from_left, mut from_right) = (0, 0, 0, 0);
    let mut elapsed = Duration::ZERO;
    for _ in 0..blocks {
        while to_left.try_send(sent).is_ok() {
            sent += 1;
        }
        while to_right.try_send(sent).is_ok() {
            sent += 1;
        }
        let start = Instant::now();
        for _ in 0..BLOCK {
            tokio::select! {
                Some(value) = left.recv() => {
                    received += value;
                    from_left += 1;
                }
                Some(value) = right.recv() => {
                    received += value;
                    from_right += 1;
                }
            }
        }
        elapsed += start.elapsed();
    }
    let selects = blocks * BLOCK;
    while let Ok(value) = left.try_recv() {
        received += value;
    }
    while let Ok(value) = right.try_recv() {
        received += value;
    }
    require(received == sent * (sent - 1) / 2, "the values received do not add up");
    require(from_left + from_right == selects, "not every select received once");
    require(from_left > selects / 3 && from_right > selects / 3, "select prefers one of two ready channels");
    per_operation(selects, elapsed)
}

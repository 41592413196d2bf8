//! Mutex, timers, sleeping.

use crate::measure::{per_operation, quantile, require, Sample};
use std::future::{poll_fn, Future};
use std::pin::{pin, Pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use tokio::time::{sleep, Sleep};

const HOUR: Duration = Duration::from_secs(3600);

pub async fn mutex_uncontended(count: u64) -> Sample {
    let lock = Mutex::new(0);
    let start = Instant::now();
    for _ in 0..count {
        *lock.lock().await += 1;
    }
    let elapsed = start.elapsed();
    require(*lock.lock().await == count, "the counter under the mutex is off");
    per_operation(count, elapsed)
}

pub async fn mutex_16(count: u64) -> Sample {
    const CONTENDERS: u64 = 16;
    let each = count.div_ceil(CONTENDERS);
    let lock = Arc::new(Mutex::new(0));
    let start = Instant::now();
    let contenders: Vec<_> = (0..CONTENDERS)
        .map(|_| {
            let lock = lock.clone();
            tokio::spawn(async move {
                for _ in 0..each {
                    *lock.lock().await += 1;
                }
            })
        })
        .collect();
    for one in contenders {
        one.await.unwrap();
    }
    let elapsed = start.elapsed();
    require(*lock.lock().await == CONTENDERS * each, "the counter under the mutex is off");
    per_operation(CONTENDERS * each, elapsed)
}

/// A timer of tokio is armed by the first look at it, and stopped by its end.
async fn arm(timer: Pin<&mut Sleep>) -> bool {
    let mut timer = timer;
    poll_fn(|context| Poll::Ready(timer.as_mut().poll(context).is_pending())).await
}

async fn arm_and_stop(count: u64) -> Sample {
    let mut armed = 0;
    let start = Instant::now();
    for _ in 0..count {
        let timer = pin!(sleep(HOUR));
        armed += u64::from(arm(timer).await);
    }
    let elapsed = start.elapsed();
    require(armed == count, "a timer of an hour was over at once");
    per_operation(count, elapsed)
}

pub async fn timer_arm_stop(count: u64) -> Sample {
    arm_and_stop(count).await
}

pub async fn timer_1m_arm_stop(count: u64) -> Sample {
    const OTHERS: u64 = 1_000_000;
    let mut others = Vec::with_capacity(OTHERS as usize);
    // From half an hour to one and a half, in no order: half of them are due before the timer that is measured.
    for i in 0..OTHERS {
        let mut timer = Box::pin(sleep(HOUR / 2 + Duration::from_micros(i * 7919 % OTHERS * 3600)));
        require(arm(timer.as_mut()).await, "a timer of half an hour was over at once");
        others.push(timer);
    }
    arm_and_stop(count).await
}

pub async fn sleep_50us(count: u64) -> Sample {
    const LENGTH: Duration = Duration::from_micros(50);
    let mut lengths = Vec::with_capacity(count as usize);
    let start = Instant::now();
    for _ in 0..count {
        let before = Instant::now();
        sleep(LENGTH).await;
        lengths.push(before.elapsed());
    }
    let mut found = per_operation(count, start.elapsed());
    found.value = quantile(&mut lengths, 0.5).as_secs_f64() * 1e6;
    found.details = vec![("p99_us", quantile(&mut lengths, 0.99).as_secs_f64() * 1e6)];
    require(lengths[0] >= LENGTH, "a sleep ended early");
    found
}

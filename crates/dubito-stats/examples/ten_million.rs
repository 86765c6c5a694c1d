//! How long every metric of 10 million binary items takes without intervals, and how much memory.
//!
//!     cargo run -p dubito-stats --example ten_million [ITEMS]
#![allow(clippy::unwrap_used)]

use std::time::Instant;

use dubito_stats::{Items, Task, metrics_of};

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), as a number from 0 to 1.
fn uniform(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

fn entropy(p: f64) -> f64 {
    [p, 1.0 - p].iter().map(|&p| if p > 0.0 { -p * p.ln() } else { 0.0 }).sum()
}

fn main() {
    let count: usize = std::env::args().nth(1).map_or(10_000_000, |n| n.parse().unwrap());
    let mut random = 1;
    let start = Instant::now();
    let mut items = Items::new(&Task::binary()).unwrap();
    items.reserve(count);
    for i in 0..count {
        // The share of fakes among the items of probability p is near p, but not p.
        let p = uniform(&mut random);
        let label = usize::from(uniform(&mut random) < 0.1 + 0.8 * p * p);
        let total = entropy(p);
        let epistemic = total * uniform(&mut random);
        items.push_parts(label, &[1.0 - p, p], [total, total - epistemic, 0.0, epistemic], (i / 100) as u32).unwrap();
    }
    println!("{count} items made in {:.2} s", start.elapsed().as_secs_f64());
    let start = Instant::now();
    let found = metrics_of(&items, None).unwrap();
    let seconds = start.elapsed().as_secs_f64();
    println!("{} metrics in {seconds:.2} s; auroc {:?}", found.len(), found["auroc"].value);
    // Linux tells the peak; elsewhere there is no line of it.
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        status.lines().filter(|line| line.starts_with("VmHWM")).for_each(|line| println!("peak memory: {line}"));
    }
}

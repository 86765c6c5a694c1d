//! The corpus of every fuzz target, as it is, cut short, and with bytes changed: no reader panics.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use dubito_fuzz::{Scratch, TARGETS};

/// Changed copies of each input.
const CHANGED: u64 = 40;

/// A small generator of numbers (splitmix64), so that a failure can be made again.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[test]
fn inputs_cut_and_changed_do_not_panic() {
    for target in &TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name);
        let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert!(!files.is_empty(), "{} is empty", folder.display());
        let mut scratch = Scratch::new(target.name).unwrap();
        let mut state = 1;
        for file in files {
            let bytes = fs::read(&file).unwrap();
            scratch.read(&bytes).unwrap();
            for _ in 0..CHANGED {
                let mut changed = bytes.clone();
                for _ in 0..1 + next(&mut state) % 4 {
                    let at = next(&mut state) as usize % (changed.len() + 1);
                    match next(&mut state) % 4 {
                        0 => changed.truncate(at),
                        1 => changed.insert(at, next(&mut state) as u8),
                        _ if at == changed.len() => changed.extend_from_slice(&bytes[..at.min(8)]),
                        2 => changed[at] = next(&mut state) as u8,
                        _ => changed[at] ^= 1 << (next(&mut state) % 8),
                    }
                }
                println!("{} {:?}", target.name, file.file_name()); // seen where it fails
                scratch.read(&changed).unwrap();
            }
        }
    }
}

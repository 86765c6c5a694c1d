//! The program that libFuzzer drives; the environment variable `FUZZ_TARGET` names the target.
#![no_main]

use std::cell::RefCell;

use dubito_fuzz::Scratch;

thread_local! {
    static SCRATCH: RefCell<Scratch> = {
        let target = std::env::var("FUZZ_TARGET").unwrap_or_default();
        let scratch = Scratch::new(&target);
        RefCell::new(scratch.unwrap_or_else(|error| panic!("FUZZ_TARGET: {error}")))
    };
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    SCRATCH.with_borrow_mut(|scratch| scratch.read(bytes)).unwrap_or_else(|error| panic!("scratch file: {error}"));
});

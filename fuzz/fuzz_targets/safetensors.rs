//! Headers of safetensors files. The fuzzer's bytes are the header and what follows it; the length before it is right
//! unless the first byte says otherwise.

#![no_main]

use std::sync::LazyLock;

use kinora_fuzz::{Input, explore};
use kinora_models::wan::Checkpoint;
use libfuzzer_sys::fuzz_target;

static INPUT: LazyLock<Input> = LazyLock::new(Input::new);

fuzz_target!(|data: &[u8]| {
    let Some((first, rest)) = data.split_first() else {
        return;
    };
    let header = rest
        .iter()
        .rposition(|byte| *byte == b'}')
        .map_or(0, |last| last + 1);
    let length = match first {
        0 => u64::MAX,
        1 => rest.len() as u64,
        _ => header as u64,
    };
    let bytes = [&length.to_le_bytes()[..], rest].concat();
    if let Ok(checkpoint) = Checkpoint::open(&INPUT.with(&bytes)) {
        explore(&checkpoint);
    }
});

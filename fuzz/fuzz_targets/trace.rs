//! The replay's reader of traces, in each of its formats: any bytes are a
//! trace or an error, and one that says where.

#![no_main]

#[path = "../../examples/replay/trace.rs"]
mod trace;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((format, content)) = bytes.split_first() else { return };
    let name = ["t.u64.zst", "t.ws.zst", "t.txt"][usize::from(*format) % 3];
    match trace::read(name, content) {
        Ok(trace) => check(&trace),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});

fn check(trace: &trace::Trace) {
    assert!(!trace.accesses.is_empty());
    let last = trace.accesses.iter().max().expect("it is not empty");
    assert_eq!(last + 1, trace.distinct as u64, "keys are numbered without a gap");
    if let Some(sizes) = &trace.sizes {
        assert_eq!(sizes.bytes_of.len(), trace.distinct);
        let requested = trace.accesses.iter().map(|key| sizes.bytes_of[*key as usize]);
        assert_eq!(requested.map(u64::from).sum::<u64>(), sizes.requested_bytes);
        assert_eq!(
            sizes.bytes_of.iter().copied().map(u64::from).sum::<u64>(),
            sizes.footprint_bytes
        );
    }
}

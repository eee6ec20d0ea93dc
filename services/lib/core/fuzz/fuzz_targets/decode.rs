//! Whatever a record holds, decoding it ends in an event, a withdrawal or a rejection. The first
//! byte chooses how the rest is to be read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_core::{DecodeOptions, Decoded, Incoming, decode, normalize};
use tidegate_proto::decode_event;

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, payload)) = bytes.split_first() else { return };
    let content_type: &[u8] = match choice % 3 {
        0 => b"application/json",
        1 => b"application/cloudevents+json",
        _ => b"application/x-protobuf",
    };
    let headers: [(&str, &[u8]); 2] = [("content-type", content_type), ("ce_type", b"a.dm.edited")];
    let record = Incoming { payload: Some(payload), key: Some(payload), timestamp_ms: Some(0) };
    match decode(record, &headers, &DecodeOptions::default(), decode_event) {
        Ok(Decoded::Event(event)) => {
            drop(normalize(&event.text).undisguised());
            let _ = event.event_time_ms();
        }
        Ok(Decoded::Withdrawal(withdrawal)) => assert!(!withdrawal.is_tombstone),
        Err(rejection) => assert!(!rejection.detail.is_empty()),
    }
});

//! The JSON documents of the routes: what is understood can be written, and is then understood as the same.
//!
//! The first byte of the input chooses the kind of document.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sceneshift::wire::api::{
    ClientReport, CommitRequest, FetchRequest, ObjectsRequest, PinRequest, Problem, RollbackRequest, SyncRequest,
    TagRequest,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

fuzz_target!(|input: &[u8]| {
    let Some((kind, text)) = input.split_first() else { return };
    match kind % 9 {
        0 => check::<CommitRequest>(text),
        1 => check::<FetchRequest>(text),
        2 => check::<ObjectsRequest>(text),
        3 => check::<RollbackRequest>(text),
        4 => check::<TagRequest>(text),
        5 => check::<SyncRequest>(text),
        6 => check::<PinRequest>(text),
        7 => check::<Problem>(text),
        // It holds seconds with a fraction, which JSON's reader gives back to the last digit but one: only written, not compared.
        _ => drop(serde_json::from_slice::<ClientReport>(text).map(|report| written(&report))),
    }
});

fn check<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(text: &[u8]) {
    if let Ok(document) = serde_json::from_slice::<T>(text) {
        let again: T = serde_json::from_slice(&written(&document)).expect("what was written is understood");
        assert_eq!(again, document);
    }
}

fn written(document: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(document).expect("what was understood can be written")
}

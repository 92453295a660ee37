//! Numbers that follow from a seed.

/// A number from a seed and a place: splitmix64, once for each part.
pub(crate) fn mixed(seed: u64, place: &[u64]) -> u64 {
    place.iter().fold(seed, |state, part| step(state ^ part.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}

fn step(state: u64) -> u64 {
    let mut mixed = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

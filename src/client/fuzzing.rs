//! A door for the fuzz targets, which are compiled with `--cfg fuzzing`: objects as they arrive.

use super::ReceiveError;
use super::receive::{Wanted, receive as receive_wanted};
use crate::farm::Farm;
use crate::progress::Progress;
use crate::values::CommitId;

/// Takes a stream that should hold `commit` and everything in it.
pub fn receive(farm: &Farm, stream: &[u8], commit: CommitId) -> Result<(), ReceiveError> {
    receive_wanted(farm, stream, Wanted::everything(commit), &Progress::default()).map(drop)
}

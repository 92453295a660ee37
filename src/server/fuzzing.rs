//! A door for the fuzz targets, which are compiled with `--cfg fuzzing`: the stream that a fetch sends.

use super::pack::{Fetch, PackError};
use crate::store::{ReadStore, Store, StoreError};
use crate::values::{Commit, CommitId};
use crate::wire::StreamWriter;

/// What `POST /v1/repos/{repo}/fetch` answers, as bytes; `None` where `want` is not stored.
pub fn fetch(store: &Store, want: &CommitId, have: &[CommitId]) -> Result<Option<Vec<u8>>, StoreError> {
    let snapshot = store.snapshot();
    let Some(want) = snapshot.commit(want)? else { return Ok(None) };
    let held: Vec<Commit> = have.iter().filter_map(|id| snapshot.commit(id).transpose()).collect::<Result<_, _>>()?;
    let mut stream = StreamWriter::new(Vec::new()).expect("memory takes everything");
    match Fetch::new(&snapshot, want, &held).send(&mut stream) {
        Ok(_) => Ok(Some(stream.finish().expect("memory takes everything"))),
        Err(PackError::Store(error)) => Err(error),
        Err(error) => panic!("a stored commit cannot be sent: {error}"),
    }
}

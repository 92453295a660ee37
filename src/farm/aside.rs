//! An index that RocksDB refuses is set aside, and an empty one takes its place: what is live stays live, and the next sync fetches and builds
//! what the index no longer vouches for.
//!
//! What was noted for the repos (a pin, say) is taken along where it can still be read.
//!
//! Deliberately absent: saving anything else of it. All of it can be fetched, and the primary is asked for it anyway.

use super::index::Index;
use super::{Farm, FarmError};
use crate::datadir::{DataDir, has_lost_its_list};

const INDEX: &str = "index";

/// The name that a damaged index is given.
pub const DAMAGED_INDEX: &str = "index.damaged";

impl Farm {
    /// Opens the index, or sets it aside where it is damaged.
    pub(super) fn open_index(data: &DataDir) -> Result<Index, FarmError> {
        match readable(data) {
            Err(error) if error.is_index_damage() => {
                tracing::error!(
                    %error,
                    kept_as = %data.path.join(DAMAGED_INDEX).display(),
                    "the index is damaged; it is made anew from the primary, and what is live stays live meanwhile"
                );
                Self::set_index_aside(data)
            }
            other => other,
        }
    }

    /// Puts an empty index in the place of one that is damaged, which stays beside it. Durable when it returns.
    pub fn set_index_aside(data: &DataDir) -> Result<Index, FarmError> {
        let path = data.path.join(INDEX);
        let states = Index::open_read_only(&path).and_then(|index| index.states());
        data.dir.remove_all(DAMAGED_INDEX)?;
        data.dir.rename(INDEX, &data.dir, DAMAGED_INDEX)?;
        data.dir.open_or_make_dir(INDEX, 0o700)?;
        let index = Index::open(&path)?;
        match states {
            Ok(states) => index.put_states(&states)?,
            Err(error) => tracing::warn!(%error, "pins and the like could not be read, and are forgotten"),
        }
        data.dir.sync()?;
        Ok(index)
    }
}

/// Opens it and reads all of it once, so that RocksDB verifies its blocks: damage that shows later would keep syncs from succeeding.
fn readable(data: &DataDir) -> Result<Index, FarmError> {
    if has_lost_its_list(&data.dir.open_dir(INDEX)?)? {
        return Err(FarmError::NoIndexList(data.path.join(INDEX)));
    }
    let index = Index::open(&data.path.join(INDEX))?;
    index.read_all()?;
    Ok(index)
}

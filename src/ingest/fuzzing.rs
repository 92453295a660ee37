//! A door for the fuzz targets, which are compiled with `--cfg fuzzing`: what patterns leave out.

use super::IngestError;
use super::leave_out::LeaveOut;
use crate::values::TreePath;

/// Whether `path`, nothing above which is left out, is left out by the defaults and these patterns. The root never is.
pub fn leaves_out(patterns: &[String], path: &TreePath, is_dir: bool) -> Result<bool, IngestError> {
    let rules = LeaveOut::new(&"fuzzed".parse().expect("a good name"), patterns)?;
    Ok(path.parent().zip(path.name()).is_some_and(|(parent, name)| rules.leaves_out(&parent, &name, is_dir)))
}

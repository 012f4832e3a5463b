//! What a file of settings holds.

use super::problem::Problem;
use super::setting::Setting;

/// What the lines of one file amount to.
#[derive(Debug, Default)]
pub struct Lines {
    pub settings: Vec<Setting>,
    pub problems: Vec<Problem>,
    /// Things to tell the operator that do not stop the start.
    pub remarks: Vec<String>,
}

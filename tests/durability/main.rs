//! Stopped at any moment and started again, a broker has everything that it confirmed.
//!
//! These run on brokers of their own only, for they kill them. Random ones print their seed;
//! `WARREN_TEST_SEED` runs one seed again, `WARREN_TEST_ROUNDS` makes a run longer.

#[path = "../support/mod.rs"]
mod support;

mod at_least_once;
mod definitions;
mod killed;
mod kinds;
mod ledger;
mod stopped;
mod versions;

//! The store on a simulated disk, against a model; and on a real one, with its threads.

mod archive;
pub mod by_hand;
mod crashes;
mod damage;
mod faults;
mod kill;
mod model;
mod owners;
pub(crate) mod sim;
mod speed;
mod threads;

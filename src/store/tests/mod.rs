//! The store on a simulated disk, against a model; and on a real one, with its threads.

mod faults;
mod model;
mod sim;
mod speed;
mod threads;

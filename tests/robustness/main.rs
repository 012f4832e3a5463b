//! What is left when clients, disks and memory behave badly: nothing that was confirmed is lost,
//! nothing stays behind, nothing grows without bound.

#[path = "../support/mod.rs"]
mod support;

mod alarms;
mod bounds;
mod damage;
mod delayed;
mod frames;
mod leftovers;

//! What a thing was declared to be, and what its arguments and policies make of it.

pub mod argument;
pub mod arguments;
pub mod binding;
pub mod consumer;
pub mod equivalence;
pub mod error;
pub mod exchange_arguments;
pub mod policy;
pub mod queue;
pub mod shape;
mod takes;
pub mod term;
mod value;

pub use binding::{BindingSpec, Destination};
pub use error::SpecError;
pub use queue::{DeadLetterStrategy, Member, Overflow, QueueSettings, QueueSpec, QueueType};
pub use value::age;

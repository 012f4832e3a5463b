//! The machine against a naive model: a list of messages, and what each producer has sent.

mod model;
mod story;

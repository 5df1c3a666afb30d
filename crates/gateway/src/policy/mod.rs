//! Decisions, as pure values: no clock, no chance, no I/O. Whoever calls brings the time.

pub mod backoff;
pub mod balance;
pub mod breaker;
pub mod budget;
pub mod canary;
pub mod classify;
pub mod course;
pub mod estimate;
pub mod hedge;
pub mod keyring;
pub mod limits;
pub mod pace;
pub mod parameters;
pub mod seam;
pub mod ward;

//! Golden cases and properties of the protocols.
//!
//! The cases are data: each names its number in the reference of the project, or the section whose
//! rule it shows.

mod answers;
mod failures;
mod growth;
mod model;
mod properties;
mod shapes;
mod streams;
mod support;

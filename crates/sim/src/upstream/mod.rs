//! A scripted model provider: pure values that say what an upstream sends, when, and how it fails.
//!
//! Nothing here does I/O or knows the time. [`crate::world`] plays scripts in virtual time and
//! [`crate::server`] plays the same scripts over TCP.

mod answer;
mod compose;
mod duration;
mod persona;
mod play;
mod script;
mod service;
mod stage;

pub use answer::{EndpointKind, ProviderRequest};
pub use duration::{optional as optional_duration, parse as parse_duration};
pub use persona::DemoProvider;
pub use play::{BodyStep, PlannedResponse, ResponsePlan};
pub use script::{LineEnding, Script};
pub use service::{AliyunService, RiskyWords, Service};
pub use stage::{Call, CallId, Ended, Then, UpstreamRegistry, UpstreamSpec};

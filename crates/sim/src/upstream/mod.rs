//! Scripted model providers: pure values that define what an upstream sends, when, and how it fails.
//!
//! No I/O and no clock. [`crate::world`] plays scripts in virtual time, [`crate::server`] plays the same
//! scripts over TCP.

mod answer;
mod demo_provider;
mod duration;
mod expand;
mod protocol_answer;
mod registry;
mod response_plan;
mod script;
mod service;

pub use answer::{EndpointKind, ProviderRequest};
pub use demo_provider::DemoProvider;
pub use duration::{optional as optional_duration, parse as parse_duration};
pub use registry::{Call, CallId, Ended, Then, UpstreamRegistry, UpstreamSpec};
pub use response_plan::{BodyStep, PlannedResponse, ResponsePlan};
pub use script::{LineEnding, RepeatedEvent, Script, ScriptCall, ScriptEvent};
pub use service::{AliyunService, RiskyWords, Service};

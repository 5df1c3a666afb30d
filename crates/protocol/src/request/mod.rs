//! Requests: readers from a body to the model, and writers from the model to another protocol's body.
//!
//! A reader keeps each member that it does not know, with its place. A writer carries what the target's
//! protocol can say, sheds what changes no meaning, and refuses the rest with its place in the caller's
//! body. Both take time and memory in proportion to the body.

mod chat;
mod effort;
mod invalid;
mod json_writer;
mod media;
mod messages;
mod names;
mod object;
mod openai_tools;
mod report;
mod responses;
mod rewrite;
mod rules;
mod seal_splice;
mod shared_fields;
mod target;
mod tools;
mod writing;

pub use invalid::{InvalidRequest, Problem};
pub use report::Untranslatable;
pub use rewrite::{BodyChanges, BodyPlaces, rewrite, rewrite_at};
pub use rules::{FEATURE_RULES, Feature, FeatureRule, Loss, MEMBER_RULES, MemberRule, Scope};
pub use seal_splice::splice_seals;
pub use target::{
    EndUserField, MaxTokensField, Options, ReasoningField, SamplingPolicy, Target, ThinkingForm,
    UnknownPolicy, WrittenRequest,
};

use crate::model::{Protocol, Request};

/// Reads a caller's body.
pub fn read_request(protocol: Protocol, body: &[u8]) -> Result<Request<'_>, InvalidRequest> {
    let text = object::check_text(body)?;
    match protocol {
        Protocol::Chat => chat::read(text),
        Protocol::Responses => responses::read(text),
        Protocol::Messages => messages::read(text),
    }
}

/// Writes the body for a target.
pub fn write_request(
    request: &Request<'_>,
    target: &Target<'_>,
    options: &Options<'_>,
) -> Result<WrittenRequest, Untranslatable> {
    match target.protocol {
        Protocol::Chat => chat::write(request, target, options),
        Protocol::Responses => responses::write(request, target, options),
        Protocol::Messages => messages::write(request, target, options),
    }
}

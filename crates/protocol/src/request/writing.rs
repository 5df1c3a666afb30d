//! State of a writer, and the rules that all protocols share.

use std::borrow::Cow;

use super::json_writer::JsonWriter;
use super::names::{fit_call_id, fit_tool_name};
use super::report::{Report, Written};
use super::target::{Options, Target, WrittenRequest};
use super::tools::{ToolPlan, plan_tools};
use crate::model::{
    CacheBreakpoint, LocatedPart, Part, PartKind, Place, Protocol, Request, Role, Seal, Turn,
};

/// Maximum number of cache breakpoints in a request, at OpenAI and at Anthropic.
const MAX_BREAKPOINTS: usize = 4;

/// State of a writer.
pub(super) struct Writing<'w, 'a> {
    pub(super) request: &'w Request<'a>,
    pub(super) target: &'w Target<'w>,
    pub(super) report: Report<'w>,
    pub(super) json: JsonWriter,
    pub(super) tools: ToolPlan<'w, 'a>,
    /// Turns to write: without a last turn that is left out.
    pub(super) turns: &'w [Turn<'a>],
    /// Number of breakpoints to leave out, so that the last ones remain.
    surplus_breakpoints: usize,
}

impl<'w, 'a> Writing<'w, 'a> {
    pub(super) fn new(
        request: &'w Request<'a>,
        target: &'w Target<'w>,
        options: &'w Options<'w>,
    ) -> Written<Self> {
        let mut report = Report::new(options, request.protocol, target.protocol);
        let tools = plan_tools(request, target, &mut report)?;
        let turns = without_prefill(request, target, &mut report)?;
        let mut writing = Self {
            request,
            target,
            report,
            json: JsonWriter::default(),
            tools,
            turns,
            surplus_breakpoints: 0,
        };
        writing.surplus_breakpoints = writing.count_breakpoints().saturating_sub(MAX_BREAKPOINTS);
        Ok(writing)
    }

    pub(super) fn finish(self) -> WrittenRequest {
        let (shed, is_lossy) = self.report.into_losses();
        WrittenRequest { body: self.json.finish(), shed, is_lossy, tool_names: self.tools.names }
    }

    /// Whether caller and target speak the same protocol.
    pub(super) fn is_same_protocol(&self) -> bool {
        self.request.protocol == self.target.protocol
    }

    pub(super) fn write_model(&mut self) {
        let model = self.target.model.or(self.request.model.as_deref());
        if let Some(model) = model {
            self.json.member("model", model);
        }
    }

    /// Returns the bytes of a seal that the provider can read.
    pub(super) fn seal<'s>(&self, seal: Option<&'s Seal<'_>>) -> Option<&'s str> {
        seal.filter(|seal| self.target.accepts_seal(seal)).map(|seal| seal.bytes.as_ref())
    }

    pub(super) fn call_id<'s>(&self, id: &'s str) -> Cow<'s, str> {
        fit_call_id(id)
    }

    pub(super) fn tool_name<'s>(&self, name: &'s str) -> Cow<'s, str> {
        fit_tool_name(name, self.target.max_tool_name())
    }

    /// Returns the breakpoint to write, if this one is not left out.
    pub(super) fn breakpoint(
        &mut self,
        cache: Option<CacheBreakpoint>,
        place: Place,
    ) -> Option<CacheBreakpoint> {
        let cache = cache?;
        if self.target.accepts_cache_breakpoints && self.surplus_breakpoints == 0 {
            return Some(cache);
        }
        self.surplus_breakpoints = self.surplus_breakpoints.saturating_sub(1);
        self.shed_breakpoint(Some(cache), place);
        None
    }

    /// Reports that a breakpoint is left out.
    pub(super) fn shed_breakpoint(&mut self, cache: Option<CacheBreakpoint>, place: Place) {
        if cache.is_some() {
            let name = match self.request.protocol {
                Protocol::Messages => "cache_control",
                Protocol::Chat | Protocol::Responses => "prompt_cache_breakpoint",
            };
            self.report.shed(place, name);
        }
    }

    /// Whether a part of the target's protocol can have a breakpoint.
    pub(super) fn can_have_breakpoint(&self, kind: &PartKind<'_>) -> bool {
        match kind {
            PartKind::Text { text, .. } => {
                self.target.protocol != Protocol::Messages || !text.trim_start().is_empty()
            }
            PartKind::Media { .. } => true,
            PartKind::ToolCall { .. } | PartKind::ToolResult { .. } => {
                self.target.protocol == Protocol::Messages
            }
            PartKind::Refusal(_) | PartKind::Reasoning { .. } | PartKind::Foreign { .. } => false,
        }
    }

    fn count_breakpoints(&self) -> usize {
        if !self.target.accepts_cache_breakpoints {
            return 0;
        }
        let is_messages = self.target.protocol == Protocol::Messages;
        let counts = |part: &Part<'_>| {
            usize::from(part.cache.is_some() && self.can_have_breakpoint(&part.kind))
        };
        let count = |located: &LocatedPart<'_>| match &located.part.kind {
            PartKind::ToolResult { parts, .. } if is_messages => {
                counts(&located.part) + parts.iter().map(counts).sum::<usize>()
            }
            _ => counts(&located.part),
        };
        let tools = self.tools.kept.iter().filter(|tool| is_messages && tool.cache.is_some());
        let parts = self.request.system.iter();
        let parts = parts.chain(self.turns.iter().flat_map(|turn| &turn.parts));
        let last = usize::from(is_messages && self.request.cache.is_some());
        tools.count() + parts.map(count).sum::<usize>() + last
    }

    /// Refuses a part that the target's protocol lacks.
    pub(super) fn refuse_part(&mut self, kind: &PartKind<'_>, place: Place) -> Written {
        let (reason, remedy) = match kind {
            PartKind::Media { .. } => {
                ("the protocol has no such content", "Send the bytes of an image or a PDF")
            }
            _ => ("the protocol has no counterpart", "Leave it out"),
        };
        self.report.refuse(place, part_name(kind), reason, remedy)
    }
}

/// Name of a part in the paths by which a route permits its loss.
pub(super) fn part_name<'p>(kind: &'p PartKind<'_>) -> &'p str {
    use crate::model::MediaKind;
    match kind {
        PartKind::Text { .. } => "text",
        PartKind::Refusal(_) => "refusal",
        PartKind::Reasoning { .. } => "reasoning",
        PartKind::Media { kind: MediaKind::Image, .. } => "image",
        PartKind::Media { kind: MediaKind::Audio, .. } => "audio",
        PartKind::Media { kind: MediaKind::Video, .. } => "video",
        PartKind::Media { kind: MediaKind::Document, .. } => "document",
        PartKind::ToolCall { .. } => "tool_call",
        PartKind::ToolResult { .. } => "tool_result",
        PartKind::Foreign { name, .. } => name,
    }
}

/// Returns the turns without a beginning of the answer, if the target would not continue it. Chat
/// Completions and Responses answer whole turns to each other's callers too.
fn without_prefill<'w, 'a>(
    request: &'w Request<'a>,
    target: &Target<'_>,
    report: &mut Report<'_>,
) -> Written<&'w [Turn<'a>]> {
    let turns = request.turns.as_slice();
    let is_between_openai =
        request.protocol != Protocol::Messages && target.protocol != Protocol::Messages;
    if is_between_openai || target.accepts_prefill {
        return Ok(turns);
    }
    let count = turns.iter().rev().take_while(|turn| turn.role == Role::Assistant).count();
    let (others, last) = turns.split_at(turns.len() - count);
    let has_other = |part: &LocatedPart<'_>| match &part.part.kind {
        PartKind::Text { text, .. } => !text.trim().is_empty(),
        PartKind::Reasoning { .. } => false,
        _ => true,
    };
    let is_call = |part: &LocatedPart<'_>| matches!(part.part.kind, PartKind::ToolCall { .. });
    if last.iter().flat_map(|turn| &turn.parts).any(is_call) {
        return Ok(turns);
    }
    if let Some(turn) = last.iter().find(|turn| turn.parts.iter().any(has_other)) {
        let reason = "the model does not continue a turn of its own";
        report.refuse(turn.place, "prefill", reason, "End with a user's turn")?;
    }
    Ok(others)
}

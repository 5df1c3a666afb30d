//! Expansion of a script into a response plan: first the content, then pauses and faults.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::answer::{
    self, ChunkOptions, EndpointKind, EventData, ProviderAnswer, ProviderRequest, ProviderUsage,
};
use super::protocol_answer::{messages_error, responses_error_event};
use super::response_plan::{BodyStep, PlannedResponse, ResponsePlan};
use super::script::{Script, ScriptEvent};

/// Event, or whole body.
struct BodyItem {
    bytes: Bytes,
    first_content: bool,
}

/// Body without pauses and faults.
struct BodyContent {
    content_type: Option<String>,
    chunked: bool,
    items: Vec<BodyItem>,
}

impl Script {
    /// Plans the response to a request. The error names the invalid part of the script.
    pub fn plan(&self, request: &ProviderRequest) -> Result<ResponsePlan, String> {
        if self.refuse || (self.reset && !self.is_cut()) {
            return Ok(ResponsePlan::Refuse);
        }
        if self.hang {
            return Ok(ResponsePlan::Silence);
        }
        let status = self.status.unwrap_or(if self.redirect.is_some() { 302 } else { 200 });
        let content = self.content(status, request);
        let full: usize = content.items.iter().map(|item| item.bytes.len()).sum();
        let length = self.content_length.or((!content.chunked).then_some(full as u64));
        let mut response = PlannedResponse {
            delay: self.delay.unwrap_or_default(),
            status: StatusCode::from_u16(status)
                .map_err(|_| format!("invalid script: {status} is not an HTTP status"))?,
            headers: self.head(content.content_type.as_deref())?,
            length,
            steps: self.steps(content.items, request.kind),
        };
        let cut = BodyStep::Cut { reset: self.reset };
        if let Some(at) = self.cut_at {
            response.break_at(at, cut.clone());
        }
        if let Some(at) = self.stall_at {
            response.break_at(at, BodyStep::Hang);
        }
        if let Some(length) = length.filter(|_| response.ends()) {
            // Bytes after the announced length are not part of the body; too few bytes break it off.
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            match response.bytes().len() {
                sent if sent > length => response.break_at(length, BodyStep::End),
                sent if sent < length => response.break_at(sent, cut),
                _ => {}
            }
        }
        if let Some(size) = self.split {
            response.split(size.max(1));
        }
        Ok(ResponsePlan::Respond(response))
    }

    fn is_cut(&self) -> bool {
        self.cut_after.is_some() || self.cut_at.is_some() || self.role_then_cut
    }

    fn head(&self, content_type: Option<&str>) -> Result<HeaderMap, String> {
        let mut headers = HeaderMap::new();
        let value = |text: &str| {
            HeaderValue::from_str(text)
                .map_err(|_| format!("invalid script: `{text}` is not a header value"))
        };
        if let Some(content_type) = content_type {
            headers.insert(header::CONTENT_TYPE, value(content_type)?);
        }
        if let Some(location) = &self.redirect {
            headers.insert(header::LOCATION, value(location)?);
        }
        for (name, text) in &self.headers {
            let name = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| format!("invalid script: `{name}` is not a header name"))?;
            headers.insert(name, value(text)?);
        }
        Ok(headers)
    }

    fn content(&self, status: u16, request: &ProviderRequest) -> BodyContent {
        let whole = |content_type: &str, text: String| BodyContent {
            content_type: Some(content_type.to_owned()),
            chunked: false,
            items: vec![BodyItem { bytes: text.into(), first_content: true }],
        };
        if let Some(raw) = &self.raw {
            let content_type = self.content_type.as_deref().unwrap_or("text/plain");
            let chunked = content_type.starts_with("text/event-stream");
            return BodyContent { chunked, ..whole(content_type, raw.clone()) };
        }
        if let Some(json) = &self.json {
            return whole("application/json", json.to_string());
        }
        if let Some(events) = &self.events {
            let datum = |(index, data): (usize, &str)| EventData {
                name: None,
                data: data.to_owned(),
                first_content: index == 0,
            };
            return self.stream(events.iter().flat_map(ScriptEvent::data).enumerate().map(datum));
        }
        match status {
            400.. => whole(
                "application/json",
                error(
                    request.kind,
                    status,
                    &format!("The stand-in was told to fail with {status}."),
                ),
            ),
            300..400 => BodyContent { content_type: None, chunked: false, items: Vec::new() },
            _ => {
                let answer = self.build_answer(request);
                if self.stream.unwrap_or(request.stream) {
                    let chunks = ChunkOptions {
                        include_usage: self.usage.unwrap_or(request.include_usage),
                        finish: self.finish.unwrap_or(true),
                        done: self.done.unwrap_or(true),
                    };
                    self.stream(answer.stream(chunks).into_iter())
                } else {
                    whole("application/json", answer.whole())
                }
            }
        }
    }

    fn build_answer(&self, request: &ProviderRequest) -> ProviderAnswer {
        let text = self.answer.as_deref().unwrap_or("Hello there");
        let text = text.repeat(self.answer_times.unwrap_or(1));
        let count = |text: &str| text.split_whitespace().count() as u64;
        let usage = ProviderUsage {
            prompt: self.prompt_tokens.unwrap_or_else(|| count(&request.prompt_text)),
            completion: self.completion_tokens.unwrap_or_else(|| count(&text)),
            cached: self.cached_tokens,
            reasoning: self.reasoning_tokens,
        };
        ProviderAnswer {
            kind: request.kind,
            model: self.model.clone().unwrap_or_else(|| request.model.clone()),
            text,
            reasoning: self.reasoning.clone(),
            call: self.call.clone(),
            usage: self.usage.unwrap_or(true).then_some(usage),
            vector: self.embedding.clone().unwrap_or_else(|| vec![0.25, -0.5, 0.75]),
            inputs: request.inputs,
            base64: request.base64,
        }
    }

    fn stream(&self, data: impl Iterator<Item = EventData>) -> BodyContent {
        let items = data.map(|datum| BodyItem {
            bytes: self.event(&datum),
            first_content: datum.first_content,
        });
        BodyContent {
            content_type: Some("text/event-stream".to_owned()),
            chunked: true,
            items: items.collect(),
        }
    }

    fn event(&self, event: &EventData) -> Bytes {
        let end = self.line_ending.text();
        let name =
            event.name.as_ref().map_or_else(String::new, |name| format!("event: {name}{end}"));
        let comment = if self.comments { format!(": keep-alive{end}{end}") } else { String::new() };
        let lines: Vec<String> =
            event.data.split('\n').map(|line| format!("data: {line}{end}")).collect();
        format!("{comment}{name}{}{end}", lines.concat()).into()
    }

    fn steps(&self, items: Vec<BodyItem>, kind: EndpointKind) -> Vec<BodyStep> {
        let cut_after = self.cut_after.or(self.role_then_cut.then_some(1));
        let error_after = self.error_after.or(self.error_first.then_some(0));
        let mut steps = Vec::with_capacity(items.len() * 2 + 1);
        let count = items.len();
        let mut items = items.into_iter();
        for index in 0..=count {
            if cut_after == Some(index) {
                steps.push(BodyStep::Cut { reset: self.reset });
                return steps;
            }
            if self.stall_after == Some(index) {
                steps.push(BodyStep::Hang);
                return steps;
            }
            if self.end_after == Some(index) {
                break;
            }
            if error_after == Some(index) {
                steps.push(BodyStep::Send(self.event(&error_event(kind))));
                break;
            }
            if self.malformed_after == Some(index) {
                steps.push(BodyStep::Send(self.event(&unnamed(r#"{"choices":[{"del"#))));
            }
            let Some(item) = items.next() else { break };
            let pause = self.gap.filter(|_| index > 0).unwrap_or_default()
                + self.first_token_delay.filter(|_| item.first_content).unwrap_or_default();
            if !pause.is_zero() {
                steps.push(BodyStep::Wait(pause));
            }
            steps.push(BodyStep::Send(item.bytes));
        }
        steps.push(BodyStep::End);
        steps
    }
}

fn unnamed(data: impl Into<String>) -> EventData {
    EventData { name: None, data: data.into(), first_content: false }
}

/// Formats an error body in the form of an endpoint.
fn error(kind: EndpointKind, status: u16, message: &str) -> String {
    match kind {
        EndpointKind::Messages => messages_error(status, message),
        _ => answer::error(status, message),
    }
}

/// Formats the error event of a stream in the form of an endpoint.
fn error_event(kind: EndpointKind) -> EventData {
    let message = "The stand-in was told to fail in the middle.";
    match kind {
        EndpointKind::Messages => {
            let name = Some("error".to_owned());
            EventData { name, data: messages_error(529, message), first_content: false }
        }
        EndpointKind::Responses => responses_error_event(message),
        _ => unnamed(answer::error(500, message)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::upstream::{
        BodyStep, LineEnding, PlannedResponse, ProviderRequest, ResponsePlan, Script,
    };

    const STREAM: &[u8] = br#"{"model":"m","stream":true}"#;

    #[track_caller]
    fn respond(script: &str, body: &[u8]) -> PlannedResponse {
        let script: Script = toml::from_str(script).expect("a script");
        let plan =
            script.plan(&ProviderRequest::parse("/v1/chat/completions", body)).expect("a play");
        let ResponsePlan::Respond(response) = plan else { panic!("{plan:?}") };
        response
    }

    fn text(response: &PlannedResponse) -> String {
        String::from_utf8(response.bytes().to_vec()).expect("UTF-8")
    }

    #[test]
    fn plan_of_a_json_answer_has_a_length_and_of_a_stream_has_none() {
        let whole = respond("answer = 'Hi'", b"{}");
        assert_eq!(whole.length, Some(whole.bytes().len() as u64));
        assert_eq!(whole.headers["content-type"], "application/json");
        let stream = respond("answer = 'Hi'", STREAM);
        assert_eq!((stream.length, stream.ends()), (None, true));
        assert!(text(&stream).ends_with("data: [DONE]\n\n"));
    }

    #[test]
    fn plan_with_a_fault_breaks_at_its_position() {
        let events = |script: &str| text(&respond(script, STREAM)).matches("data: ").count();
        assert_eq!(events("answer = 'a b c'"), 6, "role, three words, finish, done");
        assert_eq!(events("answer = 'a b c'\ncut_after = 2"), 2);
        assert_eq!(events("answer = 'a b c'\nerror_after = 2"), 3);
        assert_eq!(events("answer = 'a b c'\nmalformed_after = 2"), 7);
        assert_eq!(events("answer = 'a b c'\ndone = false\nfinish = false"), 4);
        assert_eq!(events("answer = 'a b c'\nend_after = 6"), 6);
        let cut = respond("cut_at = 10\nreset = true", STREAM);
        assert_eq!(
            (cut.bytes().len(), cut.steps.last()),
            (10, Some(&BodyStep::Cut { reset: true }))
        );
        assert_eq!(respond("stall_after = 0", STREAM).steps, [BodyStep::Hang]);
        assert!(!respond("role_then_cut = true", STREAM).ends());
    }

    #[test]
    fn plan_with_a_wrong_length_breaks_or_shortens_the_body() {
        let long = respond("raw = 'abcdef'\ncontent_length = 10", b"{}");
        assert_eq!((long.length, long.ends()), (Some(10), false));
        let short = respond("raw = 'abcdef'\ncontent_length = 3", b"{}");
        assert_eq!((text(&short).as_str(), short.ends()), ("abc", true));
    }

    #[test]
    fn plan_with_gaps_pauses_before_events() {
        let response =
            respond("events = ['a', 'b']\ngap = '20ms'\nfirst_token_delay = '1s'", STREAM);
        let waits: Vec<_> =
            response.steps.iter().filter(|step| matches!(step, BodyStep::Wait(_))).collect();
        assert_eq!(
            waits,
            [&BodyStep::Wait(Duration::from_secs(1)), &BodyStep::Wait(Duration::from_millis(20))]
        );
    }

    #[test]
    fn plan_with_repeated_events_sends_each_of_them() {
        let response = respond("events = [{ data = 'a', repeat = 3 }, 'b']", STREAM);
        assert_eq!(text(&response), "data: a\n\ndata: a\n\ndata: a\n\ndata: b\n\n");
    }

    #[test]
    fn plan_with_a_line_ending_uses_it() {
        let response = respond("events = ['a']\nline_ending = 'crlf'\ncomments = true", STREAM);
        assert_eq!(text(&response), ": keep-alive\r\n\r\ndata: a\r\n\r\n");
        assert_eq!(LineEnding::Cr.text(), "\r");
    }

    #[test]
    fn plan_of_redirects_errors_and_refusals() {
        let redirect = respond("redirect = 'http://127.0.0.1:1/'", b"{}");
        assert_eq!(
            (redirect.status.as_u16(), &redirect.headers["location"]),
            (302, &"http://127.0.0.1:1/".parse().expect("a value"))
        );
        assert!(text(&respond("status = 503", b"{}")).contains("server_error"));
        let request = ProviderRequest::parse("/", b"{}");
        let plan =
            |script: &str| toml::from_str::<Script>(script).expect("a script").plan(&request);
        assert_eq!(plan("refuse = true"), Ok(ResponsePlan::Refuse));
        assert_eq!(plan("reset = true"), Ok(ResponsePlan::Refuse));
        assert_eq!(plan("hang = true"), Ok(ResponsePlan::Silence));
        assert!(plan("status = 7").is_err() && plan("headers = { \"a b\" = \"c\" }").is_err());
        assert!(toml::from_str::<Script>("anwser = 'x'").is_err(), "a misspelt field");
    }
}

//! Body of an answer of Responses whose ids of stored responses get the tag of their owner.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use json::{Edits, range_in};
use openai::Event;
use protocol::{edit_answer_ids, edit_event_ids};

use crate::host::body::Body;
use crate::request::headers::is_event_stream;
use crate::upstream::response_tag::ResponseTagger;
use crate::upstream::rewritten_events::{EventRewriter, RewrittenEvents};

/// Tags the ids in a response's body. All other bytes stay.
pub(crate) fn tag(response: http::Response<Body>, tagger: ResponseTagger) -> http::Response<Body> {
    let (parts, body) = response.into_parts();
    let is_stream = parts.headers.get(CONTENT_TYPE).is_some_and(is_event_stream);
    let body = match body {
        Body::Whole(whole) if !is_stream => {
            let text = str::from_utf8(&whole).ok();
            let tagged = text.and_then(|text| edit_answer_ids(text, &|id| tagger.tag(id)));
            Body::from(tagged.map_or(whole, Bytes::from))
        }
        events @ (Body::Whole(_) | Body::Stream(_)) if is_stream => {
            Body::stream(RewrittenEvents::new(Bytes::new(), events, tagger))
        }
        // A whole answer that is too long to hold: its id stays without a tag, and names nothing.
        other => other,
    };
    http::Response::from_parts(parts, body)
}

impl EventRewriter for ResponseTagger {
    fn event(&mut self, event: &[u8], out: &mut Vec<u8>) {
        match tagged_event(self, event) {
            Some(tagged) => out.extend_from_slice(&tagged),
            None => out.extend_from_slice(event),
        }
    }

    fn too_long(&mut self, _: &mut Vec<u8>) {
        // The reader below has the same bound, and has ended the stream with an error.
    }

    fn end(&mut self, _: &mut Vec<u8>) {}
}

/// Returns an event with tagged ids. `None` if it holds no response, or data of several lines.
fn tagged_event(tagger: &ResponseTagger, bytes: &[u8]) -> Option<Vec<u8>> {
    memchr::memmem::find(bytes, b"\"response\"")?;
    let text = str::from_utf8(bytes).ok()?;
    let event = Event::parse(bytes);
    let std::borrow::Cow::Borrowed(data) = event.data? else { return None };
    let data = str::from_utf8(data).ok()?;
    let tagged = edit_event_ids(data, &|id| tagger.tag(id))?;
    let mut edits = Edits::default();
    edits.replace(range_in(text, data), tagged);
    Some(edits.apply(bytes))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use config::Config;
    use secret::Secret;

    use super::tag;
    use crate::host::body::Body;
    use crate::testing::fake_host::block_on;
    use crate::upstream::response_tag::ResponseTagger;

    fn tagged(content_type: &str, body: &'static str) -> String {
        let document = r#"{"providers":[{"id":"openai","keys":["secret:A"]}],
            "routes":[{"id":"r","models":["m"],"targets":[{"provider":"openai"}]}],
            "consumers":[{"id":"app","keys":["secret:APP"]}]}"#;
        let config = Config::from_json(document, &|name| Some(Secret::new(name))).expect("right");
        let tagger = ResponseTagger::new(&config.providers[0], Some(0), "app").expect("a key");
        let response = http::Response::builder().header("content-type", content_type);
        let body = response.body(Body::from(Bytes::from_static(body.as_bytes())));
        let body = tag(body.expect("a response"), tagger).into_body();
        String::from_utf8(block_on(body.collect(1 << 20)).expect("whole").to_vec()).expect("text")
    }

    #[test]
    fn only_ids_of_responses_change() {
        let event = "id: 7\nevent: response.created\ndata: {\"type\":\"response.created\", \"response\":{\"id\":\"resp_1\"}}\n\n";
        let found = tagged("text/event-stream", event);
        let tag = found.split("resp_1").nth(1).expect("the id").split('"').next().expect("its end");
        assert!(tag.len() == 33 && tag.starts_with('.'), "{found}");
        assert_eq!(found.replace(tag, ""), event);
        let other = "data: {\"type\":\"x\",\"id\":\"a\"}\n\ndata: rest";
        assert_eq!(tagged("text/event-stream", other), format!("{other}\n\n"));
        let json = tagged("application/json", r#"{ "id" : "resp_1","output":[]}"#);
        assert_eq!(json, format!(r#"{{ "id" : "resp_1{tag}","output":[]}}"#));
    }
}

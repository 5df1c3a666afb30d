//! `/words/{list}`: word lists that guards read from the store.
//!
//! A change takes effect everywhere within a minute. The API does not show which guards use a list.

use serde::Deserialize;
use serde_json::json;

use crate::guards::word_lists::WORD_LIST_PREFIX;
use crate::host::Host;

use super::AdminRequest;
use super::request_body::parse_object;
use super::response::{AdminError, AdminResponse, AdminResult};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WordListDocument {
    words: Vec<String>,
}

/// `GET /words/{list}`
pub(super) async fn get<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    request.parse_query(&[])?;
    let (name, key) = word_list_key(request)?;
    let Some(text) = request.host.get(&key).await? else { return Err(not_found_error()) };
    let text = String::from_utf8_lossy(&text);
    let words: Vec<&str> = text.lines().collect();
    Ok(AdminResponse::json(&json!({ "list": name, "count": words.len(), "words": words })))
}

/// `PUT /words/{list}`: creates or replaces a list.
pub(super) async fn put<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    request.parse_query(&[])?;
    let (name, key) = word_list_key(request)?;
    let WordListDocument { words } = parse_object(&request.body)?;
    for (position, word) in words.iter().enumerate() {
        // The stored format has one word per line.
        if word.trim().is_empty() || word.contains(['\n', '\r']) {
            let param = format!("words[{position}]");
            return Err(AdminError::invalid(
                &param,
                format!("{word:?}"),
                "a nonempty word without line breaks",
            ));
        }
    }
    let count = words.len();
    let write = async { Ok(request.host.put(&key, words.join("\n").into_bytes(), None).await?) };
    let detail = json!({ "count": count });
    request.run_audited("words.put", format!("words/{name}"), detail, write).await?;
    Ok(AdminResponse::json(&json!({ "list": name, "count": count })))
}

/// `DELETE /words/{list}`
pub(super) async fn delete<P: Host>(request: &AdminRequest<'_, P>) -> AdminResult {
    request.parse_query(&[])?;
    let (name, key) = word_list_key(request)?;
    if request.host.get(&key).await?.is_none() {
        return Err(not_found_error());
    }
    let delete = async { Ok(request.host.delete(&key).await?) };
    request.run_audited("words.delete", format!("words/{name}"), json!(null), delete).await?;
    Ok(AdminResponse::no_content())
}

/// The list's name and its store key.
fn word_list_key<'a, P>(request: &'a AdminRequest<'_, P>) -> Result<(&'a str, String), AdminError>
where
    P: Host,
{
    let name = request.path_argument(0);
    let fits = |byte: u8| byte == b'-' || byte.is_ascii_digit() || byte.is_ascii_lowercase();
    if name.len() > MAX_NAME_BYTES || !name.bytes().all(fits) {
        let expected = "at most 64 lower-case letters, digits, and hyphens";
        return Err(AdminError::invalid("list", format!("{name:?}"), expected));
    }
    Ok((name, format!("{WORD_LIST_PREFIX}{name}")))
}

const MAX_NAME_BYTES: usize = 64;

fn not_found_error() -> AdminError {
    AdminError::not_found("list_not_found", "This word list does not exist.")
}

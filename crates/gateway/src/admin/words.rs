//! `/words/{list}`: lists of words that guards read from the store.
//!
//! A list that is put counts everywhere a minute later. It is not said here which guards read it.

use serde::Deserialize;
use serde_json::json;

use crate::platform::Platform;
use crate::rooms::lists::NAMES;

use super::Call;
use super::body::object;
use super::reply::{Answer, Failure, Reply};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    words: Vec<String>,
}

/// `GET /words/{list}`
pub(super) async fn read<P: Platform>(call: &Call<'_, P>) -> Answer {
    call.query(&[])?;
    let (name, key) = key(call)?;
    let Some(text) = call.platform.get(&key).await? else { return Err(missing()) };
    let text = String::from_utf8_lossy(&text);
    let words: Vec<&str> = text.lines().collect();
    Ok(Reply::json(&json!({ "list": name, "count": words.len(), "words": words })))
}

/// `PUT /words/{list}`: one that is there is replaced.
pub(super) async fn put<P: Platform>(call: &Call<'_, P>) -> Answer {
    call.query(&[])?;
    let (name, key) = key(call)?;
    let List { words } = object(&call.body)?;
    for (position, word) in words.iter().enumerate() {
        // What is stored has one word in each line.
        if word.trim().is_empty() || word.contains(['\n', '\r']) {
            let param = format!("words[{position}]");
            return Err(Failure::invalid(&param, format!("{word:?}"), "a word, in one line"));
        }
    }
    let count = words.len();
    let write = async { Ok(call.platform.put(&key, words.join("\n").into_bytes(), None).await?) };
    let detail = json!({ "count": count });
    call.log("words.put", format!("words/{name}"), detail, write).await?;
    Ok(Reply::json(&json!({ "list": name, "count": count })))
}

/// `DELETE /words/{list}`
pub(super) async fn delete<P: Platform>(call: &Call<'_, P>) -> Answer {
    call.query(&[])?;
    let (name, key) = key(call)?;
    if call.platform.get(&key).await?.is_none() {
        return Err(missing());
    }
    let delete = async { Ok(call.platform.delete(&key).await?) };
    call.log("words.delete", format!("words/{name}"), json!(null), delete).await?;
    Ok(Reply::gone())
}

/// The list's name, and where it is in the store.
fn key<'a, P>(call: &'a Call<'_, P>) -> Result<(&'a str, String), Failure>
where
    P: Platform,
{
    let name = call.argument(0);
    let fits = |byte: u8| byte == b'-' || byte.is_ascii_digit() || byte.is_ascii_lowercase();
    if name.len() > LONGEST_NAME || !name.bytes().all(fits) {
        let expected = "lower-case letters, digits and hyphens, at most 64";
        return Err(Failure::invalid("list", format!("{name:?}"), expected));
    }
    Ok((name, format!("{NAMES}{name}")))
}

/// The longest name of a list, in bytes.
const LONGEST_NAME: usize = 64;

fn missing() -> Failure {
    Failure::not_found("list_not_found", "There is no such list of words.")
}

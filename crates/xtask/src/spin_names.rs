//! Names that Spin allows for variables: words of ASCII letters and digits, joined by `_`, each of which
//! begins with a letter (the manifest reference of Spin 4).

/// Secrets of a configuration that cannot be variables of Spin, each with a name that can.
pub(crate) fn refused<'n>(names: impl IntoIterator<Item = &'n str>) -> Vec<(&'n str, String)> {
    names.into_iter().filter(|name| !is_allowed(name)).map(|name| (name, allowed(name))).collect()
}

/// Problems of these names, one a line.
pub(crate) fn explain(refused: &[(&str, String)]) -> String {
    let line = |(name, allowed): &(&str, String)| format!("  {name}: write {allowed}");
    let lines: Vec<String> = refused.iter().map(line).collect();
    format!(
        "Spin cannot have these secrets: each word of a name between `_` must begin with a letter\n{}",
        lines.join("\n")
    )
}

fn is_allowed(name: &str) -> bool {
    let is_word = |word: &str| {
        word.starts_with(|first: char| first.is_ascii_alphabetic())
            && word.chars().all(|letter| letter.is_ascii_alphanumeric())
    };
    name.split('_').all(is_word)
}

/// Returns the nearest allowed name: a word that begins with a digit is joined to the word before it.
fn allowed(name: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    for word in name.split('_').filter(|word| !word.is_empty()) {
        match words.last_mut() {
            Some(before) if word.starts_with(|first: char| first.is_ascii_digit()) => {
                before.push_str(word);
            }
            Some(_) | None => words.push(word.to_owned()),
        }
    }
    match words.first() {
        Some(first) if first.starts_with(|first: char| first.is_ascii_digit()) => {
            format!("KEY{}", words.join("_"))
        }
        Some(_) => words.join("_"),
        None => "KEY".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{allowed, explain, is_allowed, refused};

    #[test]
    fn words_begin_with_a_letter() {
        for name in ["A", "APP_KEY", "OPENAI_API_KEY_B", "KEY2", "A1_B2"] {
            assert!(is_allowed(name), "{name}");
        }
        for (name, expected) in [
            ("OPENAI_API_KEY_2", "OPENAI_API_KEY2"),
            ("KEY_2_3", "KEY23"),
            ("_KEY", "KEY"),
            ("KEY__A_", "KEY_A"),
            ("2", "KEY2"),
            ("_", "KEY"),
        ] {
            assert!(!is_allowed(name), "{name}");
            assert_eq!(allowed(name), expected);
            assert!(is_allowed(expected), "{expected}");
        }
    }

    #[test]
    fn refused_names_are_explained_with_a_remedy() {
        let refused = refused(["APP_KEY", "KEY_2"]);
        assert_eq!(refused, [("KEY_2", "KEY2".to_owned())]);
        assert!(explain(&refused).ends_with("\n  KEY_2: write KEY2"));
    }
}

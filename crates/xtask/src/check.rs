//! `check`: validates a configuration and prints its plan, without network requests.

use std::path::PathBuf;
use std::process::ExitCode;

use config::{Config, Warning, author};

use crate::config_file::Document;
use crate::plan::coverage;
use crate::secrets::Secrets;
use crate::{plan, root, spin_names};

/// Arguments of `check`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    file: Option<PathBuf>,
    with_secrets: bool,
}

impl Options {
    pub(crate) fn parse(arguments: &mut lexopt::Parser) -> Result<Self, lexopt::Error> {
        use lexopt::Arg::{Long, Value};
        let mut options = Self::default();
        while let Some(argument) = arguments.next()? {
            match argument {
                Long("with-secrets") => options.with_secrets = true,
                Value(file) if options.file.is_none() => options.file = Some(file.into()),
                other => return Err(other.unexpected()),
            }
        }
        Ok(options)
    }
}

/// Prints the plan, or every problem.
pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let document =
        Document::read(&options.file.clone().unwrap_or_else(default_configuration), "check FILE")?;
    let secrets = Secrets::from_machine(&root())?;
    let parsed = if options.with_secrets {
        document.parse(&secrets)
    } else {
        document.parse_with_any_secret()
    };
    match parsed {
        Ok(config) => {
            println!("{}", report(&document, &config, &secrets));
            Ok(ExitCode::SUCCESS)
        }
        Err(problems) => {
            print!("{}", document.explain(&problems));
            let is_missing = |name: &String| secrets.find(name).is_none();
            if options.with_secrets && document.secret_names().iter().any(is_missing) {
                println!("{}", Secrets::PLACES);
            }
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Path of this repository's configuration, relative to the current directory if possible.
pub(crate) fn default_configuration() -> PathBuf {
    let path = root().join("gateway.toml");
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&here).map(PathBuf::from).unwrap_or(path)
}

fn report(document: &Document, config: &Config, secrets: &Secrets) -> String {
    let mut lines = vec![format!("{} is valid.\n", document.path.display()), plan::render(config)];
    let names = document.secret_names();
    if !names.is_empty() {
        lines.push("Secrets".to_owned());
        let width = names.iter().map(String::len).max().unwrap_or_default();
        for name in &names {
            let state = if secrets.find(name).is_some() { "set here" } else { "not set here" };
            lines.push(format!("  {name:width$}  {state}"));
        }
    }
    let own = gateway_secrets_warnings(secrets);
    let warnings: Vec<_> = config.warnings.iter().chain(&own).collect();
    if !warnings.is_empty() {
        lines.push("\nWarnings".to_owned());
        lines.extend(warnings.into_iter().map(|warning| with_place(document, warning)));
    }
    let notes = coverage::notes(config);
    if !notes.is_empty() {
        lines.push("\nNotes".to_owned());
        lines.extend(notes.iter().map(|note| with_place(document, note)));
    }
    let refused = spin_names::refused(names.iter().map(String::as_str));
    if !refused.is_empty() {
        lines.push(format!("\n{}", spin_names::explain(&refused)));
    }
    lines.join("\n")
}

fn with_place(document: &Document, warning: &Warning) -> String {
    let place = author::locate(&document.text, &warning.path);
    let place = place.map_or_else(String::new, |(line, column)| format!("{line}:{column}: "));
    format!("  {place}{warning}")
}

/// Warnings of the gateway's own secrets, if they are set here.
fn gateway_secrets_warnings(secrets: &Secrets) -> Vec<Warning> {
    gateway::config_loader::short_secrets(&|name| secrets.find(name))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use crate::config_file::Document;
    use crate::secrets::Secrets;

    use super::{Options, report};

    fn parse(words: &[&str]) -> Result<Options, lexopt::Error> {
        Options::parse(&mut lexopt::Parser::from_args(words))
    }

    #[test]
    fn arguments_are_parsed_and_unknown_ones_refused() {
        assert_eq!(parse(&[]).expect("no argument is required"), Options::default());
        let expected = Options { file: Some("a.toml".into()), with_secrets: true };
        assert_eq!(
            parse(&["a.toml", "--with-secrets"]).expect("the arguments are valid"),
            expected
        );
        assert!(parse(&["a.toml", "b.toml"]).is_err());
        assert!(parse(&["--with-secret"]).is_err());
    }

    #[test]
    fn report_of_the_worked_example_lists_missing_secrets() {
        let text = include_str!("../../config/tests/fixtures/worked-example.toml");
        let document = Document { path: PathBuf::from("example.toml"), text: text.to_owned() };
        let config = document.parse_with_any_secret().expect("the example is valid");
        let secrets = Secrets::only(&[("OPENAI_API_KEY", "sk-not-to-be-shown")]);
        let report = report(&document, &config, &secrets);
        assert!(report.starts_with("example.toml is valid.\n"), "{report}");
        assert!(report.contains("     90 %  openai\n"), "{report}");
        let after = |name: &str| {
            let line =
                report.lines().find(|line| line.trim_start().starts_with(&format!("{name} ")));
            line.and_then(|line| line.split_once("  set here").map(|_| true).or(Some(false)))
        };
        assert_eq!(after("OPENAI_API_KEY"), Some(true), "{report}");
        assert_eq!(after("MOBILE_APP_KEY"), Some(false), "{report}");
        assert!(!report.contains("sk-not"), "{report}");
        assert!(report.ends_with("\n  OPENAI_API_KEY_2: write OPENAI_API_KEY2"), "{report}");
    }
}

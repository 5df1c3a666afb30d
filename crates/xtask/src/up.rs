//! `up`: builds the gateway, serves it, and prints a command to paste.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use ::config::{Config, KeySource, ModelPattern, author};
use anyhow::{Context, bail};

use crate::check::default_configuration;
use crate::child::Processes;
use crate::config_file::Document;
use crate::demo::{self, Demo};
use crate::edge::{self, Edge, Service};
use crate::secrets::Secrets;
use crate::state_lock::StateLock;
use crate::{config, log, root};

/// Arguments of `up`.
#[derive(Default)]
pub(crate) struct Options {
    edge: Edge,
    config: Option<PathBuf>,
    port: Option<u16>,
    secrets: Vec<String>,
    state: Option<PathBuf>,
    demo: bool,
    watch: bool,
    log: Option<log::Format>,
}

impl Options {
    pub(crate) fn parse(arguments: &mut lexopt::Parser) -> Result<Self, lexopt::Error> {
        use lexopt::Arg::Long;
        use lexopt::ValueExt;
        let mut options = Self::default();
        while let Some(argument) = arguments.next()? {
            match argument {
                Long("on") => {
                    let name = arguments.value()?.string()?;
                    let unknown = format!("--on needs cloudflare or spin, not {name}");
                    options.edge = Edge::named(&name).ok_or(unknown)?;
                }
                Long("config") => options.config = Some(arguments.value()?.into()),
                Long("port") => options.port = Some(arguments.value()?.parse()?),
                Long("secret") => {
                    let pair = arguments.value()?.into_string();
                    let pair = pair.map_err(|_| "--secret needs text in UTF-8")?;
                    Secrets::default().add(&pair)?;
                    options.secrets.push(pair);
                }
                Long("state") => options.state = Some(arguments.value()?.into()),
                Long("demo") => options.demo = true,
                Long("watch") => options.watch = true,
                Long("log") => {
                    let name = arguments.value()?.string()?;
                    let unknown = format!("--log needs short or json, not {name}");
                    options.log = Some(log::Format::named(&name).ok_or(unknown)?);
                }
                other => return Err(other.unexpected()),
            }
        }
        if options.demo && options.config.is_some() {
            return Err("--demo has its own configuration: omit --config".into());
        }
        if options.demo && options.watch {
            return Err("--watch is for a file, and --demo has its own configuration".into());
        }
        Ok(options)
    }

    fn secrets(&self) -> anyhow::Result<Secrets> {
        let mut secrets = Secrets::from_machine(&root())?;
        for pair in &self.secrets {
            secrets.add(pair)?;
        }
        Ok(secrets)
    }
}

/// Serves until Ctrl-C, or until the host ends.
pub(crate) fn run(options: Options) -> anyhow::Result<ExitCode> {
    let port = options.port.unwrap_or(options.edge.usual_port());
    edge::require_free(port)?;
    let own = choose(&options)?;
    // Rejects an invalid configuration before anything is installed or built.
    if let Some((document, secrets)) = &own
        && let Err(reason) = validate(document, secrets)
    {
        eprint!("{reason}");
        return Ok(ExitCode::FAILURE);
    }
    let mut processes = Processes::new()?;
    let (demo, document, secrets) = match own {
        Some((document, secrets)) => (None, document, secrets),
        None => {
            let (demo, document) = Demo::start(&mut processes)?;
            (Some(demo), document, demo::secrets())
        }
    };
    let config = match validate(&document, &secrets) {
        Ok(config) => config,
        Err(reason) => bail!("{reason}"),
    };
    let here = std::env::current_dir()?;
    let mut service = Service {
        document: author::to_json(&document.text)?,
        secrets: document.secrets(&secrets),
        port,
        state: here.join(options.state.unwrap_or_else(|| root().join(usual_state(demo.is_some())))),
        log: options.log.unwrap_or_else(log::Format::usual),
    };
    create_state(&service.state)?;
    let _lock = StateLock::acquire(&service.state, port)?;
    let ready = options.edge.prepare(&mut processes, &service)?;
    let host = ready.clone().start(&mut processes, &service)?;
    edge::await_health(&mut processes, port)?;
    let base = format!("http://127.0.0.1:{port}");
    println!(
        "\nserin is up at {base}. Its state is in {}. Ctrl-C ends it.\n",
        service.state.display()
    );
    println!("{}\n", configuration_line(&base, &service));
    match &demo {
        Some(demo) => println!("{}\n", demo.tour(&base)),
        None => {
            println!("{}", console_line(&base, &service));
            println!("{}\n", example_command(&base, &document, &config));
        }
    }
    let mut file = (options.watch && demo.is_none()).then(|| WatchedFile::new(&document.path));
    serve(&mut processes, demo, |processes| {
        let Some(file) = file.as_mut() else { return Ok(()) };
        if !file.has_changed() {
            return Ok(());
        }
        match reread(&file.path, &secrets) {
            Err(reason) => eprint!("{reason}"),
            Ok(document) => {
                service.document = author::to_json(&document.text)?;
                service.secrets = document.secrets(&secrets);
                processes.stop(file.host.unwrap_or(host));
                file.host = Some(ready.clone().start(processes, &service)?);
                edge::await_health(processes, port)?;
                println!(
                    "\n{} is loaded. {}",
                    file.path.display(),
                    configuration_line(&base, &service)
                );
            }
        }
        Ok(())
    })
}

/// Directory of local storage in the repository. A document that was put into the state replaces the file: the
/// demo must not serve the user's.
fn usual_state(is_demo: bool) -> &'static str {
    if is_demo { ".serin/demo" } else { ".serin/state" }
}

/// Configuration file whose changes are served.
struct WatchedFile {
    path: PathBuf,
    changed: Option<SystemTime>,
    /// Process of the host since the last change. `None` if it is the first one.
    host: Option<u32>,
}

impl WatchedFile {
    fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), changed: Self::changed(path), host: None }
    }

    fn changed(path: &Path) -> Option<SystemTime> {
        path.metadata().and_then(|file| file.modified()).ok()
    }

    /// Whether the file has changed since the last call. Editors may replace it, so that it is missing for a
    /// moment.
    fn has_changed(&mut self) -> bool {
        let now = Self::changed(&self.path);
        now.is_some() && std::mem::replace(&mut self.changed, now) != now
    }
}

/// Reads a changed configuration. The error lists every problem.
fn reread(path: &Path, secrets: &Secrets) -> Result<Document, String> {
    let document =
        Document::read(path, "up --config FILE").map_err(|error| format!("{error:#}\n"))?;
    validate(&document, secrets)?;
    Ok(document)
}

fn console_line(base: &str, service: &Service) -> String {
    match service.secrets.contains_key("ADMIN_TOKEN") {
        true => format!("The console is at {base}/console/: sign in with ADMIN_TOKEN."),
        false => "The console and the admin API are off: set ADMIN_TOKEN.".to_owned(),
    }
}

/// States which configuration counts: a version that was put into the state outlives the file.
fn configuration_line(base: &str, service: &Service) -> String {
    let status = match service.secrets.get("ADMIN_TOKEN") {
        Some(token) => config::describe(base, token.reveal()),
        None => Err(anyhow::anyhow!("ADMIN_TOKEN is not set")),
    };
    match status {
        Ok(status) => format!("Configuration: {status}."),
        Err(reason) => format!(
            "Configuration: not known here ({reason:#}). A version that was put into this state would replace \
             the file; the line \"configuration\" at the first request says which one counts."
        ),
    }
}

/// Creates the directory of local storage, and checks that it can be written.
fn create_state(directory: &Path) -> anyhow::Result<()> {
    let probe = directory.join(format!(".writable-{}", std::process::id()));
    std::fs::create_dir_all(directory)
        .and_then(|()| std::fs::write(&probe, ""))
        .and_then(|()| std::fs::remove_file(&probe))
        .with_context(|| {
            format!(
                "cannot use {} for local storage: choose a directory with --state DIR",
                directory.display()
            )
        })
}

/// User's configuration and secrets. `None` if the demo runs instead.
fn choose(options: &Options) -> anyhow::Result<Option<(Document, Secrets)>> {
    if options.demo {
        return Ok(None);
    }
    let secrets = options.secrets()?;
    let path = options.config.clone().unwrap_or_else(default_configuration);
    let document = Document::read(&path, "up --config FILE")?;
    let keys = document.key_names("providers");
    let has_none = !keys.is_empty() && keys.iter().all(|name| secrets.find(name).is_none());
    if options.config.is_none() && has_none {
        println!(
            "No provider's key is set here ({}), so this is the demo. With keys, from --secret \
             NAME=VALUE, .dev.vars or the environment, {} is served instead.",
            keys.join(", "),
            path.display(),
        );
        return Ok(None);
    }
    Ok(Some((document, secrets)))
}

/// Parses the configuration. The error lists every problem.
fn validate(document: &Document, secrets: &Secrets) -> Result<Config, String> {
    document.parse(secrets).map_err(|problems| {
        let mut reason = document.explain(&problems);
        if document.secret_names().iter().any(|name| secrets.find(name).is_none()) {
            reason.push_str(Secrets::PLACES);
            reason.push('\n');
        }
        reason
    })
}

/// Command to paste: sends a request for the first exact model, as the first consumer that may use
/// it.
fn example_command(base: &str, document: &Document, config: &Config) -> String {
    let exact = |pattern: &ModelPattern| match pattern {
        ModelPattern::Exact(name) => Some(name.clone()),
        ModelPattern::Prefix(_) | ModelPattern::Regex(_) => None,
    };
    let mut routes = config.routes_with_index();
    let found =
        routes.find_map(|(index, route)| Some((index, route.models.iter().find_map(exact)?)));
    let (route, model) =
        found.map_or((None, "MODEL".to_owned()), |(index, model)| (Some(index), model));
    let may_ask = |consumer: &&::config::Consumer| {
        let is_allowed = consumer
            .permissions
            .routes
            .as_ref()
            .is_none_or(|routes| route.is_none_or(|it| routes.contains(&it)));
        is_allowed && !consumer.keys.is_empty()
    };
    let name =
        config.consumers.iter().find(may_ask).and_then(|it| document.key_name_of_consumer(&it.id));
    // The text names the key's variable, which the shell expands; it never contains the value.
    let (authorization, note) = match name {
        Some(name) => {
            let header = match config.auth.sources.first() {
                Some(KeySource::Header(header)) => format!("{header}: ${name}"),
                Some(KeySource::Bearer) | None => format!("authorization: Bearer ${name}"),
            };
            let is_set = std::env::var_os(&name).is_some();
            (header, if is_set { String::new() } else { format!(", where {name} is set") })
        }
        None => (String::new(), String::new()),
    };
    let line = demo::curl_command(base, r"-s -w '\n'", &authorization, &model, "");
    format!(
        "In another terminal{note}:\n\n{line}\n\nEvery request appears here as one line; --log json prints the whole records."
    )
}

/// Waits for Ctrl-C, restarts simulated providers, and calls a function meanwhile. Fails if the host ends.
fn serve(
    processes: &mut Processes,
    mut demo: Option<Demo>,
    mut meanwhile: impl FnMut(&mut Processes) -> anyhow::Result<()>,
) -> anyhow::Result<ExitCode> {
    while !processes.is_interrupted() {
        meanwhile(processes)?;
        if let Some(ended) = processes.ended() {
            match demo.as_mut().and_then(|demo| demo.note_end(&ended)) {
                Some(message) => println!("\n{message}\n"),
                None => bail!("{} ended by itself: {}", ended.name, ended.how),
            }
        }
        if let Some(message) = demo.as_mut().and_then(|demo| demo.restart_due(processes)) {
            println!("\n{message}\n");
        }
        processes.wait_briefly();
    }
    println!("\nStopping.");
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use crate::config_file::Document;
    use crate::edge::Edge;
    use crate::log;
    use crate::secrets::Secrets;

    use std::time::{Duration, SystemTime};

    use super::{Options, WatchedFile, create_state, example_command, usual_state, validate};

    fn parse(words: &[&str]) -> Result<Options, lexopt::Error> {
        Options::parse(&mut lexopt::Parser::from_args(words))
    }

    #[track_caller]
    fn assert_refused(words: &[&str], part: &str) {
        let Err(error) = parse(words) else { panic!("{words:?} is accepted") };
        assert!(error.to_string().contains(part), "{words:?}: {error}");
    }

    #[test]
    fn arguments_are_parsed() {
        let words = [
            "--on",
            "spin",
            "--config=a.toml",
            "--port",
            "3001",
            "--secret",
            "A=1",
            "--secret=B=2",
            "--state",
            "s",
            "--log=json",
        ];
        let options = parse(&words).expect("the arguments are valid");
        assert_eq!((options.edge, options.port), (Edge::Spin, Some(3001)));
        assert_eq!(options.config, Some("a.toml".into()));
        assert_eq!(options.state, Some("s".into()));
        assert_eq!(options.log, Some(log::Format::Json));
        assert_eq!(options.secrets, ["A=1", "B=2"]);
        assert!(!options.demo);
        let none = parse(&[]).expect("no argument is required");
        assert_eq!((none.edge, none.port, none.config), (Edge::Cloudflare, None, None));
        assert!(parse(&["--demo"]).expect("the argument is valid").demo);
    }

    #[test]
    fn invalid_arguments_are_refused_without_their_secrets() {
        assert_refused(&["--on", "fly"], "cloudflare or spin");
        assert_refused(&["--port", "80000"], "80000");
        assert_refused(&["--port"], "--port");
        assert_refused(&["--demo", "--config", "a.toml"], "--config");
        assert_refused(&["--log", "xml"], "short or json");
        assert_refused(&["--demo", "--watch"], "--watch");
        assert_refused(&["--verbose"], "--verbose");
        assert_refused(&["extra"], "extra");
        let Err(error) = parse(&["--secret", "sk-hidden"]) else { panic!("it has no name") };
        assert!(!error.to_string().contains("sk-hidden"), "{error}");
    }

    #[test]
    fn finding_6_demo_has_a_state_of_its_own() {
        assert_ne!(usual_state(true), usual_state(false));
    }

    #[test]
    fn finding_11_changed_file_is_noticed_once() {
        let path = std::env::temp_dir().join(format!("serin-watched-{}", std::process::id()));
        std::fs::write(&path, "a").expect("the file is written");
        let mut watched = WatchedFile::new(&path);
        assert!(!watched.has_changed());
        let later = SystemTime::now() + Duration::from_secs(5);
        let file = std::fs::File::open(&path).expect("it exists");
        file.set_modified(later).expect("it is ours");
        assert!(watched.has_changed() && !watched.has_changed());
        std::fs::remove_file(&path).expect("it exists");
        assert!(!watched.has_changed(), "an editor may be about to replace it");
    }

    #[test]
    fn unusable_state_directory_is_named_with_its_option() {
        let file = std::env::temp_dir().join(format!("serin-state-{}", std::process::id()));
        std::fs::write(&file, "").expect("the file is written");
        let error = create_state(&file).expect_err("it is a file");
        let expected = format!(
            "cannot use {} for local storage: choose a directory with --state DIR: ",
            file.display()
        );
        assert!(format!("{error:#}").starts_with(&expected), "{error:#}");
        std::fs::remove_file(file).expect("the file exists");
    }

    #[test]
    fn missing_secret_is_named() {
        let text = include_str!("../../config/tests/fixtures/worked-example.toml");
        let document = Document { path: "example.toml".into(), text: text.to_owned() };
        let reason = validate(&document, &Secrets::default()).expect_err("there are no secrets");
        assert!(reason.contains("OPENAI_API_KEY"), "{reason}");
    }

    #[test]
    fn example_command_names_the_key_and_hides_its_value() {
        let text = r#"
[auth]
sources = ["header:x-api-key"]
[[providers]]
id   = "openai"
keys = ["secret:A_TEST_OPENAI_KEY"]
[[routes]]
id      = "chat"
models  = ["gpt-4o-*", "gpt-4o"]
targets = [{ provider = "openai" }]
[[consumers]]
id   = "app"
keys = ["secret:A_TEST_APP_KEY"]
"#;
        let document = Document { path: "gateway.toml".into(), text: text.to_owned() };
        let secrets = Secrets::only(&[("A_TEST_OPENAI_KEY", "sk-1"), ("A_TEST_APP_KEY", "app-1")]);
        let config = validate(&document, &secrets).expect("the document is valid");
        let text = example_command("http://127.0.0.1:8787", &document, &config);
        assert!(text.contains("-H \"x-api-key: $A_TEST_APP_KEY\""), "{text}");
        assert!(
            text.contains("where A_TEST_APP_KEY is set") && text.contains("\"model\":\"gpt-4o\""),
            "{text}"
        );
        assert!(!text.contains("app-1") && !text.contains("sk-1"), "{text}");
    }
}

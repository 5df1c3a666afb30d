//! Losses of a translation: collected if permitted, an error otherwise.

use std::fmt;

use super::object::is_same;
use super::rules::{Feature, Loss};
use super::target::{Options, SamplingPolicy, UnknownPolicy};
use crate::model::{Leftover, Place, Protocol};

/// Maximum number of reported paths.
const MAX_SHED_PATHS: usize = 64;
/// Maximum number of characters of a reported path.
const MAX_PATH_LENGTH: usize = 128;

/// Member that the target's protocol cannot express.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untranslatable {
    /// JSON path in the caller's body.
    pub path: String,
    /// Path without positions, by which a route permits the loss.
    pub lossy_path: String,
    /// Protocol of the target.
    pub target: Protocol,
    /// Reason.
    pub reason: &'static str,
    /// Remedy, besides another target and a permitted loss. Empty if there is none.
    pub remedy: &'static str,
}

impl fmt::Display for Untranslatable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, lossy_path, target, reason, remedy } = self;
        write!(f, "The field '{path}' cannot be translated to {}: {reason}. ", target.name())?;
        if !remedy.is_empty() {
            write!(f, "{remedy}, or use")?;
        } else {
            f.write_str("Use")?;
        }
        write!(
            f,
            " a route with another target, or permit the loss with lossy = [\"{lossy_path}\"]."
        )
    }
}

impl std::error::Error for Untranslatable {}

/// Result of a step of a writer.
pub(super) type Written<T = ()> = Result<T, Untranslatable>;

/// Collector of losses.
pub(super) struct Report<'o> {
    options: &'o Options<'o>,
    source: Protocol,
    target: Protocol,
    shed: Vec<String>,
    is_lossy: bool,
    /// Values of a view that the body's protocol has no place for: JSON values with commas between them.
    unread: String,
}

impl<'o> Report<'o> {
    pub(super) fn new(options: &'o Options<'o>, source: Protocol, target: Protocol) -> Self {
        Self { options, source, target, shed: Vec::new(), is_lossy: false, unread: String::new() }
    }

    /// Returns the shed paths, and whether a permitted loss changes the meaning.
    pub(super) fn into_losses(self) -> (Vec<String>, bool) {
        (self.shed, self.is_lossy)
    }

    /// Whether the body is only read by the gateway.
    pub(super) fn is_view(&self) -> bool {
        self.options.is_view
    }

    /// Keeps a value with text, if the body is only read: the gateway must see every text.
    pub(super) fn keep_unread(&mut self, raw: &str) {
        if self.is_view() && raw.contains('"') {
            self.is_lossy = true;
            if !self.unread.is_empty() {
                self.unread.push(',');
            }
            self.unread.push_str(raw);
        }
    }

    /// Returns the kept values as a JSON array. `None` if there are none.
    pub(super) fn take_unread(&mut self) -> Option<String> {
        let unread = std::mem::take(&mut self.unread);
        (!unread.is_empty()).then(|| format!("[{unread}]"))
    }

    /// Reports that the member `name` of `place` is left out.
    pub(super) fn shed(&mut self, place: Place, name: &str) {
        self.shed_path(clip(place.key_to(name)));
    }

    fn shed_path(&mut self, path: String) {
        if self.shed.len() < MAX_SHED_PATHS && !self.shed.contains(&path) {
            self.shed.push(path);
        }
    }

    /// Refuses the object at `place`, unless the route permits the loss of `name` in it.
    pub(super) fn refuse(
        &mut self,
        place: Place,
        name: &str,
        reason: &'static str,
        remedy: &'static str,
    ) -> Written {
        self.refuse_at(place.path_to(""), clip(place.key_to(name)), reason, remedy)
    }

    /// Refuses the member `name` of `place`, unless the route permits its loss.
    pub(super) fn refuse_member(
        &mut self,
        place: Place,
        name: &str,
        reason: &'static str,
        remedy: &'static str,
    ) -> Written {
        self.refuse_at(clip(place.path_to(name)), clip(place.key_to(name)), reason, remedy)
    }

    fn refuse_at(
        &mut self,
        path: String,
        lossy_path: String,
        reason: &'static str,
        remedy: &'static str,
    ) -> Written {
        if self.options.is_view || self.permits(&lossy_path) {
            self.is_lossy = true;
            self.shed_path(lossy_path);
            return Ok(());
        }
        Err(Untranslatable { path, lossy_path, target: self.target, reason, remedy })
    }

    /// Whether a route permits the loss of a path or of an object around it.
    fn permits(&self, path: &str) -> bool {
        self.options.lossy.iter().any(|lossy| {
            path.strip_prefix(lossy.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    }

    /// Decides on a feature of the caller's request by its rule. Returns whether it is carried.
    pub(super) fn carries(&mut self, feature: Feature) -> Written<bool> {
        let rule = feature.rule();
        let loss = rule.losses[self.target.column()];
        if matches!(loss, Loss::None) {
            return Ok(true);
        }
        self.lose(feature, loss)?;
        Ok(false)
    }

    /// Loses a feature that this target lacks, though its protocol may have it.
    pub(super) fn lose(&mut self, feature: Feature, loss: Loss) -> Written {
        let rule = feature.rule();
        let path = rule.paths[self.source.column()];
        match loss {
            Loss::None => Ok(()),
            Loss::Shed | Loss::ShedUnless(_) => {
                self.shed(Place::ROOT, path);
                Ok(())
            }
            Loss::Sampling if self.options.sampling == SamplingPolicy::Shed => {
                self.shed(Place::ROOT, path);
                Ok(())
            }
            Loss::Refuse | Loss::Sampling | Loss::RefuseUnless(_) => {
                self.refuse_member(Place::ROOT, path, rule.reason, rule.remedy)
            }
        }
    }

    /// Decides on a leftover that is not carried.
    pub(super) fn lose_leftover(&mut self, leftover: &Leftover<'_>) -> Written {
        let Leftover { place, name, raw, rule } = leftover;
        if self.is_view() {
            self.keep_unread(raw);
            return Ok(());
        }
        let Some(rule) = rule else {
            if self.options.unknown == UnknownPolicy::Shed {
                self.shed(*place, name);
                return Ok(());
            }
            let reason = "the gateway does not know it";
            return self.refuse_member(*place, name, reason, "Leave it out");
        };
        let is_harmless = match rule.loss {
            Loss::RefuseUnless(values) | Loss::ShedUnless(values) => {
                values.iter().any(|value| is_same(raw, value))
            }
            Loss::Shed => is_same(raw, "[]") || is_same(raw, "{}"),
            Loss::None | Loss::Refuse | Loss::Sampling => false,
        };
        match rule.loss {
            Loss::None => Ok(()),
            _ if is_harmless => Ok(()),
            Loss::Sampling if self.options.sampling == SamplingPolicy::Refuse => {
                self.refuse_leftover(leftover, rule.remedy)
            }
            Loss::Shed | Loss::ShedUnless(_) | Loss::Sampling => {
                self.shed(*place, name);
                Ok(())
            }
            Loss::Refuse | Loss::RefuseUnless(_) => self.refuse_leftover(leftover, rule.remedy),
        }
    }

    fn refuse_leftover(&mut self, leftover: &Leftover<'_>, remedy: &'static str) -> Written {
        let reason = "the protocol has no counterpart";
        self.refuse_member(leftover.place, &leftover.name, reason, remedy)
    }
}

/// Bounds a path, since it may contain a name of the caller's.
pub(super) fn clip(path: String) -> String {
    if path.len() <= MAX_PATH_LENGTH && !path.contains(char::is_control) {
        return path;
    }
    let letters = path.chars().filter(|letter| !letter.is_control());
    letters.take(MAX_PATH_LENGTH).collect()
}

//! Commands of operators.

use civil_time::Timestamp;
use serde::{Deserialize, Serialize};

use super::state::{Phase, Rollout};
use super::transition::Action;

/// Change by an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Stops the growth of the share; a rollback stays possible.
    Pause,
    /// Ends a pause or a pin, or gives an undecided rollout its time again.
    Resume,
    /// Gives the canary its last share.
    Promote,
    /// Takes the canary's share away.
    Rollback,
    /// Sets the share in percent; nothing is decided automatically until `resume`.
    Pin(u8),
    /// Starts the rollout anew.
    Restart,
}

impl Command {
    /// The transition that it makes.
    pub fn action(self) -> Action {
        match self {
            Self::Pause => Action::Pause,
            Self::Resume => Action::Resume,
            Self::Promote => Action::Promote,
            Self::Rollback => Action::Rollback,
            Self::Pin(_) => Action::Pin,
            Self::Restart => Action::Restart,
        }
    }
}

/// Reason why a command changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refused {
    /// The state has this version.
    OtherVersion(u64),
    /// The command has no meaning in the state; the text has the remedy.
    NotNow(String),
}

impl Rollout {
    pub(crate) fn command(
        &mut self,
        command: Command,
        by: &str,
        reason: &str,
        now: Timestamp,
    ) -> Result<(), Refused> {
        let before = self.weight();
        let is_over = matches!(self.phase, Phase::Promoted | Phase::RolledBack);
        let over = || {
            let phase = self.phase.name();
            Err(Refused::NotNow(format!("The rollout is {phase}: restart it first.")))
        };
        match command {
            Command::Pause if is_over => return over(),
            Command::Pause if self.is_paused => {
                return Err(Refused::NotNow("The rollout is paused already.".to_owned()));
            }
            Command::Pause => {
                self.is_paused = true;
            }
            Command::Resume if is_over => return over(),
            Command::Resume => {
                let is_undecided = self.phase == Phase::Undecided;
                if !self.is_paused && self.pinned.is_none() && !is_undecided {
                    let text = "The rollout is neither paused nor pinned nor undecided.";
                    return Err(Refused::NotNow(text.to_owned()));
                }
                if is_undecided {
                    self.began = now;
                }
                (self.is_paused, self.pinned, self.phase) = (false, None, Phase::Step);
                self.begin_step(now);
            }
            Command::Promote => {
                (self.is_paused, self.pinned, self.phase) = (false, None, Phase::Promoted);
                self.step = self.plan.last_step();
                self.begin_step(now);
            }
            Command::Rollback => {
                self.roll_back(now);
            }
            Command::Pin(_) if is_over => return over(),
            Command::Pin(weight) if weight > 100 => {
                return Err(Refused::NotNow("`weight` is at most 100 percent.".to_owned()));
            }
            Command::Pin(weight) => {
                self.pinned = Some(weight);
                self.begin_step(now);
            }
            Command::Restart => {
                let plan = self.plan.clone();
                self.restart(&plan, now);
            }
        }
        self.record(command.action(), by, reason, before, now);
        Ok(())
    }

    pub(crate) fn roll_back(&mut self, now: Timestamp) {
        (self.is_paused, self.pinned, self.phase) = (false, None, Phase::RolledBack);
        self.begin_step(now);
    }
}

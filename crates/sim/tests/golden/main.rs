//! Golden tests: what serin stores and sends, byte for byte.
//!
//! The expected files are a contract: configuration fields, stored bytes, operations of the ledger,
//! records, metrics, error codes and headers do not change with the names of the code. Sentences for
//! people are masked, since they may be improved. `SERIN_BLESS=1 cargo test -p sim --test golden`
//! writes the files anew, which only a change of the contract may do.

mod admin;
mod data_plane;
mod golden;
mod host;
mod ledger;
mod otlp;
mod providers;
mod scenarios;
mod show;
mod stage;

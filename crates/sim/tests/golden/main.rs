//! Golden tests: the bytes that serin stores, sends and logs.
//!
//! The expected files are a contract. Renaming code must not change configuration fields, stored bytes,
//! ledger operations, records, metrics, error codes or headers. Error sentences, help texts and
//! descriptions are masked. `SERIN_BLESS=1 cargo test -p sim --test golden` rewrites the files, after a
//! deliberate change of the contract only.

mod admin;
mod data_plane;
mod fixture;
mod golden;
mod host;
mod ledger;
mod openapi;
mod otlp;
mod providers;
mod scenarios;
mod show;

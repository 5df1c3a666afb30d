//! The two edges as a test's argument, and a macro that runs each test function on both.

use std::path::Path;

use anyhow::Context;

use crate::component::Wasmtime;
use crate::edge::{App, Edge};
use crate::workerd::Workerd;

/// Kind of edge to start.
#[derive(Clone, Copy, Debug)]
pub enum EdgeKind {
    /// The Worker in workerd.
    Cloudflare,
    /// The component in wasmtime.
    Spin,
}

impl EdgeKind {
    /// Its name, as in [`Edge::name`].
    pub fn name(self) -> &'static str {
        match self {
            Self::Cloudflare => "cloudflare",
            Self::Spin => "spin",
        }
    }

    /// Serves apps. Their state is in a directory, or in memory if `None`.
    pub async fn start(
        self,
        apps: Vec<App>,
        state: Option<&Path>,
    ) -> anyhow::Result<Box<dyn Edge + Send>> {
        let state = state.map(Path::to_owned);
        // Starting blocks, and one of the edges has its own runtime.
        let start = move || -> anyhow::Result<Box<dyn Edge + Send>> {
            Ok(match self {
                Self::Cloudflare => Box::new(Workerd::start(&apps, state.as_deref())?),
                Self::Spin => Box::new(Wasmtime::start(&apps, state.as_deref())?),
            })
        };
        let edge = tokio::task::spawn_blocking(start).await?;
        edge.context("build both artifacts first: `cargo xtask test`")
    }
}

/// Generates a test on both edges for each listed `async fn(EdgeKind) -> anyhow::Result<()>` of the
/// module.
#[macro_export]
macro_rules! test_on_both_edges {
    ($($test:ident,)*) => {
        mod cloudflare {
            $(#[tokio::test]
            async fn $test() -> anyhow::Result<()> {
                super::$test($crate::edge_kind::EdgeKind::Cloudflare).await
            })*
        }

        mod spin_component {
            $(#[tokio::test]
            async fn $test() -> anyhow::Result<()> {
                super::$test($crate::edge_kind::EdgeKind::Spin).await
            })*
        }
    };
}

//! The two edges as something that a test is handed, and a macro that makes each promise a test on both.

use std::path::Path;

use crate::component::Wasmtime;
use crate::edge::{App, Edge};
use crate::workerd::Workerd;

/// An edge to be started.
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

    /// Serves apps, whose state is kept in a directory or forgotten. It blocks.
    pub fn start(self, apps: &[App], state: Option<&Path>) -> anyhow::Result<Box<dyn Edge + Send>> {
        Ok(match self {
            Self::Cloudflare => Box::new(Workerd::start(apps, state)?),
            Self::Spin => Box::new(Wasmtime::start(apps, state)?),
        })
    }
}

/// Makes each promise, an `async fn(EdgeKind) -> anyhow::Result<()>` beside it, a test on both edges.
#[macro_export]
macro_rules! kept_by_both {
    ($($promise:ident,)*) => {
        mod cloudflare {
            $(#[tokio::test]
            async fn $promise() -> anyhow::Result<()> {
                super::$promise($crate::edge_kind::EdgeKind::Cloudflare).await
            })*
        }

        mod spin_component {
            $(#[tokio::test]
            async fn $promise() -> anyhow::Result<()> {
                super::$promise($crate::edge_kind::EdgeKind::Spin).await
            })*
        }
    };
}

//! The rows of the table: each breaks something, again and again, and says what came of the calls meanwhile.

use crate::{
    judge::{Finding, Promise},
    mesh::Mesh,
    plan::Plan,
};
use futures_util::future::LocalBoxFuture;

/// How a row is run.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    /// The row's name.
    pub(crate) row: &'static str,
    /// How often the fault happens.
    pub(crate) repeats: u32,
    /// Calls, or events, a second.
    pub(crate) rate: u64,
    /// Is this the long run?
    pub(crate) full: bool,
    pub(crate) seed: u64,
}

/// A kind of fault.
pub(crate) struct Row {
    /// By which it is chosen.
    pub(crate) name: &'static str,
    /// What happens.
    pub(crate) fault: &'static str,
    /// How often, in the short and in the full run. A row without repeats is left out of the short run.
    pub(crate) repeats: (u32, u32),
    /// Calls a second in the full run, where it is not the usual number.
    pub(crate) rate: Option<u64>,
    pub(crate) run: fn(Setting) -> LocalBoxFuture<'static, Finding>,
}

/// All rows, in the order of the table.
pub(crate) fn all() -> Vec<Row> {
    [
        crate::control::rows(),
        crate::deaths::rows(),
        crate::quiet::rows(),
        crate::javascript::rows(),
        crate::restarts::rows(),
        crate::outages::rows(),
        crate::damage::rows(),
        crate::kinds::rows(),
        crate::links::rows(),
        crate::boundaries::rows(),
        crate::rights::rows(),
        crate::rest::rows(),
        crate::events::rows(),
        crate::answered::rows(),
        crate::gateways::rows(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A row of the usual kind: calls of all kinds by one node while `fault` happens, and a mesh that is whole again before
/// it happens once more.
pub(crate) async fn usual(
    setting: Setting,
    plan: Plan,
    promise: Promise,
    mut fault: impl AsyncFnMut(&mut Mesh),
) -> Finding {
    let mut mesh = Mesh::start(&setting, plan).await;
    let load = mesh.load();
    mesh.recovers(&load).await;
    for _ in 0..setting.repeats {
        fault(&mut mesh).await;
        mesh.recovers(&load).await;
    }
    mesh.finish(load, promise).await
}

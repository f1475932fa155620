//! The methods of a service that its hooks guard from unknown callers, and the check whether a caller is one.
//!
//! Refusals of what a service does not offer, or does not read, tell the caller something about it. So the hooks that identify
//! callers run first, where all methods have one, or the one that is called.

use crate::{
    Answer, Call, Descriptor, Method, Result,
    hooks::{Hooks, Reach, guard, hidden::Hidden, hook::Chain},
    service::Dispatch,
};
use futures_core::future::BoxFuture;
use serde_json::{Map, Value};
use std::{collections::BTreeMap, future::ready, sync::Arc};

/// The option by which a node announces it. Not a field of its own, which nodes of older builds would not read past.
const OPTION: &str = "rachis:guarded";

/// The method by which another node is asked. No service can offer it, so one that does not know the question answers
/// `MethodNotAllowed`, as one does that knows the caller. The name of the method that is meant goes along as data.
pub const QUESTION: Method = Method::custom("");

/// The methods with a hook that identifies callers, each with whether nothing else runs before.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Guarded(BTreeMap<Method, bool>);

impl Guarded {
    /// Those of `methods` that the hooks of these levels guard.
    pub fn by(levels: &[&Hooks], methods: &[Method]) -> Self {
        let guarded = |method: &Method| guard(levels, method, Reach::LastIdentifying).map(|guard| guard.is_first);
        Guarded(methods.iter().filter_map(|method| Some((method.clone(), guarded(method)?))).collect())
    }

    /// Those of a remote service, which its own node guards, or the hooks that this one puts around it.
    pub fn of_remote(levels: &[&Hooks], descriptor: &Descriptor) -> Self {
        let there = Guarded::announced(descriptor);
        let Guarded(mut methods) = Guarded::by(levels, &descriptor.methods);
        for (method, is_first) in there.0 {
            let is_first = is_first && guard(levels, &method, Reach::All).is_none_or(|guard| guard.is_first);
            methods.insert(method, is_first);
        }
        Guarded(methods)
    }

    /// Those that a descriptor tells of; none for that of an older build.
    pub fn announced(descriptor: &Descriptor) -> Self {
        let told = descriptor.options.get(OPTION).and_then(Value::as_object);
        let methods =
            told.into_iter().flatten().map(|(name, first)| (name.as_str().into(), *first == Value::Bool(true)));
        Guarded(methods.filter(|(method, _)| descriptor.methods.contains(method)).collect())
    }

    /// Writes those that a descriptor offers into its options.
    pub fn announce(&self, descriptor: &mut Descriptor) {
        descriptor.options.shift_remove(OPTION);
        let offered = self.0.iter().filter(|(method, _)| descriptor.methods.contains(method));
        let told: Map<String, Value> =
            offered.map(|(method, is_first)| (method.name().to_owned(), Value::Bool(*is_first))).collect();
        if !told.is_empty() {
            descriptor.options.insert(OPTION.to_owned(), Value::Object(told));
        }
    }

    /// Returns `true` if an unknown caller can not call `method`, or, with `None`, nothing of what `descriptor` offers.
    pub fn covers(&self, method: Option<&Method>, descriptor: &Descriptor) -> bool {
        match method {
            Some(method) => self.0.contains_key(method),
            None => descriptor.methods.iter().all(|method| self.0.contains_key(method)),
        }
    }

    /// Returns `true` if nothing runs before the hook of `method` that identifies callers, so that it may run before all else.
    pub fn is_first(&self, method: &Method) -> bool {
        self.0.get(method).is_some_and(|is_first| *is_first)
    }
}

/// Runs the hooks of these levels for the caller in `call`, with [`QUESTION`] as method for what is not offered; then, if they
/// do not refuse, `further`. `hooks_of` is a method that has the hooks.
///
/// # Errors
/// What the hooks, or `further`, refuse it with.
pub async fn ask(
    levels: &[&Hooks],
    hooks_of: &Method,
    call: Box<Call>,
    further: Option<Arc<dyn Dispatch>>,
) -> Result<()> {
    let reach = if further.is_some() { Reach::All } else { Reach::LastIdentifying };
    let hooks = guard(levels, hooks_of, reach).map(|guard| guard.hooks).unwrap_or_default();
    let end = further.map_or_else(|| Arc::new(Admitted) as Arc<dyn Dispatch>, |node| Arc::new(Elsewhere(node)));
    Chain::new(hooks, Hidden::default(), end).run(call).await.map(drop)
}

/// The method that a question of another node is about, if it is one that `descriptor` offers.
pub fn meant(call: &Call, descriptor: &Descriptor) -> Option<Method> {
    let method = call.data.as_str().filter(|_| call.method == QUESTION).map(Method::from)?;
    descriptor.methods.contains(&method).then_some(method)
}

/// Stands where the method would: nothing is run.
struct Admitted;

impl Dispatch for Admitted {
    fn dispatch(&self, _: Box<Call>) -> BoxFuture<'_, Result<Answer>> {
        Box::pin(ready(Ok(Answer::default())))
    }

    fn fires_events(&self) -> bool {
        false
    }
}

/// Puts the question to the node that has the service.
struct Elsewhere(Arc<dyn Dispatch>);

impl Dispatch for Elsewhere {
    fn dispatch(&self, call: Box<Call>) -> BoxFuture<'_, Result<Answer>> {
        let meant = if call.method == QUESTION { Value::Null } else { call.method.name().into() };
        self.0.dispatch(Box::new(Call { method: QUESTION, id: None, data: meant, ..*call }))
    }

    fn fires_events(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{App, MemoryService, Params, ServiceExt};

    fn descriptor(options: serde_json::Value) -> Descriptor {
        let app = App::new().register("notes", MemoryService::new().methods([Method::Find, Method::Create]));
        Descriptor { options: options.as_object().cloned().unwrap_or_default(), ..app.descriptor("notes").unwrap() }
    }

    #[test]
    fn what_is_guarded_is_told_among_the_options_and_what_is_not_or_is_no_method_is_not() {
        let guarded = Guarded([(Method::Create, true), (Method::Find, false), (Method::Remove, true)].into());
        let mut told = descriptor(serde_json::json!({ "own": 1 }));
        guarded.announce(&mut told);
        assert_eq!(
            told.options,
            *serde_json::json!({ "own": 1, OPTION: { "create": true, "find": false } }).as_object().unwrap()
        );
        let heard = Guarded::announced(&told);
        assert!(heard.covers(None, &told) && heard.is_first(&Method::Create) && !heard.is_first(&Method::Find));
        Guarded::default().announce(&mut told);
        assert_eq!(told, descriptor(serde_json::json!({ "own": 1 })));
    }

    #[test]
    fn a_node_that_tells_nothing_or_nonsense_guards_nothing() {
        for options in
            [serde_json::json!({}), serde_json::json!({ OPTION: true }), serde_json::json!({ OPTION: { "x": true } })]
        {
            let told = descriptor(options);
            let heard = Guarded::announced(&told);
            assert!(!heard.covers(None, &told) && !heard.covers(Some(&Method::Find), &told));
        }
    }

    #[tokio::test]
    async fn a_service_that_guards_nothing_answers_the_question_as_one_that_does_not_know_it() {
        let app = App::new().register("notes", MemoryService::new());
        let client = Params::default().with_provider("rest");
        let error = app.service("notes").custom("", Value::Null).params(client).await.unwrap_err();
        assert_eq!(error.code(), 405);
    }
}

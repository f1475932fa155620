//! A service of JavaScript, as Rust sees it.

use crate::{
    mailbox::Post,
    message::{AnswerMessage, CallMessage, EventMessage, HttpMessage, Number, ServiceMessage, ToJs},
    params,
};
use rachis::{Answer, BoxFuture, Call, Descriptor, DynService, Error, Http, Method, Registration, Result};
use std::sync::Weak;

/// Asks JavaScript.
pub(crate) struct JsService {
    node: Number,
    post: Weak<Post>,
    descriptor: Descriptor,
}

impl JsService {
    /// The registration of a service of `node`.
    pub(crate) fn registration(node: Number, post: Weak<Post>, service: ServiceMessage) -> Registration {
        let descriptor = Descriptor {
            events: service.events.clone(),
            idempotent: service.idempotent.iter().map(|method| Method::from(method.as_str())).collect(),
            options: service.options.clone(),
            ..Descriptor::new(service.methods.iter().map(String::as_str))
        };
        let names: Vec<String> = service.options.keys().cloned().collect();
        Registration::dynamic(JsService { node, post, descriptor })
            .distributed_options(names)
            .distributed_methods(service.methods)
            .distributed_events(service.events)
    }
}

impl DynService for JsService {
    fn descriptor(&self) -> Descriptor {
        self.descriptor.clone()
    }

    fn call(&self, call: Call) -> BoxFuture<'_, Result<Answer>> {
        Box::pin(async move {
            let gone = || Error::unavailable("The thread of this service has ended");
            let post = self.post.upgrade().ok_or_else(gone)?;
            let message = CallMessage {
                path: call.path,
                method: call.method.name().to_owned(),
                id: call.id.map_or(serde_json::Value::Null, Into::into),
                data: call.data,
                params: params::to_js(call.params),
                timeout: call.timeout.map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX)),
            };
            let (number, answer) = post.incoming.add();
            let _forget = Forget { service: self, number };
            post.push(&ToJs::Call { number, node: self.node, call: message });
            drop(post);
            let (answer, events) = answer.await.map_err(|_| gone())?;
            // Here, and not when JavaScript said so: the reply waits for what is fired while its call is polled.
            events.into_iter().for_each(|event| self.fire(event));
            answer
        })
    }
}

impl JsService {
    fn fire(&self, event: EventMessage) {
        // Another service of the app may have fired it on behalf of this one's call.
        let post = self.post.upgrade();
        if let Some(member) = post.and_then(|post| post.member(self.node)) {
            member.emit(event);
        }
    }
}

/// Takes a call back that nobody waits for any more.
struct Forget<'a> {
    service: &'a JsService,
    number: Number,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        if let Some(post) = self.service.post.upgrade() {
            post.incoming.forget(self.number).into_iter().for_each(|event| self.service.fire(event));
        }
    }
}

impl From<AnswerMessage> for Answer {
    fn from(message: AnswerMessage) -> Self {
        let http = message.http.unwrap_or_default();
        Answer {
            result: message.result,
            dispatch: message.dispatch.into_iter().next(),
            http: Http { status: http.status, headers: http.headers, location: http.location },
        }
    }
}

impl From<Answer> for AnswerMessage {
    fn from(answer: Answer) -> Self {
        let has_http = !answer.http.is_empty();
        let http =
            HttpMessage { status: answer.http.status, headers: answer.http.headers, location: answer.http.location };
        let http = has_http.then_some(http);
        AnswerMessage { result: answer.result, dispatch: Vec::from_iter(answer.dispatch), http }
    }
}

//! Custom methods as functions.

#[cfg(feature = "schema")]
use crate::schema::Schemas;
use crate::{Answer, Call, Error, Handle, Method, Params, Registration, Result, Service, Shape, service::Dispatch};
use futures_core::future::BoxFuture;
use rustc_hash::FxHashMap;
#[cfg(feature = "schema")]
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::{future::Future, sync::Arc};

/// A function that is a custom method of `S`: an `async fn(&S, D, Params) -> Result<R>`, where `D` is read from JSON and
/// `R` is written as JSON.
///
/// It is implemented for all such functions and for nothing else; [`ServiceExt::method`](crate::ServiceExt::method)
/// takes them.
pub trait MethodFn<'a, S: 'a, D, R>: Send + Sync + 'static {
    /// Runs the method.
    fn run(&self, service: &'a S, data: D, params: Params) -> BoxFuture<'a, Result<R>>;
}

impl<'a, S, D, R, F, Fut> MethodFn<'a, S, D, R> for F
where
    S: 'a,
    F: Fn(&'a S, D, Params) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<R>> + Send + 'a,
{
    fn run(&self, service: &'a S, data: D, params: Params) -> BoxFuture<'a, Result<R>> {
        Box::pin(self(service, data, params))
    }
}

type Erased<S> = Arc<dyn for<'a> Fn(&'a S, Value, Params) -> BoxFuture<'a, Result<Value>> + Send + Sync>;

/// A service with custom methods that are functions, as [`ServiceExt::method`](crate::ServiceExt::method) returns it.
pub struct Methods<S> {
    service: S,
    methods: Vec<(String, Erased<S>)>,
    #[cfg(feature = "schema")]
    schemas: Option<Schemas>,
}

impl<S: Service> Methods<S> {
    pub(crate) fn new(service: S) -> Self {
        Methods {
            service,
            methods: Vec::new(),
            #[cfg(feature = "schema")]
            schemas: None,
        }
    }

    /// Adds another custom method; see [`ServiceExt::method`](crate::ServiceExt::method). One of the same name replaces
    /// the earlier one.
    pub fn method<D, R>(mut self, name: &str, method: impl for<'a> MethodFn<'a, S, D, R>) -> Self
    where
        D: DeserializeOwned + Send + 'static,
        R: Serialize + Send + 'static,
    {
        let called = name.to_owned();
        let method = Arc::new(method);
        let erased: Erased<S> = Arc::new(move |service, data, params| {
            let method = method.clone();
            let called = called.clone();
            Box::pin(async move {
                let data = serde_json::from_value(data)
                    .map_err(|error| Error::bad_request(format!("Invalid data for {called}: {error}")))?;
                let result = method.run(service, data, params).await?;
                serde_json::to_value(result)
                    .map_err(|error| Error::general(format!("The result of {called} is no JSON: {error}")))
            })
        });
        self.methods.retain(|(known, _)| known != name);
        self.methods.push((name.to_owned(), erased));
        #[cfg(feature = "schema")]
        {
            self.schemas = self.schemas.map(|schemas| schemas.without(name));
        }
        self
    }

    /// Adds another custom method, described by its types; see
    /// [`ServiceExt::described_method`](crate::ServiceExt::described_method).
    #[cfg(feature = "schema")]
    pub fn described_method<D, R>(self, name: &str, method: impl for<'a> MethodFn<'a, S, D, R>) -> Self
    where
        D: DeserializeOwned + JsonSchema + Send + 'static,
        R: Serialize + JsonSchema + Send + 'static,
    {
        let mut methods = self.method(name, method);
        methods.schemas = Some(methods.schemas.unwrap_or_default().method::<D, R>(name));
        methods
    }
}

impl<S: Service> From<Methods<S>> for Registration {
    fn from(service: Methods<S>) -> Self {
        let mut descriptor = S::static_descriptor();
        for (name, _) in &service.methods {
            let method = Method::from(name.as_str());
            if !descriptor.methods.contains(&method) {
                descriptor.methods.push(method);
            }
        }
        let by_name = service.methods.into_iter().collect();
        let with_methods = WithMethods { service: service.service, by_name };
        #[cfg_attr(not(feature = "schema"), expect(unused_mut, reason = "only schemas are added"))]
        let mut registration = Registration::of(Arc::new(with_methods), descriptor);
        #[cfg(feature = "schema")]
        {
            registration.schemas.clone_from(&service.schemas);
            registration.of_methods = service.schemas;
        }
        registration
    }
}

struct WithMethods<S> {
    service: S,
    by_name: FxHashMap<String, Erased<S>>,
}

impl<S: Service> Dispatch for WithMethods<S> {
    fn dispatch(&self, call: Box<Call>) -> BoxFuture<'_, Result<Answer>> {
        match self.by_name.get(call.method.name()) {
            Some(method) => {
                let answer = method(&self.service, call.data, call.params);
                Box::pin(async move { answer.await.map(Answer::from) })
            }
            None => self.service.dispatch(call),
        }
    }

    fn setup(&self, this: Handle) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.service.setup(this))
    }

    fn teardown(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.service.teardown())
    }

    fn shape(&self) -> Shape {
        self.service.shape()
    }

    fn fires_events(&self) -> bool {
        true
    }
}

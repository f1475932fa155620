//! Rules beyond types: what garde finds in data that was read.

use super::violations::Violations;
use crate::{Handle, Id, Listing, Method, Params, Result, Shape, TypedService};
use garde::{Report, Validate};
use serde_json::Value;

/// A [`TypedService`] whose data keeps the rules of its types, written for [garde](https://docs.rs/garde).
///
/// `Create` and `Patch` are checked once they are read, before the method of the service runs: of those of a `create_many`,
/// each by itself. What breaks a rule is a `BadRequest` with one message for each field in its `errors`, as for a schema; a
/// field is named as in the Rust struct. Where there are schemas as well, they come first.
///
/// ```
/// use garde::Validate;
/// use rachis::{App, Method, Params, Result, Typed, TypedService, schema::Validated};
/// use serde::{Deserialize, Serialize};
/// use serde_json::json;
///
/// #[derive(Deserialize, Validate)]
/// struct Booking {
///     #[garde(range(min = 1))]
///     from: u32,
///     #[garde(custom(after(&self.from)))]
///     to: u32,
/// }
///
/// fn after(from: &u32) -> impl FnOnce(&u32, &()) -> garde::Result + '_ {
///     move |to, _| if to > from { Ok(()) } else { Err(garde::Error::new("is not after `from`")) }
/// }
///
/// #[derive(Serialize)]
/// struct Booked { id: u64 }
///
/// struct Bookings;
///
/// impl TypedService for Bookings {
///     const METHODS: &[Method] = &[Method::Create];
///     type Record = Booked;
///     type Create = Booking;
///     type Patch = Booking;
///
///     async fn create(&self, booking: Booking, _: Params) -> Result<Booked> {
///         Ok(Booked { id: (booking.to - booking.from).into() })
///     }
/// }
///
/// let app = App::new().register("bookings", Typed(Validated(Bookings)));
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let bookings = app.service("bookings");
/// assert_eq!(bookings.create(json!({ "from": 3, "to": 7 })).await?["id"], 4);
/// let error = bookings.create(json!({ "from": 3, "to": 2 })).await.unwrap_err();
/// assert_eq!(error.message(), "Invalid data for create: to: is not after `from`");
/// assert_eq!(error.errors().unwrap(), &json!({ "to": "is not after `from`" }));
/// # Ok::<(), rachis::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Debug, Default)]
pub struct Validated<S>(
    /// The service.
    pub S,
);

/// Checks the rules of what a custom method was given.
///
/// # Errors
/// `BadRequest` with one message for each field in its `errors`.
///
/// ```
/// use garde::Validate;
/// use rachis::{Method, schema::validate};
///
/// #[derive(Validate)]
/// struct Letter {
///     #[garde(length(min = 1))]
///     to: Vec<String>,
/// }
///
/// let error = validate(&Method::custom("send"), &Letter { to: Vec::new() }).unwrap_err();
/// assert_eq!(error.message(), "Invalid data for send: to: length is lower than 1");
/// ```
pub fn validate<T>(method: &Method, data: &T) -> Result<()>
where
    T: Validate<Context: Default>,
{
    validate_each(method, [("", data)])
}

/// Checks several, each with the place in front of its fields: "", or "0." for the first of an array.
fn validate_each<'a, T, P>(method: &Method, data: impl IntoIterator<Item = (P, &'a T)>) -> Result<()>
where
    T: Validate<Context: Default> + 'a,
    P: AsRef<str>,
{
    let mut violations = Violations::default();
    for (place, data) in data {
        if let Err(report) = data.validate() {
            add(&mut violations, &report, place.as_ref());
        }
    }
    violations.into_result("data", method.name())
}

fn add(violations: &mut Violations, report: &Report, place: &str) {
    for (path, error) in report.iter() {
        violations.insert(place, &dotted(&path.to_string()), error.message());
    }
}

/// Turns `lines[0].text` into `lines.0.text`, as fields are named elsewhere.
fn dotted(path: &str) -> String {
    let mut dotted = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('[') {
        let (before, bracket) = rest.split_at(at);
        let index = bracket.trim_start_matches('[').split(']').next().unwrap_or_default();
        dotted.push_str(before);
        let is_index = !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit());
        if is_index && bracket.as_bytes().get(index.len() + 1) == Some(&b']') {
            if !dotted.is_empty() {
                dotted.push('.');
            }
            dotted.push_str(index);
            rest = &bracket[index.len() + 2..];
        } else {
            dotted.push('[');
            rest = &bracket[1..];
        }
    }
    dotted.push_str(rest);
    dotted
}

impl<S> TypedService for Validated<S>
where
    S: TypedService,
    S::Create: Validate<Context: Default> + Sync,
    S::Patch: Validate<Context: Default>,
{
    const METHODS: &'static [Method] = S::METHODS;
    const EVENTS: &'static [&'static str] = S::EVENTS;
    const IDEMPOTENT: &'static [Method] = S::IDEMPOTENT;
    const ID_FIELD: &'static str = S::ID_FIELD;

    type Record = S::Record;
    type Create = S::Create;
    type Patch = S::Patch;

    async fn find(&self, params: Params) -> Result<Listing<S::Record>> {
        self.0.find(params).await
    }

    async fn get(&self, id: Id, params: Params) -> Result<S::Record> {
        self.0.get(id, params).await
    }

    async fn create(&self, data: S::Create, params: Params) -> Result<S::Record> {
        validate(&Method::Create, &data)?;
        self.0.create(data, params).await
    }

    async fn create_many(&self, data: Vec<S::Create>, params: Params) -> Result<Vec<S::Record>> {
        validate_each(&Method::Create, data.iter().enumerate().map(|(at, data)| (format!("{at}."), data)))?;
        self.0.create_many(data, params).await
    }

    async fn update(&self, id: Id, data: S::Create, params: Params) -> Result<S::Record> {
        validate(&Method::Update, &data)?;
        self.0.update(id, data, params).await
    }

    async fn patch(&self, id: Id, data: S::Patch, params: Params) -> Result<S::Record> {
        validate(&Method::Patch, &data)?;
        self.0.patch(id, data, params).await
    }

    async fn patch_many(&self, data: S::Patch, params: Params) -> Result<Vec<S::Record>> {
        validate(&Method::Patch, &data)?;
        self.0.patch_many(data, params).await
    }

    async fn remove(&self, id: Id, params: Params) -> Result<S::Record> {
        self.0.remove(id, params).await
    }

    async fn remove_many(&self, params: Params) -> Result<Vec<S::Record>> {
        self.0.remove_many(params).await
    }

    async fn custom(&self, method: &str, data: Value, params: Params) -> Result<Value> {
        self.0.custom(method, data, params).await
    }

    fn shape(&self) -> Shape {
        self.0.shape()
    }

    async fn setup(&self, this: Handle) -> Result<()> {
        self.0.setup(this).await
    }

    async fn teardown(&self) -> Result<()> {
        self.0.teardown().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{App, Typed};
    use serde::{Deserialize, Serialize};
    use serde_json::json;

    #[derive(Deserialize, Serialize, Validate)]
    struct Line {
        #[garde(length(min = 2))]
        text: String,
    }

    #[derive(Deserialize, Serialize, Validate)]
    struct Order {
        #[garde(length(min = 1), dive)]
        lines: Vec<Line>,
        #[garde(inner(range(max = 9)))]
        count: Option<u8>,
    }

    #[derive(Deserialize, Validate)]
    struct OrderPatch {
        #[garde(range(max = 9))]
        count: u8,
    }

    struct Orders;

    impl TypedService for Orders {
        const METHODS: &'static [Method] = &[Method::Create, Method::Update, Method::Patch];
        type Record = Order;
        type Create = Order;
        type Patch = OrderPatch;

        async fn create(&self, order: Order, _: Params) -> Result<Order> {
            Ok(order)
        }

        async fn create_many(&self, orders: Vec<Order>, _: Params) -> Result<Vec<Order>> {
            Ok(orders)
        }

        async fn update(&self, _: Id, order: Order, _: Params) -> Result<Order> {
            Ok(order)
        }

        async fn patch(&self, _: Id, patch: OrderPatch, _: Params) -> Result<Order> {
            Ok(Order { lines: Vec::new(), count: Some(patch.count) })
        }

        async fn patch_many(&self, _: OrderPatch, _: Params) -> Result<Vec<Order>> {
            Ok(Vec::new())
        }
    }

    fn orders() -> crate::Handle {
        App::new().register("orders", Typed(Validated(Orders))).service("orders")
    }

    #[tokio::test]
    async fn each_broken_rule_is_told_by_its_field() {
        let bad = json!({ "lines": [{ "text": "ok" }, { "text": "x" }], "count": 12 });
        let told = json!({ "lines.1.text": "length is lower than 2", "count": "greater than 9" });
        for error in
            [orders().create(bad.clone()).await.unwrap_err(), orders().update(1, bad.clone()).await.unwrap_err()]
        {
            assert_eq!((error.code(), error.errors()), (400, Some(&told)), "{error}");
        }
        let good = json!({ "lines": [{ "text": "ok" }], "count": null });
        assert_eq!(orders().create(good.clone()).await.unwrap(), good);
        let error = orders().create(json!([good, bad])).await.unwrap_err();
        let told = json!({ "1.lines.1.text": "length is lower than 2", "1.count": "greater than 9" });
        assert_eq!(error.errors(), Some(&told), "{error}");
    }

    #[tokio::test]
    async fn a_patch_of_one_or_of_many_keeps_the_rules_as_well() {
        let told = json!({ "count": "greater than 9" });
        let one = orders().patch(1, json!({ "count": 10 })).await.unwrap_err();
        let many = orders().patch_many(json!({ "count": 10 })).await.unwrap_err();
        assert_eq!((one.errors(), many.errors()), (Some(&told), Some(&told)));
        assert_eq!(orders().patch(1, json!({ "count": 9 })).await.unwrap()["count"], 9);
    }

    #[test]
    fn a_path_of_garde_is_written_with_dots() {
        for (path, written) in [
            ("a", "a"),
            ("a[0].b", "a.0.b"),
            ("[3]", "3"),
            ("a[0][12].c[1]", "a.0.12.c.1"),
            ("a[b].c", "a[b].c"),
            ("a[", "a["),
            ("a[]", "a[]"),
            ("", ""),
        ] {
            assert_eq!(dotted(path), written, "{path}");
        }
    }
}

//! A service that keeps its records in memory.

mod options;
mod records;
mod store;
mod unique;

pub use options::{Multi, Options};

use crate::{
    Error, Id, Method, Paginate, Params, Result, Service, Shape, lock,
    query::{Evaluation, Filter, Select},
};
use records::Record;
use serde_json::Value;
use std::{
    fmt,
    sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard},
};
use store::Store;

/// A complete service over a store in memory: for prototypes, tests and small data. Cheap to clone: clones share the store.
///
/// It behaves as Feathers' memory adapter. [`Filter`] says what queries may ask; the query also restricts `get`,
/// `update`, `patch` and `remove` of one record, and `$select` works on every method. Several records at once take
/// [`multi`](MemoryService::multi); `patch` and `remove` of several ignore `$limit`, `$skip` and pagination.
///
/// Where it differs on purpose: a `create` with an id that exists is a `Conflict` instead of a silent overwrite, and of
/// several records either all are created or none; records keep the order of their creation whatever their ids; an
/// id of `0` is an id; a record that an `update` takes out of its own query is still returned.
///
/// A query of many conditions over many records is answered on a thread of its own, from the records as they were when it
/// came, so that it holds up no other call; it ends when its caller has gone. [`Limits`](crate::query::Limits) bound how broad a
/// query may be.
///
/// A server-side hook may change pagination and `multi` for one call, by `params.extra`:
///
/// ```
/// use rachis::{App, MemoryService, Params};
/// use serde_json::json;
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let store = MemoryService::new().start_id(1).paginate(1, 10).records([json!({ "name": "Ada" }), json!({ "name": "Bo" })]);
/// let people = App::new().register("people", store.clone()).service("people");
///
/// let page = people.find().query(json!({ "$sort": { "name": -1 } })).await?;
/// assert_eq!(page, json!({ "total": 2, "limit": 1, "skip": 0, "data": [{ "id": 2, "name": "Bo" }] }));
///
/// let mut params = Params::default();
/// params.extra.insert("paginate".into(), false.into());
/// params.extra.insert("adapter".into(), json!({ "multi": ["remove"] }));
/// assert_eq!(people.find().params(params.clone()).await?.as_array().map(Vec::len), Some(2));
/// people.remove_many().params(params).await?;
/// assert!(store.is_empty());
/// # Ok::<(), rachis::Error>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct MemoryService {
    store: Arc<RwLock<Store>>,
    options: Options,
}

impl Default for MemoryService {
    fn default() -> Self {
        MemoryService::new()
    }
}

impl MemoryService {
    /// An empty store: id field `id`, ids from 0, no pagination, one record at a time.
    pub fn new() -> Self {
        MemoryService { store: Arc::new(RwLock::new(Store::new())), options: Options::default() }
    }

    /// Names the field that holds the id, instead of `id`.
    ///
    /// # Panics
    /// When there are records already, since they have their ids elsewhere.
    #[track_caller]
    pub fn id_field(self, name: &str) -> Self {
        assert!(self.is_empty(), "name the id field before there are records");
        self.write().set_id_field(name);
        self
    }

    /// Sets the number that the next record without an id gets, instead of 0; taken numbers are passed over.
    ///
    /// An empty store begins again there when its process starts anew, so a reference that outlives it (a token, a link) then
    /// names another record. Keep what is referred to, above all users, in a store that lasts.
    pub fn start_id(self, id: i64) -> Self {
        self.write().set_next_id(id);
        self
    }

    /// Refuses, with `Conflict`, two records with the same value in one of these fields. Records without the field, or with
    /// `null` in it, do not count; text is compared as it is. Of a call for several records either all are done or none.
    ///
    /// ```
    /// use rachis::{App, MemoryService};
    /// use serde_json::json;
    ///
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// let users = App::new().register("users", MemoryService::new().unique(["email"])).service("users");
    /// users.create(json!({ "email": "ada@example.org" })).await?;
    /// let error = users.create(json!({ "email": "ada@example.org" })).await.unwrap_err();
    /// assert_eq!((error.code(), error.message()), (409, "Another record has the same 'email'"));
    /// # Ok::<(), rachis::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Panics
    /// When there are records already, which were not compared.
    #[track_caller]
    pub fn unique(self, fields: impl IntoIterator<Item = impl Into<String>>) -> Self {
        assert!(self.is_empty(), "name the unique fields before there are records");
        self.write().set_unique(fields.into_iter().map(Into::into));
        self
    }

    /// Allows several records at once: `true` for all of `create`, `patch` and `remove`, or a list of these.
    pub fn multi(mut self, multi: impl Into<Multi>) -> Self {
        self.options.multi = multi.into();
        self
    }

    /// Returns pages from `find`: of `default` records, or as many as `$limit` says, but never more than `max`.
    pub fn paginate(mut self, default: u64, max: u64) -> Self {
        self.options.paginate = Some(Paginate { default, max: Some(max) });
        self
    }

    /// Fills the store; set [`id_field`](MemoryService::id_field), [`start_id`](MemoryService::start_id) and
    /// [`unique`](MemoryService::unique) first.
    ///
    /// # Panics
    /// When one is no JSON object, or an id or a unique value comes twice: contradictions in a program's own set-up.
    #[track_caller]
    pub fn records(self, records: impl IntoIterator<Item = Value>) -> Self {
        let added = records.into_iter().map(|record| object(Method::Create, record)).collect::<Result<_>>();
        if let Err(error) = added.and_then(|records| self.write().insert_all(records)) {
            panic!("{}", error.message());
        }
        self
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.read().len()
    }

    /// Returns `true` if there are no records.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    // No code that runs under the lock panics halfway through a change, so a poisoned store is a sound one.
    fn read(&self) -> RwLockReadGuard<'_, Store> {
        lock::read(&self.store)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Store> {
        lock::write(&self.store)
    }

    async fn find_all(&self, params: &Params) -> Result<Value> {
        let filter = Filter::of(params)?;
        let paginate = self.options.paginate(params)?;
        let (records, id) = {
            let store = self.read();
            (store.snapshot(), store.id_field().clone())
        };
        let work = move |query: &Evaluation| {
            let filter = query.filter();
            let all = records.iter().map(|(_, record)| &**record);
            let pick = |records: Vec<&Record>| -> Vec<Value> {
                query.each(records.into_iter()).map(|record| filter.select().pick(record, &id)).collect()
            };
            let Some(paginate) = paginate else { return pick(query.first(all, filter.limit())).into() };
            let limit = paginate.limit(filter.limit());
            let found = query.find(all, limit);
            let total = found.total as u64;
            let limit = limit.unwrap_or(total);
            let skip = filter.skip() as u64;
            // Not through `Page`, which would copy the records a second time.
            let data = Value::Array(pick(found.records));
            [("total", total.into()), ("limit", limit.into()), ("skip", skip.into()), ("data", data)]
                .into_iter()
                .collect()
        };
        filter.evaluate(self.len(), work).await
    }

    /// The records that satisfy the query, as they are at one moment.
    async fn choose(&self, filter: &Filter) -> Result<Vec<(u64, Arc<Record>)>> {
        let records = self.read().snapshot();
        let work = move |query: &Evaluation| {
            let matching = query.each(records.iter()).filter(|(_, record)| query.filter().matches(record));
            matching.map(|(at, record)| (at, record.clone())).collect()
        };
        filter.clone().evaluate(self.len(), work).await
    }

    fn get_now(&self, id: &Id, params: &Params) -> Result<Value> {
        let filter = Filter::of(params)?;
        let store = self.read();
        let (_, record) = store.get(id, &filter)?;
        Ok(filter.select().pick(record, store.id_field()))
    }

    fn create_now(&self, data: Value, params: &Params) -> Result<Value> {
        // The rest of the query means nothing here, whatever it says.
        let select = Select::of(params)?;
        match data {
            Value::Array(items) => {
                self.options.check_multi(Method::Create, params)?;
                let records = items.into_iter().map(|item| object(Method::Create, item)).collect::<Result<_>>()?;
                let mut store = self.write();
                let places = store.insert_all(records)?;
                Ok(places.iter().filter_map(|at| store.at(*at)).map(|new| select.pick(new, store.id_field())).collect())
            }
            data => {
                let mut store = self.write();
                let places = store.insert_all(vec![object(Method::Create, data)?])?;
                let record = places.first().and_then(|at| store.at(*at));
                Ok(record.map(|new| select.pick(new, store.id_field())).unwrap_or_default())
            }
        }
    }

    fn update_now(&self, id: Option<Id>, data: Value, params: &Params) -> Result<Value> {
        let filter = Filter::of(params)?;
        let (Some(id), false) = (id, data.is_array()) else {
            return Err(Error::bad_request("You can not replace multiple instances. Did you mean 'patch'?"));
        };
        let data = object(Method::Update, data)?;
        self.change(&id, &filter, |store, at| store.replace(at, data))
    }

    async fn patch_some(&self, id: Option<Id>, data: Value, params: &Params) -> Result<Value> {
        let filter = Filter::of(params)?;
        if id.is_none() {
            self.options.check_multi(Method::Patch, params)?;
        }
        let data = object(Method::Patch, data)?;
        if let Some(id) = id {
            return self.change(&id, &filter, |store, at| store.merge_all(&[at], &data));
        }
        // Chosen before any is changed, so a patch that takes them out of the query still returns them all.
        let chosen = self.choose(&filter).await?;
        let (changed, id) = {
            let mut store = self.write();
            let places = store.still(chosen, &filter);
            store.merge_all(&places, &data)?;
            let changed: Vec<Arc<Record>> = places.iter().filter_map(|at| store.at(*at).cloned()).collect();
            (changed, store.id_field().clone())
        };
        Ok(changed.iter().map(|new| filter.select().pick(new, &id)).collect())
    }

    /// Changes the one record of that id which satisfies the query, and returns what became of it.
    fn change(&self, id: &Id, filter: &Filter, change: impl FnOnce(&mut Store, u64) -> Result<()>) -> Result<Value> {
        let mut store = self.write();
        let (at, _) = store.get(id, filter)?;
        change(&mut store, at)?;
        Ok(store.at(at).map(|new| filter.select().pick(new, store.id_field())).unwrap_or_default())
    }

    async fn remove_some(&self, id: Option<Id>, params: &Params) -> Result<Value> {
        let filter = Filter::of(params)?;
        let Some(id) = id else {
            self.options.check_multi(Method::Remove, params)?;
            let chosen = self.choose(&filter).await?;
            let (gone, id) = {
                let mut store = self.write();
                let places = store.still(chosen, &filter);
                let gone: Vec<Arc<Record>> = places.into_iter().filter_map(|at| store.remove(at)).collect();
                (gone, store.id_field().clone())
            };
            return Ok(gone.iter().map(|old| filter.select().pick(old, &id)).collect());
        };
        let mut store = self.write();
        let (at, _) = store.get(&id, &filter)?;
        Ok(store.remove(at).map(|old| filter.select().pick(&old, store.id_field())).unwrap_or_default())
    }
}

/// The fields of a record.
///
/// # Errors
/// `BadRequest` for anything but a JSON object.
pub fn object(method: Method, data: Value) -> Result<Record> {
    match data {
        Value::Object(record) => Ok(record),
        _ => Err(Error::bad_request(format!("Invalid data for {method}: a record is a JSON object"))),
    }
}

impl Service for MemoryService {
    const METHODS: &'static [Method] = Method::STANDARD;

    async fn find(&self, params: Params) -> Result<Value> {
        self.find_all(&params).await
    }

    async fn get(&self, id: Id, params: Params) -> Result<Value> {
        self.get_now(&id, &params)
    }

    async fn create(&self, data: Value, params: Params) -> Result<Value> {
        self.create_now(data, &params)
    }

    async fn update(&self, id: Option<Id>, data: Value, params: Params) -> Result<Value> {
        self.update_now(id, data, &params)
    }

    async fn patch(&self, id: Option<Id>, data: Value, params: Params) -> Result<Value> {
        self.patch_some(id, data, &params).await
    }

    async fn remove(&self, id: Option<Id>, params: Params) -> Result<Value> {
        self.remove_some(id, &params).await
    }

    fn shape(&self) -> Shape {
        let shape = Shape::new().multi(self.options.multi.methods.iter().cloned());
        if self.options.paginate.is_some() { shape.pages() } else { shape }
    }
}

impl fmt::Debug for MemoryService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryService").field("records", &self.len()).field("options", &self.options).finish()
    }
}

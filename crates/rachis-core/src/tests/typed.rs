//! Typed services: what fits their types gets through, everything else says why not.

use super::fails;
use crate::{App, Id, Listing, Method, Page, Params, Result, Typed, TypedService};
use serde::{Deserialize, Serialize};
use serde_json::json;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Book {
    id: Id,
    title: String,
}

#[derive(Deserialize)]
struct NewBook {
    title: String,
}

/// Answers with what it was asked.
struct Books;

fn book(id: impl Into<Id>, title: &str) -> Book {
    Book { id: id.into(), title: title.into() }
}

impl TypedService for Books {
    const METHODS: &'static [Method] = Method::STANDARD;
    type Record = Book;
    type Create = NewBook;
    type Patch = Option<String>;

    async fn find(&self, params: Params) -> Result<Listing<Book>> {
        let data = vec![book(1, "one")];
        Ok(if params.query.is_empty() { data.into() } else { Page { total: 9, limit: 1, skip: 0, data }.into() })
    }

    async fn get(&self, id: Id, _: Params) -> Result<Book> {
        Ok(book(id, "got"))
    }

    async fn create(&self, data: NewBook, _: Params) -> Result<Book> {
        Ok(book(1, &data.title))
    }

    async fn create_many(&self, data: Vec<NewBook>, _: Params) -> Result<Vec<Book>> {
        Ok((0..).zip(data).map(|(id, new): (i64, _)| book(id, &new.title)).collect())
    }

    async fn update(&self, id: Id, data: NewBook, _: Params) -> Result<Book> {
        Ok(book(id, &data.title))
    }

    async fn patch(&self, id: Id, data: Option<String>, _: Params) -> Result<Book> {
        Ok(book(id, &data.unwrap_or_default()))
    }
}

fn books() -> crate::Handle {
    App::new().register("books", Typed(Books)).service("books")
}

#[tokio::test]
async fn typed_methods_serve_json() {
    let books = books();
    assert_eq!(books.get(7).await.unwrap(), json!({ "id": 7, "title": "got" }));
    assert_eq!(books.create(json!({ "title": "new" })).json::<Book>().await.unwrap(), book(1, "new"));
    assert_eq!(books.update("x", json!({ "title": "up" })).json::<Book>().await.unwrap(), book("x", "up"));
    assert_eq!(books.patch(2, "p").json::<Book>().await.unwrap(), book(2, "p"));
}

#[tokio::test]
async fn find_returns_a_list_or_a_page() {
    let books = books();
    assert_eq!(books.find().json::<Vec<Book>>().await.unwrap(), [book(1, "one")]);
    let page = books.find().query(json!({ "x": 1 })).json::<Page<Book>>().await.unwrap();
    assert_eq!((page.total, page.data), (9, vec![book(1, "one")]));
    let either = books.find().query(json!({ "x": 1 })).json::<Listing<Book>>().await.unwrap();
    assert_eq!(either.into_records(), [book(1, "one")]);
}

#[tokio::test]
async fn an_array_is_created_through_create_many() {
    let made = books().create(json!([{ "title": "a" }, { "title": "b" }])).json::<Vec<Book>>().await.unwrap();
    assert_eq!(made, [book(0, "a"), book(1, "b")]);
}

#[tokio::test]
async fn data_that_does_not_fit_names_method_and_field() {
    let books = books();
    fails(books.create(json!({})).await, (400, "Invalid data for create: missing field `title`"));
    let error = books.update(1, json!({ "title": 5 })).await.unwrap_err();
    assert!(error.message().starts_with("Invalid data for update: invalid type: integer `5`"), "{error}");
    fails(books.create(json!([{ "title": "a" }, {}])).await, (400, "Invalid data for create: missing field `title`"));
}

#[tokio::test]
async fn methods_for_many_and_missing_ones_are_refused_by_default() {
    let books = books();
    fails(books.patch_many(json!("x")).await, (405, "Can not patch multiple entries"));
    fails(books.remove_many().await, (405, "Can not remove multiple entries"));
    fails(books.remove(1).await, (405, "Method `remove` is not supported by this endpoint."));
    let no_id = books.method(Method::Update).data(json!({ "title": "x" })).await;
    fails(no_id, (400, "You can not replace multiple instances. Did you mean 'patch'?"));
}

#[tokio::test]
async fn a_result_that_is_not_what_the_caller_reads_is_a_bad_gateway() {
    let error = books().get(1).json::<Vec<Book>>().await.unwrap_err();
    assert_eq!(error.code(), 502);
    assert!(error.message().starts_with("get on 'books' returned something else than asked for: "), "{error}");
}

#[tokio::test]
async fn results_are_reduced_to_the_selected_fields_and_the_id() {
    let books = books();
    let only_id = json!({ "$select": ["id"] });
    let no_title = json!({ "$select": ["pages"] });
    assert_eq!(books.get(7).query(&only_id).await.unwrap(), json!({ "id": 7 }));
    assert_eq!(books.get(7).query(json!({ "$select": "title" })).await.unwrap(), json!({ "title": "got", "id": 7 }));
    assert_eq!(books.create(json!({ "title": "new" })).query(&no_title).await.unwrap(), json!({ "id": 1 }));
    assert_eq!(books.create(json!([{ "title": "a" }])).query(&only_id).await.unwrap(), json!([{ "id": 0 }]));
    assert_eq!(books.update(2, json!({ "title": "up" })).query(&only_id).await.unwrap(), json!({ "id": 2 }));
    assert_eq!(books.patch(2, "p").query(&only_id).await.unwrap(), json!({ "id": 2 }));
    let page = books.find().query(&only_id).await.unwrap();
    assert_eq!(page, json!({ "total": 9, "limit": 1, "skip": 0, "data": [{ "id": 1 }] }));
    let error = books.get(7).query(json!({ "$select": [{}] })).await.unwrap_err();
    assert_eq!(error.code(), 400);
}

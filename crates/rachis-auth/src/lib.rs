//! Tokens, passwords, and the hooks that check them, as Feathers clients know them.
//!
//! ```
//! use rachis::{ALL, App, MemoryService, Method, Params, ServiceExt};
//! use rachis::auth::{AuthConfig, Authentication, hash_password, parse_header, protect};
//! use serde_json::json;
//!
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let auth = Authentication::new(AuthConfig::new("keep-this-one-out-of-version-control"))?;
//! let users = MemoryService::new()
//!     .before([Method::Find, Method::Get, Method::Update, Method::Patch, Method::Remove], auth.authenticate("jwt"))
//!     .before(ALL, hash_password("password"))
//!     .after(ALL, protect(["password"]));
//! let app = App::new()
//!     .register("authentication", auth.clone())
//!     .register("users", users)
//!     .register("secured", MemoryService::new().before(ALL, auth.authenticate("jwt")));
//!
//! // What a gateway makes of requests.
//! let client = Params::default().with_provider("rest");
//! let ada = json!({ "email": "ada@example.org", "password": "hunter2" });
//! app.service("users").create(&ada).params(client.clone()).await?;
//!
//! let login = json!({ "strategy": "local", "email": "ada@example.org", "password": "hunter2" });
//! let login = app.service("authentication").create(login).params(client.clone()).await?;
//! assert_eq!(login["user"], json!({ "email": "ada@example.org", "id": 0 }));
//!
//! let header = format!("Bearer {}", login["accessToken"].as_str().unwrap_or_default());
//! let by_token = client.with_authentication(parse_header(&header).unwrap_or_default());
//! assert_eq!(app.service("secured").find().params(by_token).await?, json!([]));
//! # Ok::<(), rachis::Error>(()) }).unwrap();
//! ```
//!
//! Without optimization a hash takes a quarter of a second. Profiles of a dependency do not reach the programs that use it,
//! so a program whose debug build should log in quickly says in its own `Cargo.toml`:
//!
//! ```toml
//! [profile.dev.package.bcrypt]
//! opt-level = 3
//! [profile.dev.package.blowfish]
//! opt-level = 3
//! ```
//!
//! # Which node verifies
//!
//! Two ways, by the `authentication` key of each node's configuration:
//!
//! | | every node verifies (`authentication = true`, the default) | the gateway verifies (`authentication = false` on the nodes behind) |
//! |---|---|---|
//! | nodes with services | have an `Authentication` with the same secret and put its hook before their services | need no secret; they take the mark of the calling node |
//! | the gateway | passes tokens on, needs no `Authentication` | puts the hook before the services of others, e.g. on its [`App`](rachis_core::App) |
//! | a program that reaches Redis | can call, but not as a user | can name any user |
//!
//! In both, one node (any) registers the service itself, and the users may be on yet another one. On the way to a node
//! that verifies, the mark `authenticated` is dropped and the token is checked anew.
//!
//! A gateway that verifies leaves out what is public, above all the authentication service itself, where the hook would refuse
//! every login (and fails, saying so):
//!
//! ```no_run
//! use rachis::{ALL, App, Config, Node};
//! use rachis::{auth::{AuthConfig, Authentication}, config::CallFilter};
//!
//! # async fn run(config: AuthConfig) -> rachis::Result<()> {
//! let auth = Authentication::new(config)?;
//! let open = CallFilter::new(["public/*", "users:create"])?;
//! let app = App::new().before(ALL, auth.authenticate_except("jwt", open)).register("authentication", auth);
//! let gateway = Node::builder(Config::load()?).app(app).start().await?;
//! # drop(gateway);
//! # Ok(()) }
//! ```
//!
//! # Tokens of others
//!
//! Tokens of an identity provider are taken beside one's own where [`JwtOptions`] name its public keys:
//!
//! ```
//! use rachis::auth::{AuthConfig, Authentication};
//!
//! let mut config = AuthConfig::new("keep-this-one-out-of-version-control");
//! config.jwt.jwks_url = Some("https://id.example/.well-known/jwks.json".into());
//! config.jwt.audience = ["https://todos.example", "https://api.example"].into();
//! config.jwt.issuer = ["https://todos.example", "https://id.example/"].into();
//! let auth = Authentication::new(config)?;
//! # Ok::<(), rachis::Error>(())
//! ```
//!
//! `gateway::guarded` does this by the section `[gateway.auth]` of the configuration, as `rachis gateway` does.

mod authenticate;
mod authentication;
mod config;
mod entity;
mod fetch;
mod fields;
mod header;
mod hooks;
mod identity;
mod jwt;
mod keys;
mod local;
mod password;
mod strategy;
mod token;

pub use authenticate::Authenticate;
pub use authentication::Authentication;
pub use config::AuthConfig;
pub use header::parse_header;
pub use hooks::{HashPassword, Protect, hash_password, protect};
pub use identity::Identity;
pub use jwt::JwtStrategy;
pub use local::LocalStrategy;
pub use rachis_config::{Algorithm, JwtOptions, KeyAlgorithm, LocalOptions, Parties};
pub use strategy::{Strategies, Strategy};
pub use token::Claims;

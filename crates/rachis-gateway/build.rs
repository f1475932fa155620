//! Takes the files of the page that shows documents out of the crate that brings them.

#[cfg(feature = "docs")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    use std::{fs::File, io, path::Path};
    use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;

    println!("cargo::rerun-if-changed=build.rs");
    let out = std::env::var("OUT_DIR")?;
    let mut archive = zip::ZipArchive::new(io::Cursor::new(SWAGGER_UI_VENDORED))?;
    let mut missing = vec!["swagger-ui-bundle.js", "swagger-ui.css"];
    for place in 0..archive.len() {
        let mut file = archive.by_index(place)?;
        let name = file.name()?.into_owned();
        let is_wanted = |wanted: &&str| name.ends_with(&format!("/dist/{wanted}")) && name.matches('/').count() == 2;
        if let Some(found) = missing.iter().position(is_wanted) {
            io::copy(&mut file, &mut File::create(Path::new(&out).join(missing.remove(found)))?)?;
        }
    }
    if missing.is_empty() { Ok(()) } else { Err(format!("Swagger UI comes without {}", missing.join(", ")).into()) }
}

#[cfg(not(feature = "docs"))]
fn main() {}

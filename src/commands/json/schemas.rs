//! The schemas in `docs/json`, generated from the types that the commands print. They are a contract:
//! `tests/cases/json.rs` checks real output against them.

use std::fs;
use std::path::Path;

use schemars::{JsonSchema, Schema, generate::SchemaSettings};

use super::super::{doctor, show_config};
use crate::catalog::rows::{ImageReport, ImageRow, RepositoryReport, WorkRow};

/// Set to rewrite the schemas instead of failing when one is out of date.
const UPDATE: &str = "DKR_UPDATE_DOCS";

fn schema<T: JsonSchema>(command: &str) -> (String, Schema) {
    // For output, which has every field, as opposed to input.
    let generator = SchemaSettings::draft2020_12()
        .for_serialize()
        .into_generator();
    (command.to_owned(), generator.into_root_schema_for::<T>())
}

#[test]
fn the_schemas_in_the_documentation_are_those_of_the_types() {
    let schemas = [
        schema::<Vec<ImageRow>>("list-images"),
        schema::<ImageReport>("inspect-image"),
        schema::<Vec<WorkRow>>("list-containers"),
        schema::<RepositoryReport>("status"),
        schema::<doctor::Report>("doctor"),
        schema::<show_config::Config>("show-config"),
    ];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/json");
    for (command, schema) in &schemas {
        let path = folder.join(format!("{command}.schema.json"));
        let text = serde_json::to_string_pretty(schema).unwrap() + "\n";
        if fs::read_to_string(&path).ok().as_ref() == Some(&text) {
            continue;
        }
        assert!(
            std::env::var_os(UPDATE).is_some(),
            "`{}` is out of date: run the test again with {UPDATE}=1",
            path.display()
        );
        fs::write(&path, text).unwrap();
    }
    assert_eq!(fs::read_dir(folder).unwrap().count(), schemas.len());
}

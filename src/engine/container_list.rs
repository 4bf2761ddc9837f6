//! Lists all containers of an engine with one request.

use std::collections::BTreeMap;

use bollard::models::ContainerSummary;
use bollard::query_parameters::ListContainersOptionsBuilder;
use chrono::{DateTime, Utc};

use super::connect::Engine;
use super::containers::ContainerId;
use super::error::failed;
use crate::error::Result;

/// A container in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedContainer {
    /// Its full id.
    pub id: ContainerId,
    /// Its name, without the engine's leading slash.
    pub name: String,
    /// The id of its image.
    pub image: String,
    /// Its labels, including those of its image.
    pub labels: BTreeMap<String, String>,
    /// `created`, `running`, `paused`, `restarting`, `removing`, `exited` or `dead`.
    pub state: String,
    /// The command line of its main process: entrypoint and command.
    pub command: String,
    /// When it was created, to the second.
    pub created: DateTime<Utc>,
}

impl ListedContainer {
    /// Whether it has running processes, even if it is paused.
    pub fn is_alive(&self) -> bool {
        matches!(&*self.state, "running" | "paused" | "restarting")
    }
}

impl Engine {
    /// Lists all containers, running or not.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn containers(&self) -> Result<Vec<ListedContainer>> {
        let options = ListContainersOptionsBuilder::new().all(true).build();
        match self.docker().list_containers(Some(options)).await {
            Ok(containers) => Ok(containers.into_iter().map(ListedContainer::from).collect()),
            Err(e) => Err(failed(format!("cannot list the containers of {self}"), e)),
        }
    }
}

impl From<ContainerSummary> for ListedContainer {
    fn from(container: ContainerSummary) -> Self {
        let names = container.names.unwrap_or_default();
        // Names from links have a second slash.
        let name = names.iter().filter_map(|name| name.strip_prefix('/'));
        let name = name.min_by_key(|name| name.matches('/').count());
        ListedContainer {
            id: ContainerId(container.id.unwrap_or_default()),
            name: name.unwrap_or_default().to_owned(),
            image: container.image_id.unwrap_or_default(),
            labels: container.labels.unwrap_or_default().into_iter().collect(),
            state: container
                .state
                .map(|state| state.to_string())
                .unwrap_or_default(),
            command: container.command.unwrap_or_default(),
            created: DateTime::from_timestamp(container.created.unwrap_or_default(), 0)
                .unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::{asked, env, fake};

    #[tokio::test]
    async fn containers_are_listed_whether_they_run_or_not() {
        let listing = r#"[
            {"Id":"c1","Names":["/other/link","/fix-parser"],"Image":"dkr:a","ImageID":"sha256:aa","Command":"/entrypoint.sh make",
             "Created":1700000000,"State":"exited","Status":"Exited (0) 3 hours ago",
             "Labels":{"dkr.work_branch":"fix/parser"}},
            {"Id":"c2","Names":null,"ImageID":"sha256:bb","Created":1,"State":"running","Labels":null}]"#;
        let fake = fake([("GET /containers/json", 200, listing)]);
        let engine = Engine::connect(&env(&fake)).await.unwrap();
        let containers = engine.containers().await.unwrap();
        assert_eq!(containers[0].name, "fix-parser");
        assert_eq!(containers[0].image, "sha256:aa");
        assert_eq!(containers[0].command, "/entrypoint.sh make");
        assert_eq!(containers[0].labels["dkr.work_branch"], "fix/parser");
        assert!(!containers[0].is_alive() && containers[1].is_alive());
        assert!(asked(&fake)[1].contains("all=true"), "{:?}", asked(&fake));
    }
}

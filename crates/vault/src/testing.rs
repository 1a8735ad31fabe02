//! Where tests keep a vault, and how one test runs on each backend.

use crate::{Databases, Site};
use std::path::Path;

#[path = "../../../tests/postgres.rs"]
mod postgres;

pub(crate) struct Home {
    pub(crate) site: Site,
    _folder: tempfile::TempDir,
}

impl Home {
    fn new(databases: impl FnOnce(&Path) -> Databases) -> Home {
        let folder = tempfile::tempdir().unwrap();
        Home { site: Site::new(folder.path(), databases(folder.path())), _folder: folder }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.site.folder
    }
}

pub(crate) fn on_sqlite() -> Option<Home> {
    Some(Home::new(Databases::in_folder))
}

/// `None` where PostgreSQL is not installed; that is counted.
pub(crate) fn on_postgres() -> Option<Home> {
    let address = postgres::database("the vault on PostgreSQL")?;
    Some(Home::new(|_| Databases::on_servers(&address, &address).unwrap()))
}

/// One test on each backend: `on_each!(name, async fn of a home)` for each.
macro_rules! on_each {
    ($($name:ident),+ $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                if let Some(home) = crate::testing::on_sqlite() {
                    super::$name(home).await;
                }
            })+
        }
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                if let Some(home) = crate::testing::on_postgres() {
                    super::$name(home).await;
                }
            })+
        }
    };
}
pub(crate) use on_each;

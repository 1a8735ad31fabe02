//! Where an address is, as coarsely as reports need it: a country, and with a database that somebody brings a region
//! and a city. The address itself goes no further than this file.
//!
//! Without a database the country is that of the registry that gave the address out (the statistics of the five
//! regional registries, built in): right for most, wrong for networks that span countries.

use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::path::Path;

use cofferdam_model::limits;
use serde::Deserialize;

use crate::{Error, Result};

/// Looks addresses up.
#[derive(Default)]
pub struct Places {
    database: Option<maxminddb::Reader<Vec<u8>>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// ISO 3166-1, two letters.
    country: String,
    region: Option<String>,
    city: Option<String>,
}

impl Place {
    /// As properties of an event.
    pub(crate) fn properties(self) -> impl Iterator<Item = (&'static str, String)> {
        let Place { country, region, city } = self;
        let some = |name, text: Option<String>| text.map(|text| (name, text));
        [Some(("mp_country_code", country)), some("$region", region), some("$city", city)].into_iter().flatten()
    }
}

/// What is read of an entry, in the form of country and city databases or in the flat one.
#[derive(Deserialize)]
struct Entry {
    country: Option<Country>,
    country_code: Option<String>,
    subdivisions: Option<Vec<Named>>,
    city: Option<Named>,
}

#[derive(Deserialize)]
struct Country {
    iso_code: Option<String>,
}

#[derive(Deserialize)]
struct Named {
    names: Option<Names>,
}

#[derive(Deserialize)]
struct Names {
    en: Option<String>,
}

impl Places {
    /// Reads a GeoIP database (`.mmdb`) of countries or cities whole.
    pub fn open(path: &Path) -> Result<Places> {
        let wrong = |what: String| Error::GeoIp { path: path.to_owned(), what };
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(|error| wrong(error.to_string()))?;
        let read = file.take(limits::GEOIP_BYTES_MAX + 1).read_to_end(&mut bytes);
        if read.map_err(|error| wrong(error.to_string()))? as u64 > limits::GEOIP_BYTES_MAX {
            return Err(wrong(format!("it has more than {} bytes", limits::GEOIP_BYTES_MAX)));
        }
        let database = maxminddb::Reader::from_source(bytes).map_err(|_| wrong("it is no MaxMind DB".to_owned()))?;
        Ok(Places { database: Some(database) })
    }

    /// `None` for addresses of nobody's network and unknown ones.
    pub(crate) fn find(&self, address: IpAddr) -> Option<Place> {
        // As written by a listener of both families: ::ffff:192.0.2.1.
        let address = address.to_canonical();
        let Some(database) = &self.database else {
            let country = iptocc::country_code(address)?.to_owned();
            return Some(Place { country, region: None, city: None });
        };
        let entry: Entry = database.lookup(address).ok()?.decode().ok()??;
        let name = |named: Named| named.names.and_then(|names| names.en).filter(|name| !name.is_empty());
        let country = entry.country.and_then(|country| country.iso_code).or(entry.country_code);
        Some(Place {
            country: country.filter(|code| code.len() == 2)?,
            region: entry.subdivisions.and_then(|regions| regions.into_iter().next()).and_then(name),
            city: entry.city.and_then(name),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_country_is_known_without_a_database() {
        let country = |address: &str| Places::default().find(address.parse().unwrap()).map(|place| place.country);
        // RIPE NCC and LACNIC's own networks, given out for good.
        assert_eq!(country("193.0.6.139").as_deref(), Some("NL"));
        assert_eq!(country("::ffff:193.0.6.139").as_deref(), Some("NL"));
        assert_eq!(country("2001:67c:2e8:22::c100:68b").as_deref(), Some("NL"));
        for nobody in ["127.0.0.1", "10.0.0.7", "192.168.1.1", "::1", "fe80::1"] {
            assert_eq!(country(nobody), None, "{nobody}");
        }
    }

    #[test]
    fn what_is_no_database_is_refused_with_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cities.mmdb");
        std::fs::write(&path, "not a database").unwrap();
        let message = Places::open(&path).err().unwrap().to_string();
        assert!(message.contains("cities.mmdb") && message.contains("MaxMind"), "{message}");
    }
}

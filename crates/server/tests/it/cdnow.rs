//! A real data set through the real `import` command: 69,659 purchases of 23,570 customers, whose reports
//! must equal the answers of independent SQL over the same file.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::sdk::python;
use crate::server::{Server, binary, helpers, setting, skip};

/// The whole time of the data set, from the Monday before to the Sunday after.
fn range() -> Value {
    json!({"kind": "between", "from": "1996-12-30", "to": "1998-07-05"})
}

#[test]
fn cdnow_reports_equal_independent_sql() {
    let (Some(python), Some(file)) = (python(), purchases()) else {
        return skip("the CDNOW purchases are not there: run tests/cdnow/fetch.py into $COFFERDAM_VENV/cdnow.csv");
    };
    let output =
        Command::new(python).arg(helpers().join("cdnow/oracle.py")).arg(&file).output().expect("a Python that starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let oracle: Value = serde_json::from_slice(&output.stdout).expect("the oracle's JSON");

    let server = Server::start();
    import(&server, &file);
    check(&server, &oracle);
    // Every purchase has an insert id of its own, the same each time: doing it again changes nothing,
    // and the customers who bought the same thing twice in a day keep both.
    import(&server, &file);
    check(&server, &oracle);
    server.balanced_outcomes();
}

/// Where the caller keeps the file, or beside the packages it is made with.
fn purchases() -> Option<PathBuf> {
    let file = setting("COFFERDAM_CDNOW").map(PathBuf::from);
    let file = file.or_else(|| setting("COFFERDAM_VENV").map(|venv| PathBuf::from(venv).join("cdnow.csv")))?;
    file.is_file().then_some(file)
}

fn import(server: &Server, file: &PathBuf) {
    let output = binary()
        .arg("import")
        .arg(file)
        .args(["--format", "csv", "--event-name", "Purchase", "--distinct-id-column", "customer_id"])
        .args(["--time-column", "date", "--time-format", "%Y%m%d"])
        .args(["--url", &server.origin(), "--token", &server.project.token, "--restart"])
        .arg("--state")
        .arg(server.scratch("import-state.json"))
        .arg("--rejects")
        .arg(server.scratch("rejects.ndjson"))
        .output()
        .expect("the cofferdam binary");
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{complained}", String::from_utf8_lossy(&output.stdout));
}

fn check(server: &Server, oracle: &Value) {
    let purchase = || json!({"event": "Purchase"});
    let ask_total = |measure: &str| {
        let table = server.ask(&json!({"kind": "insights", "range": range(), "unit": "week",
            "metrics": [{"matching": purchase(), "measure": measure}]}));
        (table["series"][0]["total"].clone(), table)
    };
    assert_eq!(oracle["purchases"], 69_659);
    assert_eq!(ask_total("total").0, oracle["purchases"]);
    let (customers, weekly) = ask_total("unique");
    assert_eq!(customers, oracle["customers"]);

    let starts = weekly["buckets"].as_array().expect("buckets");
    assert_eq!(starts.len(), 79);
    for (start, value) in starts.iter().zip(weekly["series"][0]["values"].as_array().expect("values")) {
        let week = &start.as_str().expect("a start")[..10];
        let expected = oracle["weekly_uniques"].get(week).cloned().unwrap_or(json!(0));
        assert_eq!(*value, expected, "customers in the week of {week}");
    }

    let intervals = 17;
    let table = server.ask(&json!({
        "kind": "retention", "range": range(), "born": purchase(), "returned": purchase(), "unit": "month",
        "intervals": intervals, "mode": "on", "alignment": "calendar",
    }));
    let cohorts = table["cohorts"].as_array().expect("cohorts");
    let expected = oracle["retention"].as_object().expect("cohorts");
    assert_eq!(cohorts.len(), expected.len(), "{table}");
    for cohort in cohorts {
        let born = &cohort["start"].as_str().expect("a start")[..10];
        assert_eq!(cohort["size"], expected[born]["size"], "customers born in {born}");
        for k in 0..=intervals {
            let retained = expected[born]["retained"].get(k.to_string()).cloned().unwrap_or(json!(0));
            assert_eq!(cohort["retained"][k], retained, "born in {born}, month {k}");
        }
    }

    let table = server.ask(&json!({
        "kind": "funnel", "range": range(), "steps": [purchase(), purchase()],
        "window": {"count": 30, "unit": "day"},
    }));
    let steps = &table["overall"]["steps"];
    assert_eq!(json!([steps[0]["count"], steps[1]["count"]]), oracle["repeat"]);
}
